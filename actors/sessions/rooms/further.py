"""`FurtherRooms`: the rooms that a session is in, or is about to be in, beside its first one.

Made by a session that joins its first further one: a session of one room has none. It enters rooms in the shard's table and
waits for their barrier; what the session's transport takes, it tells them. It knows no socket and writes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from functools import partial
from typing import Generic, Protocol, TypeVar

from wspulse.actors.sessions.room import Keep, Room, RoomMember
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
    """See the module. `rooms` are those that `session` is a member of, in the order in which it became one, `left` the ids of
    those that it was in when it ended; `place` makes it a member of a room as its transport is now."""

    __slots__ = ("_joining", "_limit", "_place", "_session", "_table", "left", "rooms")

    def __init__(self, session: M, table: RoomEntrance[M], place: Callable[[Room[M]], None], limit: int) -> None:
        self.rooms: dict[str, Room[M]] = {}
        self.left: tuple[str, ...] = ()
        self._session = session
        self._table = table
        self._place = place
        self._limit = limit
        self._joining: dict[str, _Joining[M]] = {}

    def join(
        self, room_id: str, loop: asyncio.AbstractEventLoop, context: Context, timeout_s: float
    ) -> asyncio.Future[None] | None:
        """Become a member when the barrier has passed: at once (None), or when the future is done. That raises
        ShardUnavailableError after `timeout_s`, and nobody becomes a member where all who wait have given up. Raises ValueError
        for one room too many. What the loop calls runs in `context`."""
        if room_id in self.rooms:
            return None
        joining = self._joining.get(room_id)
        if joining is None:
            if len(self.rooms) + len(self._joining) >= self._limit:
                raise ValueError(f"wspulse: a connection may be in at most {self._limit} rooms besides its first one")
            room = self._table.enter(room_id)
            if room.waiting is None:
                self.add(room)
                return None
            joining = self._joining[room_id] = _Joining(room)
            room.waiting[joining] = partial(self._joined, joining)
        call: asyncio.Future[None] = loop.create_future()
        joining.calls.add(call)
        timer = loop.call_later(timeout_s, _late, call, context=context)
        call.add_done_callback(partial(self._answered, joining, timer), context=context)
        return call

    @property
    def is_joining(self) -> bool:
        """Whether somebody waits for a room to be joined."""
        return bool(self._joining)

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
            self._let_go(joining)
        elif room_id in self.left:
            # It ended first; on_disconnect need not tell this one.
            self.left = tuple(left for left in self.left if left != room_id)

    def end(self, connection_id: str) -> None:
        """The session has ended: out of all of them. Those who wait get ConnectionClosedError. on_disconnect may want to tell the
        rooms, so their ids stay; what would make a circle with the session does not."""
        rooms, self.rooms = self.rooms, {}
        self.left = tuple(rooms)
        for room in rooms.values():
            room.remove(self._session)
            self._table.look_at(room)
        waiting, self._joining = self._joining, {}
        for joining in waiting.values():
            for call in joining.calls:
                if not call.done():
                    call.set_exception(ConnectionClosedError(connection_id))
            self._let_go(joining)
        del self._session, self._place

    def set_slow(self) -> None:
        for room in self.rooms.values():
            room.set_slow(self._session)

    def set_swift(self, write: Callable[[bytes], object], keep: Keep | None = None) -> None:
        for room in self.rooms.values():
            room.set_swift(self._session, write, keep)

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
            self._let_go(joining)

    def _let_go(self, joining: _Joining[M]) -> None:
        """Nobody waits for the room any more."""
        joining.room.wait_no_more(joining)
        self._table.let_go(joining.room)


def _end(joining: _Joining[M]) -> None:
    for call in joining.calls:
        if not call.done():
            call.set_result(None)


def _late(call: asyncio.Future[None]) -> None:
    if not call.done():
        call.set_exception(ShardUnavailableError("the room could not be joined in time"))
