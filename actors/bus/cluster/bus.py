"""`ClusterBus`: the room bus of a worker whose server spans several hosts.

One per worker, created by its runtime's switch. At its end there is the host's gateway in the place of the forwarder: what is
published goes from there to the stream of the cluster, and comes back to the workers of all hosts in the stream's order. A
broadcast that returned is kept by the cluster.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wspulse.actors.bus.cluster.publisher import ClusterPublisher
from wspulse.actors.bus.cluster.receiver import ClusterReceiver
from wspulse.actors.bus.cluster.seat import ClusterSeat
from wspulse.actors.bus.receiving.subscriptions import TellRooms
from wspulse.actors.bus.zmq import ZmqBus
from wspulse.actors.values.metrics import Metrics

__all__ = ["ClusterBus"]


class ClusterBus(ZmqBus):
    """See the module."""

    acknowledges = True

    def __init__(
        self,
        push_endpoint: str,
        subscribe_endpoint: str,
        *,
        shard: int,
        incarnation: int,
        seat: ClusterSeat,
        metrics: Metrics,
        deliver: Callable[[str, bytes], None],
        deliver_but: Callable[[str, bytes, frozenset[str]], None],
        tell_consumed: Callable[[int, int, int], None],
        tell_rooms: TellRooms,
    ) -> None:
        self._origin = seat.origin
        super().__init__(
            push_endpoint,
            subscribe_endpoint,
            shard=shard,
            incarnation=incarnation,
            metrics=metrics,
            deliver=deliver,
            deliver_but=deliver_but,
            tell_consumed=tell_consumed,
            tell_rooms=tell_rooms,
        )

    def seen(self, room_id: str) -> int:
        """Up to which sequence all messages of a room have come here that were to come; 0 for a room that is not joined."""
        return self._cluster_receiver.watch.seen(room_id)

    @property
    def resumed(self) -> int:
        """How often this bus has begun to hear a gateway; 0 while it does, and what it drops comes again."""
        return self._cluster_receiver.resumed

    def reached(self, room_id: str, sequence: int) -> None:
        """All messages of a joined room up to that sequence have come."""
        self._cluster_receiver.watch.reached(room_id, sequence)

    def _new_publisher(self, endpoint: str, **seat: Any) -> ClusterPublisher:
        self._cluster_publisher = ClusterPublisher(self._context, endpoint, origin=self._origin, **seat)
        return self._cluster_publisher

    def _new_receiver(self, endpoint: str, **told: Any) -> ClusterReceiver:
        publisher = self._cluster_publisher
        self._cluster_receiver = ClusterReceiver(
            self._context,
            endpoint,
            origin=self._origin,
            acknowledged=publisher.acknowledged,
            resumed=publisher.send_again,
            **told,
        )
        return self._cluster_receiver
