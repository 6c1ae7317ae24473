"""`Upgrade`: a valid upgrade on its way to become a session's transport, a value without I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from wspulse.actors.values.request import Request
from wspulse.actors.values.text.exact import Claim

__all__ = ["Upgrade"]


@dataclass(slots=True)
class Upgrade:
    """A valid upgrade for an id of this shard: who connects, and what is answered once the room is joined."""

    room_id: str
    connection_id: str
    state: dict[str, Any] | None
    request: Request
    answer: bytes
    """The 101."""
    deadline: float
    """When, on the shard's clock, the handshake has timed out."""
    subprotocol: str | None = None
    """That the answer chooses."""
    resume: bool = True
    """Whether its session may have a resume window."""
    rooms: tuple[str, ...] = ()
    """That a session which begins is in beside `room_id`."""
    claim: Claim | None = None
    """Of which session its client says that it is its own; only where `subprotocol` is that of exact sessions."""
    window_bits: int = 0
    """Of the server's window, where the answer agrees on compression; 0: it does not."""
    is_made_up: bool = False
    """Whether the id was drawn for it, so that nobody else can know it."""
    serial: int = 0
    """Of the session that begins, where its birth key was told before; 0: it was not."""
