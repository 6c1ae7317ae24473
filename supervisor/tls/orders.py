"""What the supervisor and a terminator say to each other, as bytes on a stream: `END`, `show_order` and `Orders`; `UP`.

    supervisor ──▶ terminator    END, or SHOW and two lengths and as many bytes
    terminator ──▶ supervisor    UP, time and again

No I/O.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from wspulse.supervisor.tls.certificates.pem import Pem

__all__ = ["END", "UP", "Orders", "show_order"]

END = b"e"
"""Accept nobody else, and end with the last client."""

UP = b"u"
"""Clients are accepted, and the loop turns."""

_SHOW = b"s"
_HEADER = struct.Struct("!cII")


def show_order(pem: Pem) -> bytes:
    """Show this certificate from now on."""
    return _HEADER.pack(_SHOW, len(pem.certificate), len(pem.key)) + pem.certificate + pem.key


class Orders:
    """Those of a stream of bytes that comes in pieces."""

    def __init__(self) -> None:
        self._pending = b""

    def take(self, data: bytes) -> Iterator[Pem | None]:
        """What has come to its end with this piece: a certificate to show, or None for `END`."""
        self._pending += data
        while self._pending:
            if self._pending.startswith(END):
                self._pending = self._pending[1:]
                yield None
                continue
            if len(self._pending) < _HEADER.size:
                return
            _kind, of_certificate, of_key = _HEADER.unpack_from(self._pending)
            key_at = _HEADER.size + of_certificate
            end = key_at + of_key
            if len(self._pending) < end:
                return
            pem = Pem(self._pending[_HEADER.size : key_at], self._pending[key_at:end])
            self._pending = self._pending[end:]
            yield pem
