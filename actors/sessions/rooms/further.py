"""`FurtherRooms`: the rooms that a session is in, or is about to be in, beside its first one.

Made by a session that joins its first further one: a session of one room has none. It enters rooms in the shard's table and
waits for their barrier; what the session's transport takes, it tells them. It knows no socket and writes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Generic, Protocol, TypeVar

from wspulse.actors.sessions.room import Room, RoomMember
from wspulse.actors.values.errors import ConnectionClosedError, ShardUnavailableError

__all__ = ["FurtherRooms", "RoomEntrance"]

M = TypeVar("M", bound=RoomMember)


class RoomEntrance(Protocol[M]):
    """The shard's table of rooms."""

    def enter(self, room_id: str) -> Room[M]: ...

    def let_go(self, room: Room[M]) -> None: ...

    def look_at(self, room: Room[M]) -> None: ...


class _Joining(Generic[M]):
    """A room whose barrier is awaited, and those who wait for it."""

    __slots__ = ("calls", "room")

    def __init__(self, room: Room[M]) -> None:
        self.room = room
        self.calls: set[asyncio.Future[None]] = set()


class FurtherRooms(Generic[M]):
    """See the module. `rooms` are those that `session` is a member of, in the order in which it became one; `place` makes it a
    member of a room as its transport is now."""

    __slots__ = ("_joining", "_limit", "_place", "_session", "_table", "_was_in", "rooms")

    def __init__(self, session: M, table: RoomEntrance[M], place: Callable[[Room[M]], None], limit: int) -> None:
        self.rooms: dict[str, Room[M]] = {}
        self._session = session
        self._table = table
        self._place = place
        self._limit = limit
        self._joining: dict[str, _Joining[M]] = {}
        self._was_in: tuple[str, ...] = ()

    @property
    def ids(self) -> tuple[str, ...]:
        """Of the rooms; once the session has ended, of those that it was in then."""
        return self._was_in or tuple(self.rooms)

    def join(self, room_id: str, loop: asyncio.AbstractEventLoop, timeout_s: float) -> asyncio.Future[None] | None:
        """Become a member when the barrier has passed: at once (None), or when the future is done. That raises
        ShardUnavailableError after `timeout_s`, and nobody becomes a member where all who wait have given up. Raises ValueError
        for one room too many."""
        if room_id in self.rooms:
            return None
        joining = self._joining.get(room_id)
        if joining is None:
            if len(self.rooms) + len(self._joining) >= self._limit:
                raise ValueError(f"wspulse: a connection is in at most {self._limit} rooms beside its first one")
            room = self._table.enter(room_id)
            if room.waiting is None:
                self.add(room)
                return None
            joining = self._joining[room_id] = _Joining(room)
            room.waiting.append(partial(self._joined, joining))
        call: asyncio.Future[None] = loop.create_future()
        joining.calls.add(call)
        timer = loop.call_later(timeout_s, _late, call)
        call.add_done_callback(partial(self._answered, joining, timer))
        return call

    def add(self, room: Room[M]) -> None:
        """The session is a member of a room that was entered for it, and is joined."""
        self.rooms[room.id] = room
        self._place(room)
        self._table.let_go(room)

    def leave(self, room_id: str) -> None:
        """Be no member any more. A join that waits for this room is over too: it came before, and returns."""
        room = self.rooms.pop(room_id, None)
        if room is not None:
            room.remove(self._session)
            self._table.look_at(room)
            return
        joining = self._joining.pop(room_id, None)
        if joining is not None:
            _end(joining)
            self._table.let_go(joining.room)

    def end(self, connection_id: str) -> None:
        """The session has ended: out of all of them. Those who wait get ConnectionClosedError."""
        rooms, self.rooms = self.rooms, {}
        self._was_in = tuple(rooms)
        for room in rooms.values():
            room.remove(self._session)
            self._table.look_at(room)
        waiting, self._joining = self._joining, {}
        for joining in waiting.values():
            for call in joining.calls:
                if not call.done():
                    call.set_exception(ConnectionClosedError(connection_id))
            self._table.let_go(joining.room)
        # The application may keep the connection, and only Python's collector would find the circle.
        del self._session, self._place

    def set_slow(self) -> None:
        for room in self.rooms.values():
            room.set_slow(self._session)

    def set_swift(self, write: Callable[[bytes], object]) -> None:
        for room in self.rooms.values():
            room.set_swift(self._session, write)

    def flush(self) -> None:
        for room in self.rooms.values():
            room.flush()

    def _joined(self, joining: _Joining[M]) -> None:
        room = joining.room
        if self._joining.get(room.id) is joining:
            del self._joining[room.id]
            if all(call.done() for call in joining.calls):
                # All have given up, and it is told in this same turn of the loop.
                self._table.let_go(room)
                return
            self.add(room)
            _end(joining)

    def _answered(self, joining: _Joining[M], timer: asyncio.TimerHandle, call: asyncio.Future[None]) -> None:
        """Somebody waits no more. The last one who gives up takes the session's wish back."""
        timer.cancel()
        joining.calls.discard(call)
        room = joining.room
        if not joining.calls and self._joining.get(room.id) is joining:
            del self._joining[room.id]
            self._table.let_go(room)


def _end(joining: _Joining[M]) -> None:
    for call in joining.calls:
        if not call.done():
            call.set_result(None)


def _late(call: asyncio.Future[None]) -> None:
    if not call.done():
        call.set_exception(ShardUnavailableError("the room could not be joined in time"))
