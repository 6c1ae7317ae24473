"""`ZmqBus`: the room bus of a server with several shards, over ZeroMQ.

One per worker, created by its runtime. Its `Publisher` pushes to the supervisor's forwarder, which publishes to all; everybody,
this shard included, delivers what comes back to its `Receiver`, so that all deliver in one order. See
`wspulse.actors.bus.contract` for the contract.

Sockets are plain and non-blocking, on the loop by their descriptor, which tells only of changes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import zmq

from wspulse.actors.bus.contract import Bus
from wspulse.actors.bus.message import mark_topic
from wspulse.actors.bus.publishing.publisher import Publisher
from wspulse.actors.bus.receiving.receiver import Receiver
from wspulse.actors.bus.receiving.subscriptions import TellRooms
from wspulse.actors.values.metrics import Metrics

__all__ = ["ZmqBus"]

_MOST_ENDED = 64
"""Whose last words are remembered: whoever waits for one does so within a second."""


class ZmqBus:
    """See the module. `deliver(room_id, wire)` takes a frame, `deliver_but` one that some do not get; `tell_consumed(shard,
    sender, number)` answers a mark of another shard; `tell_rooms` tells others of our rooms."""

    leave_delay_s = 5.0
    acknowledges = False

    def __init__(
        self,
        push_endpoint: str,
        subscribe_endpoint: str,
        *,
        shard: int,
        incarnation: int,
        metrics: Metrics,
        deliver: Callable[[str, bytes], None],
        deliver_but: Callable[[str, bytes, frozenset[str]], None],
        tell_consumed: Callable[[int, int, int], None],
        tell_rooms: TellRooms,
    ) -> None:
        self._shard = shard
        self._tell_consumed = tell_consumed
        self._context = zmq.Context()
        self._incarnation = incarnation
        self._stopped = False
        self.ended: set[int] = set()
        """The incarnations whose last word has come: of these nothing more comes."""
        self.on_last_word: Callable[[], None] = lambda: None
        self._fences: deque[tuple[int, Callable[[], None]]] = deque()
        """Marks for ourselves, by their numbers, and who waits for them."""
        self._publisher = publisher = self._new_publisher(
            push_endpoint, shard=shard, incarnation=incarnation, metrics=metrics
        )
        self._receiver = receiver = self._new_receiver(
            subscribe_endpoint,
            shard=shard,
            incarnation=incarnation,
            metrics=metrics,
            deliver=deliver,
            deliver_but=deliver_but,
            marked=self._marked,
            last_word=self._last_word,
            publish_probe=publisher.publish_probe,
            tell_rooms=tell_rooms,
        )
        # As attributes: what is called for each frame costs no call more for being delegated.
        self.publish = publisher.publish
        self.publish_but = publisher.publish_but
        self.publish_when_free = publisher.publish_when_free
        self.cut = publisher.cut
        self.publish_echo = publisher.publish_probe
        self.audiences, self.flow = publisher.audiences, publisher.flow
        self.shard_up, self.shard_lost, self.shard_down = publisher.shard_up, publisher.shard_lost, publisher.shard_down
        self.seat_gone = publisher.seat_gone
        self.consumed, self.rooms_told = publisher.consumed, publisher.rooms_told
        self.join, self.leave = receiver.subscriptions.join, receiver.subscriptions.leave
        self.tell_all_rooms = receiver.subscriptions.tell_all
        self.watch_cuts, self.unwatch_cuts = receiver.watch_cuts, receiver.unwatch_cuts

    def _new_publisher(self, endpoint: str, **seat: Any) -> Publisher:
        return Publisher(self._context, endpoint, **seat)

    def _new_receiver(self, endpoint: str, **told: Any) -> Receiver:
        return Receiver(self._context, endpoint, **told)

    def stop(self) -> None:
        """Send what is batched, and a last word behind it, then end. Callers that wait get ShardUnavailableError."""
        if not self._stopped:
            self._stopped = True
            self._publisher.stop()
            self._receiver.stop()
            self._context.term()

    def abandon(self) -> list[Callable[[], None]]:
        """End at once, with nothing to say. Returns the `joined` of the rooms that are not joined yet, which the caller calls."""
        joining = self._receiver.subscriptions.joining_rooms()
        self._stopped = True
        self._publisher.abandon()
        self._receiver.stop()
        self._context.term()
        return joining

    def when_up(self, called: Callable[[], None]) -> None:
        """Call it when all that was subscribed to until now certainly comes: before that a mark for ourselves may get lost."""
        topic = mark_topic(self._shard)
        subscriptions = self._receiver.subscriptions

        def watched() -> None:
            subscriptions.unwatch(topic)  # which it is once more besides
            called()

        subscriptions.watch(topic, watched)

    def fence(self, passed: Callable[[], None]) -> None:
        """Call `passed` when all that was published here until now has been delivered here, and what others published that came
        before it; inside the drain, ahead of what comes next. Where the bus ends before, it is never called."""
        self._fences.append((self._publisher.mark_own(), passed))

    def hand_over(self, successor: Bus) -> list[tuple[str, bytes, frozenset[str]]]:
        """Another bus has this one's place. Returns what callers wait to publish, in their order; for them it is published, and
        whoever has called and not waited yet comes to the successor."""
        return self._publisher.hand_over(successor)

    def take_back(self, frames: Iterable[tuple[str, bytes, frozenset[str]]]) -> None:
        """It has its place again; these were published meanwhile."""
        self._publisher.take_back(frames)

    @property
    def echoed(self) -> Callable[[bytes], None]:
        """Called with each echo of ours that comes back."""
        return self._receiver.echoed

    @echoed.setter
    def echoed(self, echoed: Callable[[bytes], None]) -> None:
        self._receiver.echoed = echoed

    def _marked(self, shard: int, sender: int, number: int) -> None:
        if shard == self._shard:
            while self._fences and sender == self._incarnation and self._fences[0][0] <= number:
                self._fences.popleft()[1]()
            self.consumed(shard, sender, number)
        else:
            self._tell_consumed(shard, sender, number)

    def _last_word(self, incarnation: int) -> None:
        if len(self.ended) >= _MOST_ENDED:
            self.ended.remove(min(self.ended))
        self.ended.add(incarnation)
        self.on_last_word()
