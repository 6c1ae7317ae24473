"""Compressed messages as clients send them (RFC 7692), and how they read the server's."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from zlib import DEFLATED, Z_SYNC_FLUSH, compressobj, decompressobj

from tests.support.wire.frame_streams import MASK, client_frame
from wspulse.actors.wire.frames import BINARY, CONTINUATION, header_size, payload_size

__all__ = ["compressed_frame", "compressed_message", "deflated", "messages_in", "whole_messages"]

_RSV1 = 4
_TAIL = b"\x00\x00\xff\xff"


def deflated(payload: bytes, *, level: int = 6, window_bits: int = 15) -> bytes:
    """A message's compressed form, without its tail."""
    compressor = compressobj(level, DEFLATED, -window_bits)
    data = compressor.compress(payload) + compressor.flush(Z_SYNC_FLUSH)
    assert data.endswith(_TAIL)
    return data[:-4]


def compressed_frame(opcode: int, data: bytes, *, fin: bool = True, mask: bytes | None = MASK) -> bytes:
    """The first frame, or the only one, of a message whose compressed form begins with `data`."""
    return client_frame(opcode, data, fin=fin, rsv=_RSV1, mask=mask)


def compressed_message(opcode: int, data: bytes, places: Iterable[int] = (), between: bytes = b"") -> bytes:
    """A message of this compressed form, cut into frames at these places, with other frames between them."""
    cuts = [0, *sorted(places), len(data)]
    pieces = []
    for number, (start, end) in enumerate(pairwise(cuts)):
        fin = number == len(cuts) - 2
        part = data[start:end]
        pieces.append(client_frame(CONTINUATION, part, fin=fin) if number else compressed_frame(opcode, part, fin=fin))
    return between.join(pieces)


def messages_in(wire: bytes, window_bits: int = 15) -> list[tuple[int, bytes, bool]]:
    """The server's frames as (opcode, content, whether it came compressed), each decompressed for itself."""
    messages = []
    position = 0
    while position < len(wire):
        first, short_size = wire[position], wire[position + 1]
        payload_at = position + header_size(short_size)
        end = payload_at + payload_size(wire, position, short_size)
        payload = wire[payload_at:end]
        assert first & 0xB0 == 0x80
        is_compressed = bool(first & 0x40)
        if is_compressed:
            inflater = decompressobj(-window_bits)
            payload = inflater.decompress(payload + _TAIL)
            assert not inflater.unused_data
        messages.append((first & 0x0F, payload, is_compressed))
        position = end
    return messages


def whole_messages(wire: bytes | bytearray) -> int:
    """How many text and binary messages of the server have come as a whole."""
    count = position = 0
    while position + 2 <= len(wire):
        opcode, short_size = wire[position] & 0x0F, wire[position + 1]
        payload_at = position + header_size(short_size)
        if payload_at > len(wire):
            break
        position = payload_at + payload_size(wire, position, short_size)
        count += opcode <= BINARY and position <= len(wire)
    return count
