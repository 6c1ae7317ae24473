"""`ClusterMember`: joins a shard of one host to those of others, by way of the host's gateway.

Made by the worker's entry for a server that spans several hosts, before the shard begins; it ends behind it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress

from wspulse.actors.bus.cluster.bus import ClusterBus
from wspulse.actors.bus.cluster.seat import ClusterSeat
from wspulse.actors.cluster.gateway_link import GatewayLink
from wspulse.actors.cluster.lease import Lease
from wspulse.actors.mesh.lifecycle import LivingHosts
from wspulse.actors.runtime.runtime import ShardRuntime
from wspulse.actors.sessions.shard import Shard

__all__ = ["ClusterMember"]

_logger = logging.getLogger("wspulse.cluster")

LOOK_S = 0.1
"""Between two looks at the lease's term. Nothing is decided in a new one before it was looked at."""

_AGAIN_S = 1.0

_PASSED_S = 2.0
"""For what a gateway that has died took with it."""


class ClusterMember:
    """See the module. `lease` is the descriptor of the host's lease, and stays the caller's."""

    def __init__(self, runtime: ShardRuntime, seat: ClusterSeat, lease: int) -> None:
        self._lease = Lease(lease)
        self._gateway = GatewayLink(seat.host, seat.gateway_path, self._lease, seat.tag, seat.hosts)
        self._runtime = runtime
        self._watching: asyncio.Task[None] | None = None
        runtime.join_cluster(self._gateway, _Seen(runtime.shard, self._gateway))
        self._living(seat.hosts, seat.shards)

    def hear(self, message: LivingHosts) -> None:
        """What the supervisor says of the other hosts."""
        self._living(message.hosts, message.shards)

    def _living(self, hosts: Sequence[tuple[str, str]], shards: Iterable[tuple[str, int, int]]) -> None:
        assert self._runtime.cluster is not None
        self._gateway.living(hosts)
        self._runtime.cluster.far.living(hosts, shards)

    def open(self) -> None:
        self._gateway.open()
        self._watching = asyncio.get_running_loop().create_task(self._watch_term())

    async def close(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        self._gateway.close()
        self._lease.close()

    async def _watch_term(self) -> None:
        """When the lease was over and is held again, claim everything anew before anything is decided."""
        cluster = self._runtime.cluster
        assert cluster is not None
        while True:
            await asyncio.sleep(LOOK_S)
            while self._lease.is_held() and self._gateway.is_new_term:
                term = self._lease.term
                try:
                    await cluster.claim_anew()
                except Exception:
                    _logger.exception("the ids of this worker could not be claimed anew; trying again")
                    await asyncio.sleep(_AGAIN_S)
                    continue
                if self._lease.term == term:
                    self._gateway.begin_term()


class _Seen:
    """The shard's bus, which it has when it begins."""

    def __init__(self, shard: Shard, gateway: GatewayLink) -> None:
        self._shard = shard
        self._gateway = gateway

    def seen(self, room_id: str) -> int:
        return self._bus.seen(room_id)

    async def reach(self, room_id: str, sequence: int) -> None:
        bus = self._bus
        while True:
            resumed = bus.resumed
            await self._gateway.reach(room_id, sequence)
            # What has gone to the workers by then comes before this.
            passed = asyncio.Event()
            bus.fence(passed.set)
            with suppress(TimeoutError):
                async with asyncio.timeout(_PASSED_S):
                    await passed.wait()
                if resumed and bus.resumed == resumed:
                    break
            # The gateway is another one, or we were not heard: what was dropped here has yet to come again.
            await asyncio.sleep(LOOK_S)
        bus.reached(room_id, sequence)

    @property
    def _bus(self) -> ClusterBus:
        bus = self._shard.bus
        assert isinstance(bus, ClusterBus)
        return bus
