"""`inflated`: a compressed message's content, in bounded memory and time (RFC 7692 §7.2.2).

Called by the parser with each compressed message that is complete. Nothing here knows of frames.
"""

from __future__ import annotations

from io import BytesIO
from typing import Final, Protocol
from zlib import MAX_WBITS, decompressobj, error

from wspulse.actors.wire.compression.deflater import TAIL

__all__ = ["InflationError", "inflated", "most_compressed_bytes"]

_END: Final = TAIL + b"\x03\x00"
"""What a message was sent without, and a last, empty block: so what is cut off or goes on shows."""

_WINDOW_BYTES: Final = 1 << MAX_WBITS

_STEP_BYTES: Final = 16 * 1024
"""Of the compressed form, since what is left of it is copied when a chunk is full."""

_CHUNK_BYTES: Final = 64 * 1024
"""Of the content: how much more is made than is allowed."""

_MOST_ENDS: Final = 8
"""So many blocks may say that they are the last one; each costs a new inflater. A client that flushes so says it once."""

_MOST_RATIO: Final = 200
"""Deflate reaches 1,032: a client could fill the memory with a thousandth of the traffic. Data that anybody has reason to send
reaches some dozens."""

_ANY_RATIO_BYTES: Final = 1024 * 1024
"""Up to here the ratio may be whatever it is."""


class Inflater(Protocol):
    """As `zlib.decompressobj` makes it; the type has no name there."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    @property
    def unconsumed_tail(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class InflationError(ValueError):
    """It cannot be decompressed. `is_too_big`: it would be more than is allowed, at least `size_bytes`."""

    def __init__(self, reason: str, size_bytes: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.size_bytes = size_bytes

    @property
    def is_too_big(self) -> bool:
        return self.size_bytes > 0


def most_compressed_bytes(max_message_size: int) -> int:
    """How long the compressed form may be of a message that is allowed: deflate adds at most a seventh to what it cannot
    compress; and a few bytes for each flush."""
    return max_message_size + max_message_size // 4 + 4096


def inflated(data: bytes, max_message_size: int) -> bytes:
    """Decompress to at most `max_message_size` bytes. Raises InflationError, and has made at most a chunk more than that then."""
    most_bytes = min(max_message_size, max(_ANY_RATIO_BYTES, len(data) * _MOST_RATIO))
    rest = data + _END
    try:
        if len(rest) <= _STEP_BYTES:
            # Most are: in one step.
            inflater = decompressobj(-MAX_WBITS)
            content = inflater.decompress(rest, _CHUNK_BYTES)
            if inflater.eof and not inflater.unused_data and len(content) <= most_bytes:
                return content
        return _inflated_in_steps(rest, most_bytes, _why_too_big(most_bytes, max_message_size))
    except error:
        raise InflationError("compressed message is malformed") from None


def _why_too_big(most_bytes: int, max_message_size: int) -> str:
    if most_bytes < max_message_size:
        return f"message is compressed more than {_MOST_RATIO} times"
    return f"message is over {max_message_size} bytes"


def _inflated_in_steps(rest: bytes, most_bytes: int, why_too_big: str) -> bytes:
    content = BytesIO()
    for _ in range(_MOST_ENDS):
        # A block that says that it is the last one ends an inflater, but not the message (§7.2.3.4).
        window = content.getvalue()[-_WINDOW_BYTES:]
        inflater = decompressobj(-MAX_WBITS, zdict=window) if window else decompressobj(-MAX_WBITS)
        rest = _inflate(rest, inflater, content, most_bytes, why_too_big)
        if not rest or rest == _END:
            return content.getvalue()
    raise InflationError("compressed message has too many final blocks")


def _inflate(rest: bytes, inflater: Inflater, content: BytesIO, most_bytes: int, why_too_big: str) -> bytes:
    """Up to the end of the last block. Returns what is behind that."""
    for begin in range(0, len(rest), _STEP_BYTES):
        step = rest[begin : begin + _STEP_BYTES]
        end = begin + len(step)
        while True:
            part = inflater.decompress(step, _CHUNK_BYTES)
            content.write(part)
            if content.tell() > most_bytes:
                raise InflationError(why_too_big, content.tell())
            if inflater.eof:
                return rest[end - len(inflater.unused_data) :]
            step = inflater.unconsumed_tail
            if not step and len(part) < _CHUNK_BYTES:
                break
    raise InflationError("compressed message is truncated")
