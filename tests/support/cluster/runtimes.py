"""Hosts that are real: each with a runtime, its sockets and its application; what joins them is pretended."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

from tests.support.cluster.host import PretendedGateway
from tests.support.cluster.network import Network
from tests.support.shards.shards import Shards
from wspulse.actors.mesh.message import Message
from wspulse.actors.runtime.runtime import ShardRuntime
from wspulse.actors.runtime.task_set import TaskSet
from wspulse.actors.server import Server

__all__ = ["RealHost", "real_hosts"]


class RealHost:
    """One shard. Rooms are each host's own: nothing is broadcast from host to host."""

    def __init__(self, network: Network, name: str, make_server: Callable[[], Server], folder: Path) -> None:
        self.name = name
        self.is_dead = False
        self.ends: list[Callable[[], None]] = []
        self.tasks = TaskSet()
        self.shards = Shards(make_server, 1, folder)
        self.runtime: ShardRuntime = self.shards.new_runtime(0)
        # No other host's is the same.
        self.runtime.shard.origin = ord(name)
        self.dispatch = self.entry = self
        self.gateway = PretendedGateway(self, network)
        self.runtime.join_cluster(self.gateway, self)
        network.alive.add(name)

    @property
    def server(self) -> Server:
        return self.shards.servers[0]

    @property
    def url(self) -> str:
        return self.shards.url

    async def start(self) -> None:
        await self.runtime.start()
        self.shards.take_in(self.runtime)

    # As its gateway sees it.

    def receive(self, message: Message) -> Any:
        return self.runtime.receive(message)

    async def ask(self, _connection_id: str, message: Message, *, timeout_s: float | None = None) -> Any:
        return await self.runtime.refs[0].ask(message, timeout_s=timeout_s)

    def seen(self, _room_id: str) -> int:
        return 0

    async def reach(self, _room_id: str, _sequence: int) -> None:
        """It is there."""


@asynccontextmanager
async def real_hosts(make_server: Callable[[], Server], names: str = "AB") -> AsyncIterator[list[RealHost]]:
    """Hosts of these names, of one letter each."""
    network = Network(asyncio.get_running_loop(), Random(0), (0.0, 0.001))
    with tempfile.TemporaryDirectory(prefix="wspulse-") as folder:
        hosts = []
        for name in names:
            place = Path(folder) / name
            place.mkdir()
            hosts.append(RealHost(network, name, make_server, place))
        for host in hosts:
            host.gateway.others = {other.name: other for other in hosts if other is not host}
            await host.start()
        try:
            yield hosts
        finally:
            for host in hosts:
                await host.shards.stop()
                await host.tasks.end()
