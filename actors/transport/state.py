"""The states of a transport.

WAITING ── accept() ──▶ OPEN ── finish() ──▶ ENDING ──▶ GONE
   └── refuse() ───────────────────────────────┘
"""

from __future__ import annotations

from enum import Enum

__all__ = ["TransportState"]


class TransportState(Enum):
    WAITING = "waiting"
    """The upgrade is valid, the room is not joined yet; what the peer sends is kept."""
    OPEN = "open"
    """The 101 is written, and a session has it."""
    ENDING = "ending"
    """A close frame (or an HTTP answer) was sent; what comes is thrown away until the peer's close frame or a deadline."""
    GONE = "gone"
    """The socket has ended."""
