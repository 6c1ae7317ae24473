"""`Deflater`: frames in wire form to their compressed form, once for all transports that agreed on the same window.

Made by a shard's `Writing` for the first such transport. It keeps the last frames in both forms, since a room that writes to
many gives each of them the same bytes. Nothing here writes.
"""

from __future__ import annotations

from typing import ClassVar, Final
from zlib import DEFLATED, Z_SYNC_FLUSH, compressobj

from wspulse.actors.wire.frames import encode_frame, header_size, payload_size

__all__ = ["LEAST_BYTES", "RSV1", "TAIL", "Deflater"]

RSV1: Final = 0x40
"""Of the first byte of a message's first frame: the message is compressed (RFC 7692 §6)."""

TAIL: Final = b"\x00\x00\xff\xff"
"""What each compressed message ends in, and is sent without (§7.2.1)."""

LEAST_BYTES: Final = 256
"""A shorter message is sent as it is: it gains a packet's fraction, and costs 5 µs or more."""

_LEVEL: Final = 1
"""The fastest: on JSON it leaves a tenth more than level 6 does, in half the time."""


class Deflater:
    """See the module. `window_bits`, 9 to 15, is how far back a client can look."""

    __slots__ = ("_compressed", "_plain", "_window_bits")

    shortest_wire_bytes: ClassVar[int] = LEAST_BYTES + header_size(126)
    """Less cannot hold a message that is worth it."""

    def __init__(self, window_bits: int) -> None:
        self._window_bits = window_bits
        self._plain = self._compressed = b""

    def compressed(self, wire: bytes) -> bytes:
        """Whole, unmasked frames of ours, of which messages that are worth it become compressed ones."""
        if len(wire) < self.shortest_wire_bytes:
            return wire
        # The same object: to compare as many bytes costs more than it spares.
        if wire is not self._plain:
            self._compressed = self._compress(wire)
            self._plain = wire
        return self._compressed

    def _compress(self, wire: bytes) -> bytes:
        pieces: list[bytes] = []
        position = taken = 0
        while position < len(wire):
            short_size = wire[position + 1]
            payload_at = position + header_size(short_size)
            size = payload_size(wire, position, short_size)
            end = payload_at + size
            # Control frames are shorter.
            if size >= LEAST_BYTES:
                payload = self._deflated(wire[payload_at:end])
                if len(payload) < size:
                    frame = encode_frame(wire[position] & 0x0F, payload)
                    pieces += (wire[taken:position], bytes((frame[0] | RSV1,)), frame[1:])
                    taken = end
            position = end
        if not taken:
            return wire
        pieces.append(wire[taken:])
        return b"".join(pieces)

    def _deflated(self, payload: bytes) -> bytes:
        # A new one each time costs no more than to have one forget what it saw, and none holds its 256 KB meanwhile.
        compressor = compressobj(_LEVEL, DEFLATED, -self._window_bits)
        data = compressor.compress(payload) + compressor.flush(Z_SYNC_FLUSH)
        return data[: -len(TAIL)]
