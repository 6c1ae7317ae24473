"""`RoomTable`: the rooms of one shard, and the barrier that whoever joins one waits for.

Part of the shard's actor, made with it. Newcomers and sessions enter a room before they are its members, and let go of it when
they are, or have given up; the bus brings its frames. It decides about no session.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from wspulse.actors.bus.contract import Bus
from wspulse.actors.sessions.room import Room
from wspulse.actors.sessions.session import Session
from wspulse.actors.values.metrics import Metrics
from wspulse.actors.values.options.server_options import ServerOptions

__all__ = ["RoomTable", "RoomTableShard"]


class RoomTableShard(Protocol):
    """What the table needs of its shard."""

    options: ServerOptions
    metrics: Metrics
    bus: Bus

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
        broadcast that is issued from now on reaches this shard; till then a call added there is made as soon as that is so."""
        room = self.rooms.get(room_id)
        if room is not None:
            room.joiners += 1
            return room
        room = self.rooms[room_id] = Room(room_id, self._shard.options.send_buffer_size, self._shard.metrics)
        room.joiners = 1
        self._shard.bus.join(room_id, partial(_joined, room))
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
        has_deadline = room.gone_at is not None
        room.gone_at = now = shard.clock()
        if not has_deadline:
            # One for all leaves of a room, of which there may be thousands a second.
            shard.at(now + delay_s, partial(self._leave_is_due, room))

    def _leave_is_due(self, room: Room[Session], now: float) -> None:
        """Drop a room that nobody has needed since its last member left, or wait for that."""
        gone_at, shard = room.gone_at, self._shard
        assert gone_at is not None
        if room.joiners or len(room):
            room.gone_at = None
            return
        due = gone_at + shard.bus.leave_delay_s
        if now >= due:
            self._drop(room)
        else:
            shard.at(due, partial(self._leave_is_due, room))

    def deliver(self, room_id: str, wire: bytes) -> None:
        """A frame of the bus, for the members here; they get it at the end of this loop turn."""
        room = self.rooms.get(room_id)
        if room is not None and room.post(wire):
            self._shard.schedule(room)

    def deliver_but(self, room_id: str, wire: bytes, excluded: frozenset[str]) -> None:
        """A frame of the bus, for the members here but those with these ids; they get it now."""
        room = self.rooms.get(room_id)
        if room is not None:
            room.write_but(wire, excluded)

    def _drop(self, room: Room[Session]) -> None:
        if self.rooms.get(room.id) is room:
            del self.rooms[room.id]
            self._shard.bus.leave(room.id)


def _joined(room: Room[Session]) -> None:
    waiting, room.waiting = room.waiting, None
    for call in waiting or ():
        call()
