"""What the shards of two hosts say to each other by way of their hosts' gateways: above all about one connection id.

    taker                                        owner
    YieldSession ──────────────────────────────▶            decides about the newcomer; the session comes to rest
                 ◀────────────────────────────── Yielded
    (the taker swaps the entry in the directory: that commits)
    YieldOver ─────────────────────────────────▶            forgets the session, or has it again
                 ◀────────────────────────────── KeptFrames what was sent to it meanwhile

Times are relative: no two hosts have the same clock. Records are encoded by `cluster`, which alone reads them.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from wspulse.actors.mesh.lifecycle import ActorMessage
from wspulse.actors.values.text.exact import Claim

__all__ = [
    "AwaitCallbacks",
    "FarTell",
    "JoinRoomWithin",
    "KeptFrames",
    "YieldMessage",
    "YieldOver",
    "YieldSession",
    "Yielded",
]


class YieldSession(ActorMessage):
    """A newcomer on the host `taker` asks for this id, and waits for `timeout_s` at most. Result: Yielded. ShardUnavailableError
    where the session has not come to rest by then; it stays."""

    connection_id: str
    taker: str
    timeout_s: float
    format: int
    """Of the records that the taker reads."""
    codec: str
    """Of its frames."""
    claim: Claim | None = None
    is_exact: bool = False
    """Whether the newcomer speaks the protocol of exact sessions."""
    only_own: bool = False
    """Whether it has another id, unless the session is its own."""
    is_half_closed: bool = False
    """Whether it may well be gone."""


class Yielded(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What becomes of the id. "refused": the newcomer gets 409; "strange": the session is not its own; "free": no session has the
    id any more; "record": the session goes on where the newcomer is."""

    outcome: Literal["refused", "strange", "free", "record"]
    revision: int = 0
    """Of the owner's entry in the directory; 0: it does not know."""
    number: int = 0
    """Of this yield, by which YieldOver names it."""
    record: bytes = b""
    seen: dict[str, int] = {}
    """By room, the sequence of the last message that the session has got."""
    running: tuple[int, int] | None = None
    """Of an id that is free, the birth key of its last session where a callback of that has yet to run: see AwaitCallbacks."""


class YieldOver(ActorMessage):
    """The taker has the session, or will not take it. Result: None."""

    connection_id: str
    number: int
    is_taken: bool


class AwaitCallbacks(ActorMessage):
    """Wait until the last callback of the session with this birth key has run, for `timeout_s` at most. Result: whether it
    has."""

    connection_id: str
    key: tuple[int, int]
    timeout_s: float


class KeptFrames(ActorMessage):
    """Frames in wire form that were sent to the session while it was between the two hosts. Result: None."""

    connection_id: str
    key: tuple[int, int]
    wires: list[bytes]


class JoinRoomWithin(ActorMessage):
    """JoinRoom for a session of another host. Result: None."""

    connection_id: str
    room_id: str
    timeout_s: float
    key: tuple[int, int] | None = None


class FarTell(ActorMessage):
    """What one shard tells those of another host, each of which gets all of it. Result: (seat, incarnation) of the shard that has
    heard it; None where that does not know the teller to be alive."""

    tag: str
    """Of the teller's host, in its present life."""
    seat: int
    incarnation: int
    number: int
    """Rises from one to the next of this teller: a late copy is not heard."""
    anew: list[int]
    """The seats of those that may have missed something before this."""
    told: list[tuple[int, bytes]]
    """Messages, each with the seat of the shard that it is for."""


YieldMessage = YieldSession | YieldOver | AwaitCallbacks | KeptFrames | JoinRoomWithin | FarTell
