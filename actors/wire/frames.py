"""Single WebSocket frames (RFC 6455 §5): their opcodes and headers, those that the server sends, and what a close frame says.

Whoever sends or reads a frame uses it; cutting a peer's bytes into messages is `framing`'s business. Nothing here reads a
socket, a clock or an option.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import Final

from wspulse.actors.values.close_code import EMPTY_CLOSE_CODE
from wspulse.actors.values.errors import ProtocolError

__all__ = [
    "BINARY",
    "CLOSE",
    "CONTINUATION",
    "NOT_UTF8",
    "OPCODES",
    "PING",
    "PONG",
    "SHORT_HEADERS",
    "TEXT",
    "VIOLATION",
    "encode_close",
    "encode_frame",
    "header_size",
    "messages_of",
    "parse_close",
    "payload_size",
    "unmasked",
]

CONTINUATION: Final = 0
TEXT: Final = 1
BINARY: Final = 2
CLOSE: Final = 8
PING: Final = 9
PONG: Final = 10

OPCODES = frozenset({CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG})

_MAX_CONTROL_BYTES = 125
"""RFC 6455 §5.5."""

_CLOSE_CODES = frozenset({1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014})
"""What a close frame may carry besides 3000 … 4999 (RFC 6455 §7.4 and its registry)."""

VIOLATION: Final = 1002
NOT_UTF8: Final = 1007

_NO_MASK = b"\0\0\0\0"

_uint16_at = Struct("!H").unpack_from
_uint64_at = Struct("!Q").unpack_from
_pack_medium = Struct("!BBH").pack
_pack_long = Struct("!BBQ").pack


def header_size(short_size: int) -> int:
    """How long the header of an unmasked frame is whose second byte says `short_size`, 0 … 127; a mask takes 4 bytes more."""
    return 2 if short_size < 126 else 4 if short_size == 126 else 10


def payload_size(data: bytes | bytearray, position: int, short_size: int) -> int:
    """The size of the payload of a frame whose header, beginning at `position`, is here."""
    if short_size < 126:
        return short_size
    size: int
    (size,) = _uint16_at(data, position + 2) if short_size == 126 else _uint64_at(data, position + 2)
    return size


def parse_close(payload: bytes) -> tuple[int, str]:
    """Code and reason of a close frame; (1005, "") for an empty one (RFC 6455 §7.1.5).

    Raises ProtocolError: 1002 for a single byte or a code that must not be sent, 1007 for a reason that is no UTF-8.
    """
    if not payload:
        return (EMPTY_CLOSE_CODE, "")
    if len(payload) == 1:
        raise ProtocolError(VIOLATION, "close frame has a payload of one byte")
    try:
        reason = payload[2:].decode()
    except UnicodeDecodeError:
        raise ProtocolError(NOT_UTF8, "close reason is not UTF-8") from None
    (code,) = _uint16_at(payload)
    if code not in _CLOSE_CODES and not 3000 <= code <= 4999:
        raise ProtocolError(VIOLATION, f"close code {code} is not allowed")
    return (code, reason)


SHORT_HEADERS = {
    opcode: tuple(bytes((0x80 | opcode, size)) for size in range(126)) for opcode in (TEXT, BINARY, CLOSE, PING, PONG)
}
"""Ready-made, since joining two bytes objects costs a third of packing a header: 0.07 µs against 0.2 µs a frame."""


def encode_frame(opcode: int, payload: bytes) -> bytes:
    """A whole message or control frame as the server sends it: unmasked, unfragmented.

    Raises ValueError for a control frame over 125 bytes.
    """
    size = len(payload)
    if size < 126:
        return SHORT_HEADERS[opcode][size] + payload
    if opcode > BINARY:
        raise ValueError(f"wspulse: a control frame of {size} bytes; allowed: up to 125")
    if size < 65536:
        return _pack_medium(0x80 | opcode, 126, size) + payload
    return _pack_long(0x80 | opcode, 127, size) + payload


def encode_close(code: int, reason: str = "") -> bytes:
    """A close frame. 1005 stands for a frame without a code; a reason over 123 bytes is cut between characters."""
    if code == EMPTY_CLOSE_CODE:
        return encode_frame(CLOSE, b"")
    text = reason.encode("utf-8", "replace")[: _MAX_CONTROL_BYTES - 2]
    return encode_frame(CLOSE, code.to_bytes(2) + text.decode("utf-8", "ignore").encode())


def messages_of(wire: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Cut frames of ours, which are whole and unmasked, into (opcode, payload, the frame's size)."""
    position = 0
    while position < len(wire):
        short_size = wire[position + 1]
        payload_at = position + header_size(short_size)
        end = payload_at + payload_size(wire, position, short_size)
        yield wire[position] & 0x0F, wire[payload_at:end], end - position
        position = end


def unmasked(opcode: int, payload: bytes) -> bytes:
    """A client's frame, masked with zeros."""
    frame = encode_frame(opcode, payload)
    header_bytes = len(frame) - len(payload)
    return b"".join((frame[:1], bytes((frame[1] | 0x80,)), frame[2:header_bytes], _NO_MASK, payload))
