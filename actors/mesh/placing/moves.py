"""What two processes say to each other while sessions move from one to the other, on a stream of its own to the target's mailbox.

    source                                       target
    MoveBegins ────────────────────────────────▶           watches the source's cuts
               ◀──────────────────────────────── MoveReady, MoveRefused
    BatchComing ───────────────────────────────▶           joins the rooms
               ◀──────────────────────────────── BatchJoined
    (the cut, through the bus, to both)
    SessionComes, SocketComes … BatchSent ─────▶           builds them
               ◀──────────────────────────────── BatchBuilt
    BatchCommitted ────────────────────────────▶           has them
    MoveEnds ──────────────────────────────────▶

Whoever ends the stream takes back, or gives up, what is not committed. A record is encoded by `moving`, which alone reads it.
"""

from __future__ import annotations

from wspulse.actors.mesh.lifecycle import ActorMessage

__all__ = [
    "BatchBuilt",
    "BatchComing",
    "BatchCommitted",
    "BatchJoined",
    "BatchSent",
    "MoveAnswer",
    "MoveBegins",
    "MoveEnds",
    "MoveEnvelope",
    "MoveReady",
    "MoveRefused",
    "SessionComes",
    "SocketComes",
]


class MoveBegins(ActorMessage):
    """Who moves sessions out, and how it writes their records."""

    plan: int
    seat: int
    incarnation: int
    format: int
    slots: list[int]
    """That come to this seat. Who is about to connect with an id of theirs is the target's when the source sends it on."""


class MoveReady(ActorMessage):
    """`codec` is what frames are encoded with here: sessions of another one cannot come."""

    plan: int
    codec: str


class MoveRefused(ActorMessage):
    plan: int
    reason: str


class BatchComing(ActorMessage):
    """Sessions that are about to come: id, and its rooms as numbers in `rooms`."""

    batch: int
    rooms: list[str]
    sessions: list[tuple[str, list[int]]]


class BatchJoined(ActorMessage):
    """Everything that is broadcast to its rooms comes here too."""

    batch: int


class SessionComes(ActorMessage):
    """One that waits for its client."""

    batch: int
    record: bytes


class SocketComes(ActorMessage):
    """One whose socket travels with the first byte of this envelope."""

    batch: int
    record: bytes


class BatchSent(ActorMessage):
    """That were all, so many."""

    batch: int
    sessions: int


class BatchBuilt(ActorMessage):
    """They are as good as here, but for those that cannot be."""

    batch: int
    refused: list[str]


class BatchCommitted(ActorMessage):
    """They are the target's. `late`: what was sent to some of them since they were recorded, by id, in order."""

    batch: int
    late: dict[str, list[bytes]]


class MoveEnds(ActorMessage):
    """No further batch comes."""

    plan: int


MoveEnvelope = MoveBegins | BatchComing | SessionComes | SocketComes | BatchSent | BatchCommitted | MoveEnds
"""What a source sends."""

MoveAnswer = MoveReady | MoveRefused | BatchJoined | BatchBuilt
"""What a target answers."""
