"""Several shards inside the test's own process and loop: real sockets, mailboxes and a real bus, and all of it to look into."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from wspulse.actors.mesh.lifecycle import ShardDown, ShardUp
from wspulse.actors.runtime.runtime import ShardRuntime
from wspulse.actors.server import Server
from wspulse.supervisor.process.bus_forwarder import BusForwarder


class Shards:
    """The running shards, as a supervisor would have started them."""

    def __init__(self, make_server: Callable[[], Server], count: int, folder: Path) -> None:
        self.count = count
        self.folder = folder
        self.servers: list[Server] = []
        self.runtimes: list[ShardRuntime] = []
        self._make_server = make_server
        self._incarnation = 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"ws://127.0.0.1:{self.port}/ws"
        self._paths = [str(folder / f"shard-{number}.sock") for number in range(count)]
        self._mailboxes = [_unix_listener(path) for path in self._paths]
        self._forwarder = BusForwarder(f"{folder}/push", f"{folder}/publish") if count > 1 else None

    async def start(self) -> None:
        for number in range(self.count):
            await self.start_shard(number)

    async def start_shard(self, number: int) -> None:
        """Start a shard, or its replacement, under a new incarnation."""
        runtime = self.new_runtime(number)
        await runtime.start()
        self.take_in(runtime)

    def new_runtime(self, number: int) -> ShardRuntime:
        """A shard, or its replacement, under a new incarnation, that is not started."""
        self._incarnation += 1
        several = self.count > 1
        return ShardRuntime(
            self._make_server(),
            shard=number,
            workers=self.count,
            incarnation=self._incarnation,
            listener=self._listener,
            path="/ws",
            mailbox=self._mailboxes[number].dup() if several else None,
            mailbox_paths=self._paths if several else (),
            bus=(self._forwarder.push_endpoint, self._forwarder.subscribe_endpoint)
            if self._forwarder is not None
            else None,
        )

    def take_in(self, runtime: ShardRuntime) -> None:
        """Tell everybody of a shard that is ready."""
        server, number = runtime._server, runtime.shard.index
        assert isinstance(server, Server)
        if number < len(self.runtimes):
            self.servers[number], self.runtimes[number] = server, runtime
        else:
            self.servers.append(server)
            self.runtimes.append(runtime)
        for other in self.runtimes:
            other.handle(ShardUp(number, runtime.shard.incarnation))
            runtime.handle(ShardUp(other.shard.index, other.shard.incarnation))

    async def stop_shard(self, number: int) -> None:
        runtime = self.runtimes[number]
        await runtime.drain(server_closes=False)
        await runtime.stop()
        for other in self.runtimes:
            other.handle(ShardDown(number, runtime.shard.incarnation))

    async def stop(self) -> None:
        for runtime in self.runtimes:
            await runtime.drain()
        for runtime in self.runtimes:
            await runtime.stop()
        for listener in (self._listener, *self._mailboxes):
            listener.close()
        if self._forwarder is not None:
            self._forwarder.stop()

    @property
    def connections(self) -> int:
        return sum(runtime.connections for runtime in self.runtimes)


def _unix_listener(path: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    listener.listen(128)
    listener.setblocking(False)
    return listener


@asynccontextmanager
async def serve_shards(make_server: Callable[[], Server], count: int) -> AsyncIterator[Shards]:
    """`count` shards of the servers that `make_server` makes; on the way out all are drained and nothing is left."""
    with tempfile.TemporaryDirectory(prefix="wspulse-") as folder:
        shards = Shards(make_server, count, Path(folder))
        await shards.start()
        try:
            yield shards
        finally:
            await shards.stop()
