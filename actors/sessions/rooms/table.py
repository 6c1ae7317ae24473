"""`RoomTable`: the rooms of one shard, and the barrier that whoever joins one waits for.

Part of the shard's actor, made with it. Newcomers and sessions enter a room before they are its members, and let go of it when
they are, or have given up; the bus brings its frames. It decides about no session.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context
from functools import partial
from typing import Any, Protocol

from wspulse.actors.bus.contract import Bus
from wspulse.actors.sessions.room import Room
from wspulse.actors.sessions.session import Session
from wspulse.actors.transport.writing import Writing
from wspulse.actors.values.metrics import Metrics
from wspulse.actors.values.options.server_options import ServerOptions

__all__ = ["RoomTable", "RoomTableShard"]


class RoomTableShard(Protocol):
    """What the table needs of its shard."""

    options: ServerOptions
    metrics: Metrics
    context: Context
    bus: Bus
    writing: Writing
    large_frame_bytes: int
    """What is written at once, and does not wait for the end of the turn."""

    @property
    def clock(self) -> Callable[[], float]:
        """Seconds in which the shard could serve."""

    @property
    def at(self) -> Callable[[float, Callable[[float], None]], None]:
        """Have `call(now)` called at a time or a little later; it cannot be cancelled."""

    @property
    def schedule(self) -> Callable[[Any], None]:
        """Have `item.flush()` called at the end of this loop turn."""


class RoomTable:
    """See the module. `rooms` are those that are joined, or waited for, by their ids."""

    def __init__(self, shard: RoomTableShard) -> None:
        self._shard = shard
        self.rooms: dict[str, Room[Session]] = {}

    def enter(self, room_id: str) -> Room[Session]:
        """A room for somebody who is about to join it, which keeps it until they `let_go`. Its `waiting` is None when every
        broadcast that is issued from now on reaches this shard; till then a call put there is made as soon as that is so."""
        room = self.rooms.get(room_id)
        if room is not None:
            room.joiners += 1
            return room
        shard = self._shard
        limit_frames = shard.options.send_buffer_size
        room = self.rooms[room_id] = Room(room_id, limit_frames, shard.large_frame_bytes, shard.metrics, shard.writing)
        room.joiners = 1
        shard.bus.join(room_id, partial(_joined, room))
        return room

    def let_go(self, room: Room[Session]) -> None:
        """Somebody who entered is a member now, or has given up."""
        room.joiners -= 1
        self.look_at(room)

    def look_at(self, room: Room[Session]) -> None:
        """Let go of a room that nobody needs."""
        if room.joiners or len(room):
            return
        shard = self._shard
        delay_s = shard.bus.leave_delay_s
        if delay_s == 0:
            self._drop(room)
            return
        room.gone_at = shard.clock()
        if not room.is_looked_after:
            # One look at a time: somebody may join and leave it thousands of times until then.
            room.is_looked_after = True
            shard.at(room.gone_at + delay_s, partial(self._look_again, room))

    def deliver(self, room_id: str, wire: bytes) -> None:
        """A frame of the bus, for the members here; they get it at the end of this loop turn."""
        room = self.rooms.get(room_id)
        if room is not None and room.post(wire):
            self._shard.schedule(room)

    def deliver_but(self, room_id: str, wire: bytes, excluded: frozenset[str]) -> None:
        """A frame of the bus, for the members here but those with these ids; they get it now."""
        room = self.rooms.get(room_id)
        if room is not None:
            # It writes at once, and what a socket does not take keeps the context in which it was written.
            self._shard.context.copy().run(room.write_but, wire, excluded)

    def _look_again(self, room: Room[Session], now: float) -> None:
        """Nobody was there a while ago."""
        due = room.gone_at + self._shard.bus.leave_delay_s
        if room.joiners or len(room):
            room.is_looked_after = False
        elif now < due:
            self._shard.at(due, partial(self._look_again, room))
        else:
            self._drop(room)

    def _drop(self, room: Room[Session]) -> None:
        if self.rooms.get(room.id) is room:
            del self.rooms[room.id]
            self._shard.bus.leave(room.id)


def _joined(room: Room[Session]) -> None:
    waiting, room.waiting = room.waiting, None
    if waiting is not None:
        for call in waiting.values():
            call()
