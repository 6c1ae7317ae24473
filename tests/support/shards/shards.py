"""Several shards inside the test's own process and loop: real sockets, mailboxes and a real bus, and all of it to look into."""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from wspulse.actors.accept.listener import Listener
from wspulse.actors.mesh.lifecycle import SeatGone, SeatOpened, ShardDown, ShardUp, SlotTable
from wspulse.actors.mesh.message import Message
from wspulse.actors.runtime.runtime import ShardRuntime
from wspulse.actors.server import Server
from wspulse.supervisor.host.connection_counts import ConnectionCounts
from wspulse.supervisor.process.bus_forwarder import BusForwarder


class Shards:
    """The running shards, as a supervisor would have started them. `runtimes` are those that bear the names 0, 1, …; each began
    at the seat of that number, and a further process is started at a free one."""

    def __init__(self, make_server: Callable[[], Server], count: int, folder: Path) -> None:
        self.count = count
        self.folder = folder
        self.servers: list[Server] = []
        self.runtimes: list[ShardRuntime] = []
        self.seats: dict[int, ShardRuntime] = {}
        """All processes, by seat."""
        self.table: SlotTable | None = None
        """The last that was told."""
        self._make_server = make_server
        self._starting: list[asyncio.Task[None]] = []
        self._incarnation = 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"ws://127.0.0.1:{self.port}/ws"
        self._paths: dict[int, str] = {}
        self._mailboxes: dict[int, socket.socket] = {}
        for number in range(count):
            self._open_mailbox(number)
        self._counts = ConnectionCounts()
        self._forwarder = BusForwarder(f"{folder}/push", f"{folder}/publish") if count > 1 else None

    def _open_mailbox(self, seat: int) -> None:
        self._paths[seat] = path = str(self.folder / f"shard-{seat}.sock")
        self._mailboxes[seat] = _unix_listener(path)

    async def start(self) -> None:
        for number in range(self.count):
            await self.start_shard(number)

    async def start_shard(self, number: int) -> None:
        """Start a shard, or its replacement, under a new incarnation."""
        runtime = self.new_runtime(number)
        await runtime.start()
        self.take_in(runtime)

    def new_runtime(self, number: int, seat: int | None = None) -> ShardRuntime:
        """A shard, or its replacement, under a new incarnation, that is not started."""
        self._incarnation += 1
        several = self._forwarder is not None
        seat = number if seat is None else seat
        self._counts.open(seat)
        return ShardRuntime(
            self._make_server(),
            shard=number,
            seat=seat,
            workers=self.count,
            table=self.table,
            incarnation=self._incarnation,
            listeners=[Listener(self._listener)],
            path="/ws",
            mailbox=self._mailboxes[seat].dup() if several else None,
            mailbox_paths=self._paths if several else {},
            bus=(self._forwarder.push_endpoint, self._forwarder.subscribe_endpoint)
            if self._forwarder is not None
            else None,
            counts=self._counts.file.descriptor if several else None,
        )

    def take_in(self, runtime: ShardRuntime) -> None:
        """Tell everybody of a shard that is ready. It has its name where nobody has it yet, or the seat of that number."""
        server, number = runtime._server, runtime.shard.index
        assert isinstance(server, Server)
        if number == len(self.runtimes):
            self.servers.append(server)
            self.runtimes.append(runtime)
        elif runtime.shard.seat == number:
            self.servers[number], self.runtimes[number] = server, runtime
        self.seats[runtime.shard.seat] = runtime
        for other in self.seats.values():
            other.handle(ShardUp(runtime.shard.seat, runtime.shard.incarnation))
            runtime.handle(ShardUp(other.shard.seat, other.shard.incarnation))

    # Further processes.

    async def open_seat(self, number: int, turn: Callable[[], Awaitable[object]] | None = None) -> ShardRuntime:
        """Start a process of this name at the lowest free seat, which has no slots yet; with a `turn` it accepts nobody before
        that, and this does not wait for it."""
        seat = next(seat for seat in range(len(self.seats) + 1) if seat not in self._paths)
        self._open_mailbox(seat)
        self.tell_all(SeatOpened(seat, self._paths[seat]))
        runtime = self.new_runtime(number, seat)
        if turn is None:
            await runtime.start()
        else:
            prepared = asyncio.Event()

            async def wait() -> None:
                prepared.set()
                await turn()

            self._starting.append(asyncio.create_task(runtime.start(wait)))
            await prepared.wait()
        self.take_in(runtime)
        return runtime

    def flip(self, owners: Callable[[int], int], workers: int | None = None) -> None:
        """Tell all a table that gives each slot to the seat that `owners` says for its owner until now."""
        placement = next(iter(self.seats.values())).placement
        version = 1 if self.table is None else self.table.version + 1
        former = memoryview(placement.seats if self.table is None else self.table.seats).cast("H")
        seats = b"".join(owners(seat).to_bytes(2, "little") for seat in former)
        self.table = SlotTable(version, self.count if workers is None else workers, seats)
        self.tell_all(self.table)

    def rename(self, runtime: ShardRuntime) -> None:
        """It is the worker of its name from now on."""
        server, number = runtime._server, runtime.shard.index
        assert isinstance(server, Server)
        self.servers[number], self.runtimes[number] = server, runtime

    async def close_seat(self, seat: int) -> None:
        """End a process as one whose sessions have moved, and tell all that nobody is at its seat."""
        runtime = self.seats.pop(seat)
        await runtime.drain(server_closes=False)
        await runtime.stop()
        self._mailboxes.pop(seat).close()
        os.unlink(self._paths.pop(seat))  # noqa: PTH108
        self._counts.clear(seat)
        self.tell_all(ShardDown(seat, runtime.shard.incarnation))
        self.tell_all(SeatGone(seat))

    def tell_all(self, message: Message) -> None:
        """As the supervisor does it."""
        for runtime in self.seats.values():
            runtime.handle(message)

    async def stop_shard(self, number: int) -> None:
        runtime = self.runtimes[number]
        await runtime.drain(server_closes=False)
        await runtime.stop()
        for other in self.seats.values():
            other.handle(ShardDown(runtime.shard.seat, runtime.shard.incarnation))

    async def stop(self) -> None:
        for runtime in self.seats.values():
            await runtime.drain()
        for runtime in self.seats.values():
            await runtime.stop()
        await asyncio.gather(*self._starting, return_exceptions=True)
        for listener in (self._listener, *self._mailboxes.values()):
            listener.close()
        self._counts.close()
        if self._forwarder is not None:
            self._forwarder.stop()

    @property
    def connections(self) -> int:
        return sum(runtime.connections for runtime in self.seats.values())


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
