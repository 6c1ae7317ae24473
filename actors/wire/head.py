"""`HeadGatherer`: the head of a request, out of reads that are cut anywhere, within its limits (contract §2).

The acceptor feeds one for each connection, and has the head judged by `wspulse.actors.wire.handshake`. Nothing here reads a
socket or a clock.
"""

from __future__ import annotations

from typing import Final

from wspulse.actors.wire.answer import HTTPAnswer

__all__ = ["MAX_HEADERS", "MAX_HEAD_BYTES", "HeadGatherer", "NoHTTPError", "begins_request"]

MAX_HEAD_BYTES: Final = 16 * 1024
MAX_HEADERS: Final = 128

_TOLD_BYTES: Final = 1024


_FIRST_BYTES: Final = frozenset(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ\r\n")
"""Of a method, which is a token; and the line end that may stand before a request (RFC 9112 §2.2)."""

_TLS_HANDSHAKE: Final = 0x16
"""The first byte of a TLS client (RFC 8446 §5.1)."""


class NoHTTPError(Exception):
    """What came cannot begin a request, nor does its sender understand an answer."""

    def __init__(self, first_byte: int) -> None:
        super().__init__(first_byte)
        self.is_tls = first_byte == _TLS_HANDSHAKE


def begins_request(data: bytes) -> bool:
    """Whether a request may begin with these bytes."""
    return not data or data[0] in _FIRST_BYTES


class HeadGatherer:
    """Collects the reads of one transport until the request's head is complete."""

    __slots__ = ("_buffer", "head", "is_complete", "leftover")

    def __init__(self) -> None:
        self._buffer: bytes | bytearray = b""
        self.is_complete = False
        self.head = b""
        """Once complete: request line and header lines without the empty line that ends them."""
        self.leftover = b""
        """Once complete: what came behind the head."""

    @property
    def begun(self) -> bytes:
        """What has come of a head that is not complete, or is over its limits: as much as is worth telling."""
        return bytes(self._buffer[:_TOLD_BYTES]) or self.head

    def feed(self, data: bytes) -> bool:
        """Append what was received. True when the head is complete; from then on data is added to `leftover`.

        Raises HTTPAnswer 431 for a head over 16 KiB (its empty line counts) or over 128 header fields. A first byte that begins
        no request is refused at once: text with HTTPAnswer 400, anything else with NoHTTPError.
        Takes time linear in the bytes, however they are cut.
        """
        if self.is_complete:
            self.leftover += data
            return True
        buffer = self._buffer
        searched_bytes = 0
        if not buffer:
            if data and data[0] not in _FIRST_BYTES:
                raise _refused(data[0])
            buffer = data
        else:
            searched_bytes = max(len(buffer) - 2, 0)
            if isinstance(buffer, bytes):
                buffer = bytearray(buffer)
            buffer += data
        self._buffer = buffer
        # Lines that end in a bare LF are refused by check_request, but they do end: better 400 now than 408 in a while.
        end = buffer.find(b"\n\r\n", searched_bytes)
        size = end + 3
        bare_end = buffer.find(b"\n\n", searched_bytes, end + 1 if end >= 0 else len(buffer))
        if bare_end >= 0:
            end = bare_end
            size = end + 2
        if size > MAX_HEAD_BYTES or (end < 0 and len(buffer) >= MAX_HEAD_BYTES):
            raise HTTPAnswer(431, f"request head is over {MAX_HEAD_BYTES} bytes")
        if end < 0:
            return False
        head = bytes(buffer)
        if size < len(head):
            head, self.leftover = head[:size], head[size:]
        # Without the empty line behind it, and without the one that may stand before it (RFC 9112 §2.2). A last line that ends in
        # a bare LF keeps it, so that it is seen to be malformed.
        self.head = head = head.removesuffix(b"\r\n\r\n").removeprefix(b"\r\n")
        self._buffer = b""
        self.is_complete = True
        if head.count(b"\n") > MAX_HEADERS:
            raise HTTPAnswer(431, f"request has over {MAX_HEADERS} header fields")
        return True


def _refused(first_byte: int) -> HTTPAnswer | NoHTTPError:
    return HTTPAnswer(400, "malformed request line") if 0x20 <= first_byte < 0x7F else NoHTTPError(first_byte)
