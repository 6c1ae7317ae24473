"""`Member`: one session of a room, as `server.presence` tells of it, a value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from wspulse.actors.mesh.message import ConnectionRecord

__all__ = ["Member", "member_of"]


class Member(msgspec.Struct, frozen=True):
    """One session of a room, as it was when `server.presence` was called."""

    id: str
    """The connection's id."""
    rooms: tuple[str, ...]
    """All rooms that it is in, its first one first."""
    state: Mapping[str, Any]
    """The application's `connection.state`, as far as msgpack can encode it."""
    suspended: bool
    """Whether it waits for its client to come back."""
    since: float
    """When the session began, in seconds of Unix time."""
    shard: int
    """The shard on which it lives."""


def member_of(record: ConnectionRecord) -> Member:
    return Member(
        record.id,
        (record.room_id, *record.further_rooms),
        record.application_state or {},
        record.state == "suspended",
        record.connected_at,
        record.shard,
    )
