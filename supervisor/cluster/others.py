"""`Others`: the other hosts of the cluster, as the control socket of this one speaks for all.

One per server that belongs to a cluster, made by `ClusterService`. It asks by way of the gateway, as workers do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from wspulse.actors.cluster.elsewhere import Elsewhere
from wspulse.actors.cluster.gateway_link import GatewayLink
from wspulse.actors.cluster.lease import Lease
from wspulse.actors.mesh.actor import ASK_TIMEOUT_S
from wspulse.actors.mesh.message import ConnectionList, ConnectionRecord, ListConnections, ListRooms
from wspulse.supervisor.host.shared_file import SharedFile

__all__ = ["Others"]


class Others:
    """See the module. `host` is this host's name, `path` where its gateway is asked. `losses()` is how often what came from the
    others was lost."""

    def __init__(self, host: str, path: str, lease: SharedFile, losses: Callable[[], int]) -> None:
        self.losses = losses
        self._lease = Lease(lease.descriptor)
        self._gateway = GatewayLink(host, path, self._lease)
        self.elsewhere = Elsewhere(self._gateway)
        """Where an id is that nobody has here."""

    def open(self) -> None:
        self._gateway.open()

    def close(self) -> None:
        self._gateway.close()
        self._lease.close()

    async def sessions(self, question: ListConnections) -> list[tuple[str, ConnectionRecord]]:
        """The sessions of the other hosts, each once, with its host's name; of a host that does not respond none. Raises
        ShardUnavailableError."""
        found: dict[tuple[int, int], tuple[str, ConnectionRecord]] = {}
        for host, answer in await self._gateway.ask_hosts(question, ASK_TIMEOUT_S):
            for record in msgspec.convert(answer, ConnectionList).records:
                found[record.incarnation, record.serial] = host, record
        return list(found.values())

    async def rooms(self) -> list[tuple[str, int]]:
        """The rooms of each shard of the other hosts, with how many sessions they have there. Raises ShardUnavailableError."""
        answers: list[Any] = [answer for _, answer in await self._gateway.ask_hosts(ListRooms(), ASK_TIMEOUT_S)]
        return [(room_id, count) for answer in answers for room_id, count in answer]
