"""How much waits for a session's handler, and how much of it is handled at a time."""

from __future__ import annotations

__all__ = [
    "FRAME_BYTES",
    "INBOUND_LIMIT_BYTES",
    "INBOUND_LIMIT_FRAMES",
    "RELEASE_BYTES",
    "RELEASE_FRAMES",
    "REST_LIMIT_BYTES",
    "TURN_ENTRIES",
]

INBOUND_LIMIT_FRAMES = 16
"""Frames that wait for a slow handler before the socket is no longer read: enough to keep a handler busy, little to hold."""

INBOUND_LIMIT_BYTES = 256 * 1024
"""The same in bytes, which count where messages are large: about what one read may bring. One message may always wait."""

RELEASE_FRAMES = INBOUND_LIMIT_FRAMES // 2
RELEASE_BYTES = INBOUND_LIMIT_BYTES // 2

REST_LIMIT_BYTES = 4 * 1024 * 1024
"""What lost transports may leave to a handler that is behind. One leaves at most what is read at once and what came ahead of
its 101, 768 KB; so this is for a client that comes back again and again while the handler does not return."""

FRAME_BYTES = 128
"""What a waiting frame takes besides its payload."""

TURN_ENTRIES = 64
"""How many entries of one mailbox are handled before the other sessions have their turn: a lost transport may leave tens of
thousands of tiny frames, and an async handler need not ever suspend."""
