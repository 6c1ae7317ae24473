"""`ClusterMember`: joins a shard of one host to those of others, by way of the host's gateway.

Made by the worker's entry for a server that spans several hosts, before the shard begins; it ends behind it.
"""

from __future__ import annotations

from wspulse.actors.bus.cluster.bus import ClusterBus
from wspulse.actors.bus.cluster.seat import ClusterSeat
from wspulse.actors.cluster.gateway_link import GatewayLink
from wspulse.actors.cluster.lease import Lease
from wspulse.actors.runtime.runtime import ShardRuntime
from wspulse.actors.sessions.shard import Shard

__all__ = ["ClusterMember"]


class ClusterMember:
    """See the module. `lease` is the descriptor of the host's lease, and stays the caller's."""

    def __init__(self, runtime: ShardRuntime, seat: ClusterSeat, lease: int) -> None:
        self._lease = Lease(lease)
        self._gateway = GatewayLink(seat.host, seat.gateway_path, self._lease)
        runtime.join_cluster(self._gateway, _Seen(runtime.shard))

    def open(self) -> None:
        self._gateway.open()

    def close(self) -> None:
        self._gateway.close()
        self._lease.close()


class _Seen:
    """The shard's bus, which it has when it begins."""

    def __init__(self, shard: Shard) -> None:
        self._shard = shard

    def seen(self, room_id: str) -> int:
        bus = self._shard.bus
        assert isinstance(bus, ClusterBus)
        return bus.seen(room_id)
