"""How much is taken of one peer at a time, and kept of it before it has an answer."""

from __future__ import annotations

__all__ = ["AHEAD_BYTES", "TURN_BYTES", "TURN_FRAMES"]

AHEAD_BYTES = 512 * 1024
"""How much a peer may send ahead of its 101 before its socket is no longer read."""

TURN_FRAMES = 128
"""How many messages and control frames of one socket are handled in a turn of the loop: about 0.2 ms of them."""

TURN_BYTES = 128 * 1024
"""After a read of so many the turn is over: uvloop reads up to 250 KB, and where they were there does so 32 times."""
