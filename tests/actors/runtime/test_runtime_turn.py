"""A shard that is made ready while another worker serves it: what it does before its turn, and what it leaves alone."""

from __future__ import annotations

import asyncio
import json

from websockets.asyncio.client import connect

from tests.support.eventually import eventually
from tests.support.shards.shards import serve_shards
from wspulse import Connection, Frame, Request, Server
from wspulse.actors.bus.message import room_topic
from wspulse.actors.bus.zmq import ZmqBus
from wspulse.actors.mesh.message import ListRooms
from wspulse.actors.mesh.placement import Placement
from wspulse.actors.runtime.runtime import ShardRuntime


def identify(request: Request) -> tuple[str, str]:
    return "den", request.query["id"]


def rooms_of_shard_1(runtime: ShardRuntime) -> tuple[bool, bool]:
    """Whether it is known to be in the room "den", and in another one, in which nobody is."""
    bus = runtime.bus
    assert isinstance(bus, ZmqBus)
    den, other = (bus.audiences.of(room_topic(room)) >> 1 & 1 for room in ("den", "elsewhere"))
    return bool(den), bool(other)


async def test_replacement_runs_on_start_and_leaves_the_shard_to_the_worker_that_serves_until_its_turn() -> None:
    begun: list[int] = []

    def make_server() -> Server:
        server = Server(identify)

        @server.on_start
        async def begin() -> None:
            assert server.shard is not None
            begun.append(server.shard)
            await server.broadcast("den", Frame("begun", server.shard))

        @server.on_message
        async def echo(connection: Connection, frame: Frame) -> None:
            await connection.send(frame)

        return server

    async def is_answered(shard: int) -> bool:
        async with connect(f"{shards.url}?id={Placement(2).new_id(shard)}", open_timeout=5) as client:
            await client.send('{"event":"x"}')
            return bool(json.loads(await asyncio.wait_for(client.recv(), 5))["event"] == "x")

    async with serve_shards(make_server, 2) as shards:
        first, old = shards.runtimes
        async with connect(f"{shards.url}?id={Placement(2).new_id(1)}") as client:
            await eventually(lambda: rooms_of_shard_1(first) == (True, False), "shard 0 knows who is in the room")
            begun.clear()
            new = shards.new_runtime(1)
            turn = asyncio.Event()
            starting = asyncio.create_task(new.start(turn.wait))
            assert json.loads(await client.recv())["event"] == "begun", "its on_start may broadcast"
            await eventually(lambda: new.up_shards, "it has found the others")
            # What it says to shard 0 comes behind what is said to it.
            await new.ask(0, ListRooms())
            assert begun == [1]
            assert rooms_of_shard_1(first) == (True, False), "its word is not taken for that of the worker that serves"
            assert await is_answered(1)
            assert (old.connections > 0, new.connections) == (True, 0)
            assert not starting.done()
        await shards.stop_shard(1)
        turn.set()
        await starting
        shards.take_in(new)
        assert await is_answered(1)
        async with connect(f"{shards.url}?id={Placement(2).new_id(1)}") as client:
            await eventually(lambda: rooms_of_shard_1(first) == (True, False), "it tells what it joins")
            await shards.servers[0].broadcast("den", Frame("after"))
            assert json.loads(await client.recv())["event"] == "after"
