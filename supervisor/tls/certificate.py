"""`Certificate`: the files of a certificate and its key, checked as a client would before anybody is shown them.

Named by the settings; loaded by the supervisor at the start and before a reload, to say what is wrong with them, and by each
terminator, to serve with them.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from wspulse.supervisor.errors import StartError

__all__ = ["Certificate"]

_TOO_EARLY, _EXPIRED = 9, 10
"""OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """See the module."""

    certificate: str
    """The path of the server's certificate and those that lead from it to an authority, in PEM."""
    key: str
    """The path of its private key, in PEM, without a password."""

    def context(self) -> ssl.SSLContext:
        """For a server that shows it. Raises StartError for files that cannot be used, and for one that has expired."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # A WebSocket is upgraded from HTTP/1.1.
        context.set_alpn_protocols(["http/1.1"])
        # Whoever may ask for a new key in the middle of a connection may have us compute for it.
        context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
        self._load(context)
        self.valid_until(context)
        return context

    def show_from_now_on(self, context: ssl.SSLContext) -> None:
        """Have a context that is in use show what the files say now; who is connected keeps what it has. Raises StartError, and
        then nothing has changed."""
        self.context()
        self._load(context)

    def valid_until(self, context: ssl.SSLContext) -> datetime:
        """When what a context shows expires. Raises StartError where it has, or is not valid yet."""
        trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        trusting.check_hostname = False
        trusting.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        with self._explained():
            trusting.load_verify_locations(self.certificate)
        to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
        server = context.wrap_bio(to_server, to_client, server_side=True)
        client = trusting.wrap_bio(to_client, to_server)
        try:
            for _ in range(4):
                for side in (client, server):
                    try:
                        side.do_handshake()
                    except ssl.SSLWantReadError:
                        pass
        except ssl.SSLCertVerificationError as error:
            if error.verify_code == _EXPIRED:
                raise StartError(f"--tls-cert: the certificate in {self.certificate} has expired") from None
            if error.verify_code == _TOO_EARLY:
                raise StartError(f"--tls-cert: the certificate in {self.certificate} is not valid yet") from None
            raise StartError(f"--tls-cert: {self.certificate}: {error.verify_message}") from None
        except ssl.SSLError as error:
            raise StartError(f"--tls-cert: {self.certificate}: {error.reason or error}") from None
        shown = client.getpeercert()
        assert shown
        return datetime.fromtimestamp(ssl.cert_time_to_seconds(str(shown["notAfter"])), UTC)

    def _load(self, context: ssl.SSLContext) -> None:
        with self._explained():
            context.load_cert_chain(self.certificate, self.key, password=_no_password)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        for flag, path in (("--tls-cert", self.certificate), ("--tls-key", self.key)):
            try:
                with Path(path).open("rb"):
                    pass
            except OSError as error:
                raise StartError(f"{flag}: {path} cannot be read: {error.strerror}") from None
        try:
            yield
        except _PasswordWantedError:
            raise StartError(f"--tls-key: the key in {self.key} has a password; give one without") from None
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                text = f"the key in {self.key} does not belong to the certificate in {self.certificate}"
                raise StartError(f"--tls-key: {text}") from None
            text = f"{self.certificate} and {self.key} are not a certificate and its key in PEM"
            raise StartError(f"--tls-cert: {text}" + (f" ({error.reason})" if error.reason else "")) from None


class _PasswordWantedError(Exception):
    """OpenSSL asks for one; the terminal is not to be asked."""


def _no_password() -> str:
    raise _PasswordWantedError
