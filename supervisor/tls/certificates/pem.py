"""`Pem`: a certificate and its key, as bytes, and how a server shows them.

Read by the supervisor, and given to terminators, which have no other way to them.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import NamedTemporaryFile

__all__ = ["PasswordWantedError", "Pem"]

_OWN_DESCRIPTORS = Path("/proc/self/fd")


@dataclass(frozen=True, slots=True)
class Pem:
    """See the module."""

    certificate: bytes
    """The server's, and those that lead from it to an authority."""
    key: bytes = field(repr=False)

    def context(self) -> ssl.SSLContext:
        """For a server that shows it. Raises SSLError for bytes that cannot be used, PasswordWantedError for a locked key."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # A WebSocket is upgraded from HTTP/1.1.
        context.set_alpn_protocols(["http/1.1"])
        # Whoever may ask for a new key in the middle of a connection may have us compute for it.
        context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
        with _file(self.certificate) as certificate, _file(self.key) as key:
            context.load_cert_chain(certificate, key, password=_no_password)
        return context


class PasswordWantedError(Exception):
    """OpenSSL asks for one; the terminal is not to be asked."""


def _no_password() -> str:
    raise PasswordWantedError


@contextmanager
def _file(blob: bytes) -> Iterator[str]:
    """The path of a file that holds it meanwhile, for OpenSSL: in memory, where the system can."""
    if hasattr(os, "memfd_create") and _OWN_DESCRIPTORS.exists():
        with os.fdopen(os.memfd_create("wspulse-pem"), "wb") as file:
            file.write(blob)
            file.flush()
            yield str(_OWN_DESCRIPTORS / str(file.fileno()))
    else:
        with NamedTemporaryFile() as temporary:
            temporary.write(blob)
            temporary.flush()
            yield temporary.name
