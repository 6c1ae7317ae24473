"""Joining and leaving: in which rooms a session is beside its first one.

Called by its connection, by the admission for those that `connect` named, and for other workers; on the loop of its shard.
"""

from __future__ import annotations

import asyncio

from wspulse.actors.sessions.room import Room
from wspulse.actors.sessions.rooms.further import FurtherRooms
from wspulse.actors.sessions.session import Session
from wspulse.actors.sessions.state import SessionState
from wspulse.actors.values.errors import ConnectionClosedError

__all__ = ["add_room", "join_room", "leave_room", "rooms_of"]


def rooms_of(session: Session) -> tuple[str, ...]:
    """The ids of all rooms that it is in, the first one first; of a session that has ended, those that it was in then."""
    further = session.further
    return (session.room.id,) if further is None else (session.room.id, *further.rooms, *further.left)


def join_room(session: Session, room_id: str, timeout_s: float) -> asyncio.Future[None] | None:
    """Be in a room too: at once (None), or when the future is done, which raises ShardUnavailableError after `timeout_s` and
    ConnectionClosedError where the session ends first. Raises that, and ValueError for one room too many."""
    if session.state is SessionState.CLOSED:
        raise ConnectionClosedError(session.id)
    if room_id == session.room.id:
        return None
    shard = session.shard
    try:
        return _further(session).join(room_id, shard.loop, shard.context, timeout_s)
    except ValueError:
        shard.journal.rooms_limited(session.connection)
        raise


def add_room(session: Session, room: Room[Session]) -> None:
    """Be in a room that was entered for the session, and is joined."""
    _further(session).add(room)


def leave_room(session: Session, room_id: str) -> None:
    """Be in a room no more. Raises ValueError for the first one."""
    if room_id == session.room.id:
        raise ValueError(f"wspulse: {room_id!r} is the connection's first room, which it cannot leave")
    if session.further is not None:
        session.further.leave(room_id)


def _further(session: Session) -> FurtherRooms[Session]:
    if session.further is None:
        shard = session.shard
        limit = shard.options.max_rooms_per_connection
        session.further = FurtherRooms(session, shard.room_table, session.place, limit)
    return session.further
