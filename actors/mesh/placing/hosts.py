"""What a shard asks its host's gateway: who has a connection id, and what the shards of other hosts say.

Times are relative where they go to another host: no two have the same clock. Messages to other hosts, and their answers, are
carried as bytes, which only the two ends read.
"""

from __future__ import annotations

import msgspec

from wspulse.actors.mesh.lifecycle import ActorMessage

__all__ = [
    "GATEWAY_SEAT",
    "AskHost",
    "AskHosts",
    "ClaimId",
    "Entry",
    "FindId",
    "GatewayMessage",
    "HostCall",
    "MoveId",
    "ReachRoom",
    "ReleaseId",
    "RoomMessages",
]

GATEWAY_SEAT = -2
"""The gateway is reached as a shard is, and is none."""


class Entry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Who has an id: a host, and there the session with this birth key. `is_claimed`: it is the asker's by what it has asked."""

    is_claimed: bool
    host: str
    key: tuple[int, int]
    revision: int


class ClaimId(ActorMessage):
    """Have an id that nobody has. Result: Entry. ShardUnavailableError where the directory does not answer."""

    connection_id: str
    key: tuple[int, int]


class MoveId(ActorMessage):
    """Have the id of the entry of this revision. Result: Entry; None where there is none any more."""

    connection_id: str
    key: tuple[int, int]
    revision: int


class ReleaseId(ActorMessage):
    """Have an id no more, if its entry is still that of this revision. Claims that follow come behind it. Result: None."""

    connection_id: str
    revision: int


class FindId(ActorMessage):
    """Who has an id. Result: Entry, or None."""

    connection_id: str


class AskHost(ActorMessage):
    """Ask the shard that owns an id on another host. Result: its answer (`cluster.calls`). `deadline` is monotonic, 0 for none.
    `connection_id` "": ask all its shards. Result then: their answers as a list of bytes, encoded."""

    host: str
    connection_id: str
    message: bytes
    deadline: float


class AskHosts(ActorMessage):
    """Ask every shard of every other host. Result: a list of (host, answer), for those that have one."""

    message: bytes
    timeout_s: float


class RoomMessages(ActorMessage):
    """The messages of a room with sequences above `after` and up to `upto`, as the bus has them. Result: a list of bytes."""

    room_id: str
    after: int
    upto: int


class ReachRoom(ActorMessage):
    """Result: None, when all messages of a room up to that sequence have gone to the workers that have joined it."""

    room_id: str
    sequence: int


class HostCall(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What one gateway asks another: of the shard that owns an id, or (None) of all shards there."""

    connection_id: str | None
    message: bytes
    timeout_s: float | None


GatewayMessage = ClaimId | MoveId | ReleaseId | FindId | AskHost | AskHosts | RoomMessages | ReachRoom
