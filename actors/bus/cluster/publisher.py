"""`ClusterPublisher`: gives the gateway what this shard publishes, and keeps it until the cluster has acknowledged it.

Made by the cluster's bus. It differs from the publisher of one host in what becomes of a message: of each room one is out at a
time, sent again where another gateway has taken over, and marks and cuts go out when all that was published before them is
acknowledged. Who waits for a broadcast waits for its acknowledgement.
"""

from __future__ import annotations

import asyncio
from collections import deque

import zmq

from wspulse.actors.bus.cluster.lanes import Excluding, Lane
from wspulse.actors.bus.cluster.message import REFUSED, Acknowledgement
from wspulse.actors.bus.message import ROOM_PREFIX, pack, pack_but
from wspulse.actors.bus.publishing.publisher import Publisher
from wspulse.actors.values.errors import ShardUnavailableError
from wspulse.actors.values.metrics import Metrics

__all__ = ["ClusterPublisher"]

ACKNOWLEDGED_S = 10.0
"""For how long a caller waits: the stream's servers may be without a leader for 4 to 10 s."""

_MOST_BYTES = 16 * 1024 * 1024
"""Taken and not acknowledged. Then nothing more is taken until a quarter of it is, so that callers are not looked at for each
frame."""

_GO_ON_BYTES = _MOST_BYTES * 3 // 4

_HEAD_BYTES = 64
"""What a message has besides its frames, about."""

_ROOM = ROOM_PREFIX[0]

_NOBODY: frozenset[str] = frozenset()


def _refusal() -> ShardUnavailableError:
    return ShardUnavailableError("the cluster cannot keep a broadcast of this size")


class _Behind:
    """A mark or a cut, and which frames of which rooms are to be acknowledged first."""

    __slots__ = ("data", "rooms")

    def __init__(self, data: bytes, rooms: dict[str, int]) -> None:
        self.data = data
        self.rooms = rooms


class ClusterPublisher(Publisher):
    """See the module. `origin` is the sender in the messages of rooms."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        endpoint: str,
        *,
        shard: int,
        incarnation: int,
        origin: int,
        metrics: Metrics,
    ) -> None:
        super().__init__(context, endpoint, shard=shard, incarnation=incarnation, metrics=metrics)
        self._origin = origin
        self._lanes: dict[str, Lane] = {}
        self._out: dict[int, Lane] = {}
        """The lane of each message that is out, by its number; in the order of their numbers."""
        self._turn_lanes: list[Lane] = []
        self._unacknowledged_bytes = 0
        self._is_full = False
        self._behind: deque[_Behind] = deque()

    def publish(self, room_id: str, wire: bytes) -> bool:
        if (self._waiters or self._is_full or self._stopped or self.flow.blocked) and not self._is_open(room_id):
            return False
        self._take(room_id, wire)
        return True

    async def publish_when_free(self, room_id: str, wire: bytes, excluded: frozenset[str] = _NOBODY) -> None:
        """Return when it is acknowledged. Raises ShardUnavailableError after 10 s, when it may be delivered all the same where
        the bus had taken it."""
        if self._stopped:
            raise ShardUnavailableError("the bus is closed")
        caller: asyncio.Future[None] = self._loop.create_future()
        if self._is_open(room_id):
            self._take_for(room_id, wire, excluded, caller)
        else:
            self._waiters.wait(room_id, caller, (wire, excluded))
        timer = self._loop.call_later(ACKNOWLEDGED_S, self._unanswered, room_id, caller, context=self._own)
        try:
            await caller
        finally:
            timer.cancel()
            self._waiters.leave(room_id, caller)

    def acknowledged(self, acknowledgement: Acknowledgement) -> None:
        """The cluster keeps these messages, or never will."""
        for number, sequence in acknowledgement.pairs:
            lane = self._out.pop(number, None)
            if lane is None:
                continue  # it was sent twice
            self._unacknowledged_bytes -= lane.out_bytes
            lane.note_acknowledged(_refusal() if sequence == REFUSED else None)
            if lane.has_gathered:
                self._send_next(lane)
            else:
                del self._lanes[lane.room_id]
            if self._behind:
                self._came_nearer(lane)
        if self._is_full and self._unacknowledged_bytes < _GO_ON_BYTES:
            self._is_full = False
            self._let_waiters_go_on()

    def send_again(self) -> None:
        """The gateway may not have what is out, or we not its answer. It knows a message that it has had."""
        self._unsent = deque(data for data in self._unsent if data[0] != _ROOM)
        for lane in self._out.values():
            assert lane.out is not None
            self._send(lane.out)

    def stop(self) -> None:
        """As that of one host, but for the last word, for which nobody in a cluster waits."""
        for lane in self._lanes.values():
            lane.fail_callers(ShardUnavailableError("the server is closing"))
        super().stop()

    def _send_rest(self) -> None:
        """All at once: the gateway keeps the order."""
        for lane in self._lanes.values():
            while lane.has_gathered:
                self._send_next(lane)

    def _is_free(self, room_id: str) -> bool:
        if self._stopped or self._is_full:
            return False
        blocked = self.flow.blocked
        return not blocked or not blocked & self._audience_of(room_id)

    def _take(self, room_id: str, wire: bytes) -> None:
        self._gather(room_id, wire, len(wire), None)

    def _take_but(self, room_id: str, wire: bytes, excluded: frozenset[str]) -> None:
        self._gather(room_id, Excluding(wire, excluded), len(wire), None)

    def _take_for(self, room_id: str, wire: bytes, excluded: frozenset[str], caller: asyncio.Future[None]) -> None:
        self._gather(room_id, Excluding(wire, excluded) if excluded else wire, len(wire), caller)

    def _gather(
        self, room_id: str, frame: bytes | Excluding, size_bytes: int, caller: asyncio.Future[None] | None
    ) -> None:
        lane = self._lanes.get(room_id)
        if lane is None:
            lane = self._lanes[room_id] = Lane(room_id)
        if not lane.turn_bytes:
            self._turn_lanes.append(lane)
        lane.take(frame, size_bytes, caller)
        self._unacknowledged_bytes += size_bytes
        if self._unacknowledged_bytes >= _MOST_BYTES:
            self._is_full = True
        if not self._flush_scheduled:
            self._flush_scheduled = True
            self._loop.call_soon(self._flush, context=self._own)

    def _flush(self) -> None:
        """The turn's frames go out, where nothing of their room is."""
        self._flush_scheduled = False
        if not self._turn_lanes or self._stopped:
            return
        lanes, self._turn_lanes = self._turn_lanes, []
        for lane in lanes:
            size_bytes, lane.turn_bytes = lane.turn_bytes, 0
            if lane.out is None and lane.has_gathered:
                self._send_next(lane)
            if self.flow.published(self.audiences.of(lane.topic), size_bytes + len(lane.topic) + _HEAD_BYTES):
                self._mark(self.flow.due_marks())
        self._begin_period()

    def _send_next(self, lane: Lane) -> None:
        number, previous = self._numbering.next_in_room(lane.room_id)
        frames = lane.next_frames()
        if isinstance(frames, Excluding):
            data = pack_but(lane.topic, self._origin, number, previous, frames.wire, frames.excluded)
        else:
            data = pack(lane.topic, self._origin, number, previous, frames)
        lane.out, lane.number = data, number
        self._out[number] = lane
        self._send(data)

    def _let_waiters_go_on(self) -> None:
        if not self._waiters:
            return
        for room_id, caller, (wire, excluded) in self._waiters.going_on(self._is_free):
            if not caller.done():
                self._take_for(room_id, wire, excluded, caller)

    def _unanswered(self, room_id: str, caller: asyncio.Future[None]) -> None:
        self._waiters.leave(room_id, caller)
        if not caller.done():
            caller.set_exception(ShardUnavailableError("the cluster did not acknowledge the broadcast"))

    # Behind what is not acknowledged.

    def _send_behind(self, data: bytes) -> None:
        rooms = {room_id: lane.taken for room_id, lane in self._lanes.items()}
        if rooms or self._behind:
            self._behind.append(_Behind(data, rooms))
        else:
            self._send(data)

    def _has_marks_waiting(self) -> bool:
        return bool(self._behind) or super()._has_marks_waiting()

    def _came_nearer(self, lane: Lane) -> None:
        room_id, acknowledged = lane.room_id, lane.acknowledged
        for each in self._behind:
            if each.rooms.get(room_id, acknowledged + 1) <= acknowledged:
                del each.rooms[room_id]
        while self._behind and not self._behind[0].rooms:
            self._send(self._behind.popleft().data)
