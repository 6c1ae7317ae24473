"""`Publisher`: gives the bus what this shard publishes, in its order, and no more of it than the others can follow.

Made by the bus, with a socket to the forwarder of its own. What is published in one loop turn goes out as one message per room;
what the forwarder does not take waits in `_unsent`, and behind it all callers; callers to the rooms of a shard that is too far
behind wait for that shard. It delivers nothing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from contextvars import copy_context

import zmq

from wspulse.actors.bus.contract import Bus
from wspulse.actors.bus.message import pack, pack_but, pack_cut, pack_last_word, pack_mark, room_topic
from wspulse.actors.bus.publishing.audiences import Audiences
from wspulse.actors.bus.publishing.flow import BusFlow
from wspulse.actors.bus.publishing.numbering import Numbering
from wspulse.actors.bus.publishing.waiters import Waiters
from wspulse.actors.mesh.actor import ASK_TIMEOUT_S
from wspulse.actors.values.errors import ShardUnavailableError
from wspulse.actors.values.metrics import Metrics

__all__ = ["Publisher"]

_PUSH_HIGH_WATER = 1000
"""Messages that wait in this process for the forwarder before callers wait."""

_BATCH_BYTES = 256 * 1024
"""A room's batch is sent within its turn when it reaches this, so that one long turn holds bounded memory."""

_BATCH_FRAMES = 256

_RETRY_S = 0.02
"""A second look at a full socket, should its descriptor's change have been used up unseen."""

_MARK_AGAIN_S = 1.0
"""A shard that is too far behind is marked again so often: its last answers may have been lost with a link, and without
further bytes there is no further mark."""

_LAST_WORD_MS = 500

_NUMBERS_KEPT_S = 60.0
"""How long a room's last message is remembered at least after it."""


class Publisher:
    """See the module, and `wspulse.actors.bus.contract` for what publishing promises."""

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], endpoint: str, *, shard: int, incarnation: int, metrics: Metrics
    ) -> None:
        self._shard = shard
        self._incarnation = incarnation
        self._metrics = metrics
        self._loop = asyncio.get_running_loop()
        self._own = copy_context()  # in which the loop calls us: that of a handler, which publishes, would be kept
        self._push: zmq.Socket[bytes] = context.socket(zmq.PUSH)
        self._push.setsockopt(zmq.SNDHWM, _PUSH_HIGH_WATER)
        self._push.setsockopt(zmq.LINGER, _LAST_WORD_MS)
        self._push.connect(endpoint)
        self._stopped = False
        self._numbering = Numbering()
        self._period: asyncio.TimerHandle | None = None
        self._batches: dict[str, list[bytes]] = {}
        self._batch_bytes = 0
        self._flush_scheduled = False
        self._unsent: deque[bytes] = deque()
        self._waiters: Waiters[asyncio.Future[None], tuple[bytes, frozenset[str]]] = Waiters()
        self._successor: Bus | None = None
        """Which has this one's place."""
        self._retry: asyncio.TimerHandle | None = None
        self._mark_again: asyncio.TimerHandle | None = None
        self.audiences = Audiences()
        self.flow = BusFlow()
        # Everything counts against this shard itself: its marks come back when the forwarder has taken what came before.
        self.flow.shard_up(shard, incarnation)
        self._loop.add_reader(self._push.fileno(), self._push_changed)

    def stop(self) -> None:
        """Send what is batched and what waits, and a last word, then end. Callers that wait get ShardUnavailableError. Blocks for
        half a second at most, while the forwarder takes nothing."""
        for future in self._waiters:
            if not future.done():
                future.set_exception(ShardUnavailableError("the server is closing"))
        self._waiters.clear()
        self._send_rest()
        if self._unsent:
            # Nothing comes to wait any more, and the socket may keep it all: as soon as it takes something it takes the rest.
            self._push.setsockopt(zmq.SNDHWM, 0)
            if self._push.poll(_LAST_WORD_MS, zmq.POLLOUT):
                self._send_unsent()
        self._end()

    def _send_rest(self) -> None:
        self._flush()
        self._send(pack_last_word(self._incarnation))

    def abandon(self) -> None:
        """End at once; what waits is given up."""
        self._push.setsockopt(zmq.LINGER, 0)
        self._end()

    def _end(self) -> None:
        self._stopped = True
        for timer in (self._retry, self._mark_again, self._period):
            if timer is not None:
                timer.cancel()
        self._loop.remove_reader(self._push.fileno())
        self._push.close()

    def publish(self, room_id: str, wire: bytes) -> bool:
        if (self._waiters or self._unsent or self._stopped or self.flow.blocked) and not self._is_open(room_id):
            return False
        self._take(room_id, wire)
        return True

    def publish_but(self, room_id: str, wire: bytes, excluded: frozenset[str]) -> bool:
        if is_open := self._is_open(room_id):
            self._take_but(room_id, wire, excluded)
        return is_open

    async def publish_when_free(self, room_id: str, wire: bytes, excluded: frozenset[str] = frozenset()) -> None:
        if self._successor is not None:
            await self._successor.publish_when_free(room_id, wire, excluded)
            return
        if self.publish_but(room_id, wire, excluded) if excluded else self.publish(room_id, wire):
            return
        if self._stopped:
            raise ShardUnavailableError("the bus is closed")
        future: asyncio.Future[None] = self._loop.create_future()
        self._waiters.wait(room_id, future, (wire, excluded))
        timer = self._loop.call_later(ASK_TIMEOUT_S, self._stalled, room_id, future, context=self._own)
        try:
            await future
        finally:
            timer.cancel()
            # The caller may have been cancelled.
            self._waiters.leave(room_id, future)

    def _stalled(self, room_id: str, future: asyncio.Future[None]) -> None:
        self._waiters.leave(room_id, future)
        if not future.done():
            future.set_exception(ShardUnavailableError("the bus stalled"))

    def _is_open(self, room_id: str) -> bool:
        """Whether a newcomer may publish to a room."""
        return room_id not in self._waiters and self._is_free(room_id)

    def _is_free(self, room_id: str) -> bool:
        """Whether the bus takes something for a room now."""
        if self._unsent or self._stopped:
            return False
        blocked = self.flow.blocked
        return not blocked or not blocked & self._audience_of(room_id)

    def _audience_of(self, room_id: str) -> int:
        return self.audiences.of(room_topic(room_id))

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
            self._loop.call_soon(self._flush, context=self._own)

    def _flush(self) -> None:
        """One message per room with what was published in this turn."""
        self._flush_scheduled = False
        if not self._batches or self._stopped:
            return
        batches, self._batches, self._batch_bytes = self._batches, {}, 0
        flow, audience_of, next_in_room = self.flow, self.audiences.of, self._numbering.next_in_room
        for room_id, frames in batches.items():
            topic = room_topic(room_id)
            number, previous = next_in_room(room_id)
            data = pack(topic, self._incarnation, number, previous, frames)
            self._send(data)
            if flow.published(audience_of(topic), len(data)):
                self._mark(flow.due_marks())
        if self._period is None:
            self._begin_period()

    def _take_but(self, room_id: str, wire: bytes, excluded: frozenset[str]) -> None:
        """A message of its own, behind what this turn has published before."""
        self._flush()
        topic = room_topic(room_id)
        data = pack_but(topic, self._incarnation, *self._numbering.next_in_room(room_id), wire, excluded)
        self._send(data)
        if self.flow.published(self.audiences.of(topic), len(data)):
            self._mark(self.flow.due_marks())
        self._begin_period()

    def _begin_period(self) -> None:
        if self._period is None:
            self._period = self._loop.call_later(_NUMBERS_KEPT_S, self._end_period, context=self._own)

    def _end_period(self) -> None:
        self._numbering.end_period()
        self._period = None
        if self._numbering.remembers:
            self._begin_period()

    def _send(self, data: bytes) -> None:
        if not self._unsent:
            try:
                self._push.send(data, zmq.NOBLOCK)
                self._metrics.bus_messages_out += 1
                return
            except zmq.Again:
                self._set_retry()
        self._unsent.append(data)

    def _send_behind(self, data: bytes) -> None:
        """What is to come behind all that was published before."""
        self._send(data)

    def cut(self, number: int) -> None:
        """Publish a cut of ours, behind all that was published before; callers that wait have published nothing yet."""
        self._flush()
        if not self._stopped:
            self._send_behind(pack_cut(self._incarnation, number))

    def mark_own(self) -> int:
        """Publish a mark for this shard itself, behind all that was published before. Returns its number."""
        self._flush()
        number = self._numbering.next()
        self.flow.mark(self._shard, number)
        self._send_behind(pack_mark(self._shard, self._shard, self._incarnation, number))
        return number

    def hand_over(self, successor: Bus) -> list[tuple[str, bytes, frozenset[str]]]:
        self._successor = successor
        frames = []
        for room_id, future, (wire, excluded) in self._waiters.going_on(lambda _room_id: True):
            if not future.done():
                frames.append((room_id, wire, excluded))
                future.set_result(None)
        return frames

    def take_back(self, frames: Iterable[tuple[str, bytes, frozenset[str]]]) -> None:
        """Whoever published these was told so: they wait for nobody."""
        self._successor = None
        for room_id, wire, excluded in frames:
            self._take_but(room_id, wire, excluded) if excluded else self._take(room_id, wire)

    def publish_probe(self, topic: bytes) -> None:
        """Past what waits in `_unsent`: a probe carries no order."""
        try:
            self._push.send(topic, zmq.NOBLOCK)
        except zmq.Again:
            pass

    def _push_changed(self) -> None:
        # Asking for the events is what takes the change off the descriptor.
        self._push.getsockopt(zmq.EVENTS)
        self._send_unsent()

    def _send_unsent(self) -> None:
        """The forwarder may have taken something: send what waits, then let callers go on in their order."""
        unsent = self._unsent
        if not unsent:
            return
        while unsent and not self._stopped:
            try:
                self._push.send(unsent[0], zmq.NOBLOCK)
            except zmq.Again:
                self._set_retry()
                return
            unsent.popleft()
            self._metrics.bus_messages_out += 1
        self._let_waiters_go_on()

    def _let_waiters_go_on(self) -> None:
        if not self._waiters:
            return
        for room_id, future, (wire, excluded) in self._waiters.going_on(self._is_free):
            if not future.done():
                self._take_but(room_id, wire, excluded) if excluded else self._take(room_id, wire)
                future.set_result(None)

    def _set_retry(self) -> None:
        if self._retry is None and not self._stopped:
            self._retry = self._loop.call_later(_RETRY_S, self._try_again, context=self._own)

    def _try_again(self) -> None:
        self._retry = None
        self._send_unsent()

    # Flow control.

    def shard_up(self, shard: int, incarnation: int) -> None:
        """A shard lives, and what is published to its rooms counts against it. It may be said more than once."""
        self.audiences.shard_up(shard, incarnation)
        self.flow.shard_up(shard, incarnation)
        self._let_waiters_go_on()

    def shard_lost(self, shard: int) -> None:
        """Nobody knows whether a shard lives: it holds nobody up."""
        self.flow.shard_down(shard)
        self._let_waiters_go_on()

    def shard_down(self, shard: int, incarnation: int) -> None:
        """A shard has ended, and with it its subscriptions. A later incarnation of it may be known already."""
        self.audiences.shard_down(shard, incarnation)
        if self.flow.incarnation_of(shard) == incarnation:
            self.shard_lost(shard)

    def seat_gone(self, shard: int) -> None:
        """Nobody is there any more; somebody else may be, some day."""
        self.audiences.shard_gone(shard)
        self.shard_lost(shard)

    def consumed(self, shard: int, sender: int, number: int) -> None:
        """A shard's answer to one of our marks."""
        if sender == self._incarnation:
            blocked = self.flow.blocked
            self.flow.consumed(shard, number)
            if self.flow.blocked != blocked:
                # Not at every answer: each room in which somebody waits is looked at.
                self._let_waiters_go_on()

    def rooms_told(
        self, shard: int, incarnation: int, joined: list[bytes], left: list[bytes], *, are_all: bool, is_hearsay: bool
    ) -> None:
        """A shard's word of its rooms, in the order in which it told them; or another's word of them."""
        if is_hearsay:
            self.audiences.heard_of(shard, incarnation, joined)
        elif joined or are_all:
            self.audiences.joined(shard, incarnation, joined, are_all=are_all)
        if left:
            self.audiences.left(shard, incarnation, left)
        if left or are_all:
            self._let_waiters_go_on()

    def _mark(self, shards: list[int]) -> None:
        for shard in shards:
            number = self._numbering.next()
            self.flow.mark(shard, number)
            self._send_behind(pack_mark(shard, self._shard, self._incarnation, number))
        if self.flow.blocked and self._mark_again is None and not self._stopped:
            self._mark_again = self._loop.call_later(_MARK_AGAIN_S, self._mark_blocked, context=self._own)

    def _mark_blocked(self) -> None:
        self._mark_again = None
        self._mark([] if self._has_marks_waiting() else self.flow.blocked_shards())

    def _has_marks_waiting(self) -> bool:
        """What waits to be sent has its mark already."""
        return bool(self._unsent)
