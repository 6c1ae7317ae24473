"""`Writing`: what is being written to sockets, kept by reference for the one that does not take all of it.

One per shard. Whoever writes stores it there before: once for all whom a room writes to, so that it costs a fan-out nothing by
member. A loop that writes at once keeps no more than the end of what was written last; so a transport that is blocked within its
write knows of which bytes the rest has yet to be sent, and can take it to another process.
"""

from __future__ import annotations

from wspulse.actors.wire.compression.deflater import Deflater

__all__ = ["Writing"]


class Writing:
    """See the module."""

    __slots__ = ("_deflaters", "data")

    def __init__(self) -> None:
        self.data = b""
        self._deflaters: dict[int, Deflater] = {}

    def deflater(self, window_bits: int) -> Deflater:
        """What compresses for all transports of the shard that agreed on this window: what a room writes is compressed once."""
        deflater = self._deflaters.get(window_bits)
        if deflater is None:
            deflater = self._deflaters[window_bits] = Deflater(window_bits)
        return deflater
