"""`ZmqBus`: the room bus of a server with several shards, over ZeroMQ.

One per worker, created by its runtime. Its `Publisher` pushes to the supervisor's forwarder, which publishes to all; everybody,
this shard included, delivers what comes back to its `Receiver`, so that all deliver in one order. See
`wspulse.actors.bus.contract` for the contract.

Sockets are plain and non-blocking, on the loop by their descriptor, which tells only of changes.
"""

from __future__ import annotations

from collections.abc import Callable

import zmq

from wspulse.actors.bus.publishing.publisher import Publisher
from wspulse.actors.bus.receiving.receiver import Receiver
from wspulse.actors.bus.receiving.subscriptions import TellRooms
from wspulse.actors.values.metrics import Metrics

__all__ = ["ZmqBus"]


class ZmqBus:
    """See the module. `deliver(room_id, wire)` takes a frame, `deliver_but` one that some do not get; `tell_consumed(shard,
    sender, number)` answers a mark of another shard; `tell_rooms` tells others of our rooms."""

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
        deliver_but: Callable[[str, bytes, frozenset[str]], None],
        tell_consumed: Callable[[int, int, int], None],
        tell_rooms: TellRooms,
    ) -> None:
        self._shard = shard
        self._tell_consumed = tell_consumed
        self._context = zmq.Context()
        self._stopped = False
        self._publisher = publisher = Publisher(
            self._context, push_endpoint, shard=shard, incarnation=incarnation, metrics=metrics
        )
        self._receiver = receiver = Receiver(
            self._context,
            subscribe_endpoint,
            shard=shard,
            incarnation=incarnation,
            metrics=metrics,
            deliver=deliver,
            deliver_but=deliver_but,
            marked=self._marked,
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
        self.consumed, self.rooms_told = publisher.consumed, publisher.rooms_told
        self.join, self.leave = receiver.subscriptions.join, receiver.subscriptions.leave
        self.tell_all_rooms = receiver.subscriptions.tell_all
        self.watch_cuts, self.unwatch_cuts = receiver.watch_cuts, receiver.unwatch_cuts

    def stop(self) -> None:
        """Send what is batched, then end. Callers that wait get ShardUnavailableError."""
        if self._stopped:
            return
        self._stopped = True
        self._publisher.stop()
        self._receiver.stop()
        self._context.term()

    @property
    def echoed(self) -> Callable[[bytes], None]:
        """Called with each echo of ours that comes back."""
        return self._receiver.echoed

    @echoed.setter
    def echoed(self, echoed: Callable[[bytes], None]) -> None:
        self._receiver.echoed = echoed

    def _marked(self, shard: int, sender: int, number: int) -> None:
        if shard == self._shard:
            self.consumed(shard, sender, number)
        else:
            self._tell_consumed(shard, sender, number)
