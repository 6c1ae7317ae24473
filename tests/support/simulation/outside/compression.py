"""`SimDeflater`: compression that shows in a simulation's short frames and leaves them as long as they are; and who reads it.

Both ends of it: a shard's `Writing` has one in the place of its own, and a peer reads what it is written with `reading`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from wspulse.actors.transport.writing import Writing
from wspulse.actors.wire.compression.deflater import RSV1, Deflater
from wspulse.actors.wire.frames import BINARY

__all__ = ["WINDOW_BITS", "compressing_peers", "pretend_compression", "reading"]

WINDOW_BITS = 15

_SWAPPED = bytes(byte ^ 0x5A for byte in range(256))


class SimDeflater(Deflater):
    """See the module."""

    __slots__ = ()

    shortest_wire_bytes: ClassVar[int] = 0

    def _compress(self, wire: bytes) -> bytes:
        return _swapped(wire, 0)[0]


def pretend_compression(writing: Writing) -> None:
    """What is compressed in this shard is so from now on."""
    writing._deflaters[WINDOW_BITS] = SimDeflater(WINDOW_BITS)


def compressing_peers(seed: int) -> Callable[[int], bool]:
    """Which of a history's peers offer it, by their numbers: none in half of all histories, else every second or third."""
    every = (0, 2, 0, 3)[seed // 10 % 4]
    return lambda number: every > 0 and number % every == 0


def reading(wire: bytes, window_bits: int) -> bytes | None:
    """Frames as they were before a transport with this window (0: none) wrote them. None where it should not have written them
    so: a client that has agreed on nothing cannot read what is compressed, and to one that has, all messages are."""
    plain, are_right = _swapped(wire, RSV1 if window_bits else 0)
    return (plain if window_bits else wire) if are_right else None


def _swapped(wire: bytes, reserved: int) -> tuple[bytes, bool]:
    """With each message in its other form, and whether all had this bit."""
    pieces = bytearray()
    position = 0
    are_right = True
    while position < len(wire):
        first, size = wire[position], wire[position + 1]
        end = position + 2 + size
        if first & 0x0F <= BINARY:
            are_right = are_right and first & RSV1 == reserved
            pieces += bytes((first ^ RSV1, size)) + wire[position + 2 : end].translate(_SWAPPED)
        else:
            pieces += wire[position:end]
        position = end
    return bytes(pieces), are_right
