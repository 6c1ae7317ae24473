"""`Member`: one session of a room, as `server.presence` tells of it, a value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from wspulse.actors.mesh.message import ConnectionRecord

__all__ = ["Member", "member_of"]


class Member(msgspec.Struct, frozen=True):
    """Who is there. A snapshot: what it says was true when it was asked."""

    id: str
    """The id of its connection."""
    rooms: tuple[str, ...]
    """All rooms that it is in, the first one first."""
    state: Mapping[str, Any]
    """The application's, as far as msgpack can express it."""
    suspended: bool
    """Whether it waits for its client to come back."""
    since: float
    """When the session began, in Unix time."""
    shard: int
    """The worker in which it lives."""


def member_of(record: ConnectionRecord) -> Member:
    return Member(
        record.id,
        (record.room_id, *record.further_rooms),
        record.application_state or {},
        record.state == "suspended",
        record.connected_at,
        record.shard,
    )
