"""Workers of several hosts, put together: their clients meet in a room, and a broadcast that returned is kept."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

from websockets.asyncio.client import connect

from tests.support.buses.stage import GatewayStage
from tests.support.eventually import eventually
from tests.support.shards.room_buses import make_server
from wspulse import Frame, Server
from wspulse.actors.accept.listener import Listener
from wspulse.actors.bus.cluster.bus import ClusterBus
from wspulse.actors.bus.cluster.seat import ClusterSeat
from wspulse.actors.bus.message import unpack
from wspulse.actors.runtime.runtime import ShardRuntime


class Worker:
    """The only one of its host."""

    def __init__(self, stage: GatewayStage, host: int) -> None:
        self.origin = 2**52 + host
        self.server: Server = make_server()
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setblocking(False)
        self.url = f"ws://127.0.0.1:{listener.getsockname()[1]}/ws"
        push, subscribe = (f"ipc://{path}" for path in stage.hosts[host].paths)
        self.runtime = ShardRuntime(
            self.server,
            shard=0,
            workers=1,
            incarnation=1,
            listeners=[Listener(listener)],
            path="/ws",
            bus=(push, subscribe),
            cluster=ClusterSeat(self.origin),
        )
        self._listener = listener

    async def stop(self) -> None:
        await self.runtime.end(5)
        self._listener.close()


@asynccontextmanager
async def two_hosts(folder: Path, draw: Random) -> AsyncIterator[tuple[GatewayStage, list[Worker]]]:
    stage = GatewayStage(folder, 2, Random(draw.random()))
    workers = [Worker(stage, host) for host in range(2)]
    try:
        for worker in workers:
            await worker.runtime.start()
        yield stage, workers
    finally:
        for worker in workers:
            await worker.stop()
        stage.close()


async def test_clients_of_two_hosts_hear_each_other_in_one_order(tmp_path: Path, draw: Random) -> None:
    async with two_hosts(tmp_path, draw) as (stage, workers):
        clients = [
            await connect(f"{worker.url}?room=room&id=client{number}", compression=None)
            for number, worker in enumerate(workers)
        ]
        for turn in range(20):
            for number, client in enumerate(clients):
                await client.send(json.dumps({"event": "room", "payload": f"{number} {turn}"}))
        async with asyncio.timeout(10):
            heard = [[json.loads(await client.recv())["payload"] for _ in range(40)] for client in clients]
        assert heard[0] == heard[1]
        for number in range(2):
            assert [each for each in heard[0] if each[0] == str(number)] == [f"{number} {turn}" for turn in range(20)]
        senders = {unpack(data).sender for data in stage.streams.messages.values()}
        assert senders == {worker.origin for worker in workers}
        (session,) = workers[0].runtime.shard.sessions.values()
        assert session.key[0] == workers[0].origin
        for client in clients:
            await client.close()


async def test_broadcast_returns_when_the_cluster_keeps_it_and_the_other_forms_do_not_wait(
    tmp_path: Path, draw: Random
) -> None:
    async with two_hosts(tmp_path, draw) as (stage, workers):
        server, shard = workers[0].server, workers[0].runtime.shard
        stage.hold_back()
        waiting = [
            asyncio.create_task(server.broadcast("room", Frame("said", 1))),
            asyncio.create_task(server.broadcast("room", Frame("said", 2), exclude=["somebody"])),
        ]
        server.broadcast_nowait("other", Frame("said", 3))
        assert shard.metrics.broadcasts == 1
        await eventually(lambda: len(stage.hosts[0].exchange._outgoing._chains) == 2, "it is with the gateway")
        assert not any(each.done() for each in waiting)
        stage.let_go()
        async with asyncio.timeout(5):
            await asyncio.gather(*waiting)
        assert shard.metrics.broadcasts == 3
        assert len(stage.streams.messages) >= 2


async def test_only_worker_of_a_host_never_keeps_its_broadcasts_to_itself(tmp_path: Path, draw: Random) -> None:
    async with two_hosts(tmp_path, draw) as (_, workers):
        runtime = workers[0].runtime
        bus = runtime.bus
        assert isinstance(bus, ClusterBus)
        shared: list[bool] = []
        runtime._siblings.keep_bus()
        runtime._siblings.share_bus("ipc://elsewhere", "ipc://elsewhere", lambda: shared.append(True))
        assert shared == [True]
        await asyncio.sleep(0)
        assert runtime.bus is bus
        await workers[0].server.broadcast("room", Frame("said", 1))
