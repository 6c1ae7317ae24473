"""`ZmqBus`: the room bus of a server with several shards, over ZeroMQ.

One per worker, created by its runtime. It pushes to the supervisor's forwarder, which publishes to all; everybody, this
shard included, delivers what comes back, so that all deliver in one order. See `wspulse.actors.bus.contract` for the contract.

Sockets are plain and non-blocking, on the loop by their descriptor. That descriptor tells only of *changes*, and any
operation on a socket may use one up: a reader drains until EAGAIN, and whoever touches a socket schedules a look at it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable

import zmq

from wspulse.actors.bus.flow import BusFlow
from wspulse.actors.bus.message import PROBE_PREFIX, GapWatch, pack, pack_mark, room_topic, unpack, unpack_mark
from wspulse.actors.mesh.actor import ASK_TIMEOUT_S
from wspulse.actors.values.errors import ShardUnavailableError
from wspulse.actors.values.metrics import Metrics

__all__ = ["ZmqBus"]

_PUSH_HIGH_WATER = 1000
"""Messages that wait in this process for the forwarder before callers wait."""

_BATCH_BYTES = 256 * 1024
"""A room's batch is sent within its turn when it reaches this, so that one long turn holds bounded memory."""

_BATCH_FRAMES = 256
_DRAIN_BUDGET = 256
"""Messages taken from the bus in one go; then sockets have their turn."""

_PROBE_FIRST_S = 0.0002
_PROBE_MOST_S = 0.05
_RETRY_S = 0.02
"""A second look at a full socket, should its descriptor's change have been used up unseen."""

_KNOWN_ROOMS = 100_000
"""Rooms whose last message number is remembered; beyond that all are forgotten, which only pauses the check for gaps."""

_ROOM, _MARK, _PROBE = b"r"[0], b"m"[0], PROBE_PREFIX[0]

_logger = logging.getLogger("wspulse.bus")


class ZmqBus:
    """See the module. `deliver(room_id, wire)` takes a frame; `tell_consumed(shard, sender, number)` answers a mark of another
    shard."""

    leave_delay_s = 5.0

    def __init__(
        self,
        push_endpoint: str,
        subscribe_endpoint: str,
        *,
        shard: int,
        incarnation: int,
        metrics: Metrics,
        deliver: Callable[[str, bytes], None],
        tell_consumed: Callable[[int, int, int], None],
    ) -> None:
        self._shard = shard
        self._incarnation = incarnation
        self._metrics = metrics
        self._deliver = deliver
        self._tell_consumed = tell_consumed
        self._loop = asyncio.get_running_loop()
        self._context = zmq.Context()
        self._push: zmq.Socket[bytes] = self._context.socket(zmq.PUSH)
        self._push.setsockopt(zmq.SNDHWM, _PUSH_HIGH_WATER)
        self._push.setsockopt(zmq.LINGER, 500)
        self._push.connect(push_endpoint)
        self._subscribe: zmq.Socket[bytes] = self._context.socket(zmq.SUB)
        # No high-water mark on the receiving side: there it would drop silently. Flow control bounds what can pile up.
        self._subscribe.setsockopt(zmq.RCVHWM, 0)
        self._subscribe.setsockopt(zmq.LINGER, 0)
        self._subscribe.connect(subscribe_endpoint)
        self._stopped = False

        self._number = 0
        self._last_in_room: dict[str, int] = {}
        self._batches: dict[str, list[bytes]] = {}
        self._batch_bytes = 0
        self._flush_scheduled = False
        self._unsent: deque[bytes] = deque()
        self._waiters: deque[tuple[asyncio.Future[None], str, bytes]] = deque()
        self._retry: asyncio.TimerHandle | None = None
        self.flow = BusFlow()

        self._gaps = GapWatch()
        self._joining: dict[str, Callable[[], None]] = {}
        self._turn_joins: list[tuple[str, Callable[[], None]]] = []
        self._probes: dict[bytes, list[tuple[str, Callable[[], None]]]] = {}
        self._probe_timers: dict[bytes, asyncio.TimerHandle] = {}
        self._probe_number = 0
        self._look_scheduled = False

        self.flow.shard_up(shard)
        self._subscribe.setsockopt(zmq.SUBSCRIBE, b"m")
        self._loop.add_reader(self._subscribe.fileno(), self._look)
        self._loop.add_reader(self._push.fileno(), self._push_changed)

    def stop(self) -> None:
        """Send what is batched, then end. Callers that wait get ShardUnavailableError."""
        if self._stopped:
            return
        self._flush()
        self._stopped = True
        for timer in (self._retry, *self._probe_timers.values()):
            if timer is not None:
                timer.cancel()
        for future, _, _ in self._waiters:
            if not future.done():
                future.set_exception(ShardUnavailableError("the server is closing"))
        self._waiters.clear()
        for socket in (self._push, self._subscribe):
            self._loop.remove_reader(socket.fileno())
            socket.close()
        self._context.term()

    # Publishing.

    def publish(self, room_id: str, wire: bytes) -> bool:
        if self._waiters or self._unsent or self._stopped or not self.flow.may_publish:
            return False
        self._take(room_id, wire)
        return True

    async def publish_when_free(self, room_id: str, wire: bytes) -> None:
        if self.publish(room_id, wire):
            return
        if self._stopped:
            raise ShardUnavailableError("the bus is closed")
        future: asyncio.Future[None] = self._loop.create_future()
        self._waiters.append((future, room_id, wire))
        self._set_retry()
        timer = self._loop.call_later(ASK_TIMEOUT_S, _stalled, future)
        try:
            await future
        finally:
            timer.cancel()

    def _take(self, room_id: str, wire: bytes) -> None:
        batch = self._batches.get(room_id)
        if batch is None:
            self._batches[room_id] = [wire]
        else:
            batch.append(wire)
        self._batch_bytes += len(wire)
        if self._batch_bytes >= _BATCH_BYTES or (batch is not None and len(batch) >= _BATCH_FRAMES):
            self._flush()
        elif not self._flush_scheduled:
            self._flush_scheduled = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        """One message per room with what was published in this turn."""
        self._flush_scheduled = False
        if not self._batches or self._stopped:
            return
        batches, self._batches = self._batches, {}
        self._batch_bytes = 0
        last_in_room = self._last_in_room
        if len(last_in_room) > _KNOWN_ROOMS:
            last_in_room.clear()
        for room_id, frames in batches.items():
            self._number += 1
            data = pack(room_topic(room_id), self._incarnation, self._number, last_in_room.get(room_id, 0), frames)
            last_in_room[room_id] = self._number
            self._send(data)
            if self.flow.published(len(data)):
                self._mark()

    def _send(self, data: bytes) -> None:
        if not self._unsent:
            try:
                self._push.send(data, zmq.NOBLOCK)
                self._metrics.bus_messages_out += 1
                return
            except zmq.Again:
                self._set_retry()
        self._unsent.append(data)

    def _mark(self) -> None:
        self._number += 1
        self.flow.mark(self._number)
        self._send(pack_mark(self._shard, self._incarnation, self._number))

    def _push_changed(self) -> None:
        # Asking for the events is what takes the change off the descriptor.
        self._push.getsockopt(zmq.EVENTS)
        self._send_unsent()

    def _send_unsent(self) -> None:
        """The forwarder may have taken something: send what waits, then let callers go on in their order."""
        unsent = self._unsent
        while unsent and not self._stopped:
            try:
                self._push.send(unsent[0], zmq.NOBLOCK)
            except zmq.Again:
                break
            unsent.popleft()
            self._metrics.bus_messages_out += 1
        self._let_waiters_go_on()

    def _let_waiters_go_on(self) -> None:
        waiters = self._waiters
        while waiters and not self._unsent and self.flow.may_publish and not self._stopped:
            future, room_id, wire = waiters.popleft()
            if not future.done():
                self._take(room_id, wire)
                future.set_result(None)
        if waiters or self._unsent:
            self._set_retry()

    def _set_retry(self) -> None:
        if self._retry is None and not self._stopped:
            self._retry = self._loop.call_later(_RETRY_S, self._try_again)

    def _try_again(self) -> None:
        self._retry = None
        self._send_unsent()

    # Flow control.

    def shard_up(self, shard: int) -> None:
        self.flow.shard_up(shard)

    def shard_down(self, shard: int) -> None:
        self.flow.shard_down(shard)
        self._let_waiters_go_on()

    def consumed(self, shard: int, sender: int, number: int) -> None:
        """A shard's answer to one of our marks."""
        if sender == self._incarnation:
            self.flow.consumed(shard, number)
            self._let_waiters_go_on()

    # Joining.

    def join(self, room_id: str, joined: Callable[[], None]) -> None:
        self._joining[room_id] = joined
        self._gaps.joined(room_id)
        self._subscribe.setsockopt(zmq.SUBSCRIBE, room_topic(room_id))
        if not self._turn_joins:
            self._loop.call_soon(self._probe_turn)
        self._turn_joins.append((room_id, joined))

    def leave(self, room_id: str) -> None:
        self._joining.pop(room_id, None)
        self._gaps.left(room_id)
        if not self._stopped:
            self._subscribe.setsockopt(zmq.UNSUBSCRIBE, room_topic(room_id))
            self._schedule_look()

    def _probe_turn(self) -> None:
        """One probe serves all rooms first joined in this turn."""
        if self._stopped:
            return
        rooms, self._turn_joins = self._turn_joins, []
        self._probe_number += 1
        topic = PROBE_PREFIX + b"%d.%d.%d;" % (self._shard, self._incarnation, self._probe_number)
        self._probes[topic] = rooms
        self._subscribe.setsockopt(zmq.SUBSCRIBE, topic)
        self._schedule_look()
        self._probe(topic, _PROBE_FIRST_S)

    def _probe(self, topic: bytes, again_s: float) -> None:
        if not any(self._joining.get(room_id) is joined for room_id, joined in self._probes[topic]):
            # Every room was left again before it was joined.
            self._end_probe(topic)
            return
        try:
            # Past what waits in `_unsent`: a probe carries no order.
            self._push.send(topic, zmq.NOBLOCK)
        except zmq.Again:
            pass
        self._probe_timers[topic] = self._loop.call_later(again_s, self._probe, topic, min(again_s * 2, _PROBE_MOST_S))

    def _end_probe(self, topic: bytes) -> list[tuple[str, Callable[[], None]]]:
        timer = self._probe_timers.pop(topic, None)
        if timer is not None:
            timer.cancel()
        self._subscribe.setsockopt(zmq.UNSUBSCRIBE, topic)
        self._schedule_look()
        return self._probes.pop(topic)

    # Receiving.

    def _schedule_look(self) -> None:
        if not self._look_scheduled:
            self._look_scheduled = True
            self._loop.call_soon(self._look)

    def _look(self) -> None:
        """Take what has come, within a budget."""
        self._look_scheduled = False
        if self._stopped:
            return
        recv = self._subscribe.recv
        for _ in range(_DRAIN_BUDGET):
            try:
                data = recv(zmq.NOBLOCK)
            except zmq.Again:
                return
            kind = data[0]
            if kind == _ROOM:
                self._receive(data)
            elif kind == _MARK:
                self._receive_mark(data)
            elif kind == _PROBE and data in self._probes:
                for room_id, joined in self._end_probe(data):
                    # A room that was left and joined again since waits for its later probe.
                    if self._joining.get(room_id) is joined:
                        del self._joining[room_id]
                        joined()
        self._schedule_look()

    def _receive(self, data: bytes) -> None:
        self._metrics.bus_messages_in += 1
        message = unpack(data)
        if not self._gaps.follows(message):
            self._metrics.bus_gaps += 1
            _logger.error(
                "the bus lost a message",
                extra={"room_id": message.room_id, "sender": message.sender, "expected": message.previous},
            )
        for wire in message.frames:
            self._deliver(message.room_id, wire)

    def _receive_mark(self, data: bytes) -> None:
        shard, sender, number = unpack_mark(data)
        if shard == self._shard:
            self.consumed(shard, sender, number)
        else:
            self._tell_consumed(shard, sender, number)


def _stalled(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_exception(ShardUnavailableError("the bus stalled"))
