"""A process that is made ready at a seat of its own while the worker of its name serves: what it does before its turn."""

from __future__ import annotations

import asyncio
import json
from itertools import count

from websockets.asyncio.client import connect

from tests.support.eventually import eventually
from tests.support.shards.shards import serve_shards
from wspulse import Connection, Frame, Request, Server
from wspulse.actors.mesh.message import ListRooms


def identify(request: Request) -> tuple[str, str]:
    return "den", request.query["id"]


async def test_replacement_runs_on_start_and_talks_to_all_but_accepts_nobody_before_its_turn() -> None:
    begun: list[tuple[int, int]] = []
    numbers = count(1)

    def make_server() -> Server:
        server = Server(identify)

        @server.on_start
        async def begin() -> None:
            begun.append((server.shard, server.workers))
            await server.broadcast("den", Frame("begun", next(numbers)))

        @server.on_message
        async def echo(connection: Connection, frame: Frame) -> None:
            await connection.send(frame)

        return server

    async def is_answered(name: str) -> bool:
        async with connect(f"{shards.url}?id={name}", open_timeout=5) as client:
            await client.send('{"event":"x"}')
            return bool(json.loads(await asyncio.wait_for(client.recv(), 5))["event"] == "x")

    async with serve_shards(make_server, 2) as shards:
        first, old = shards.runtimes
        name = first.placement.new_id(1)
        turn = asyncio.Event()
        async with connect(f"{shards.url}?id={name}") as client:
            begun.clear()
            new = await shards.open_seat(1, turn.wait)
            assert (new.shard.index, new.shard.seat) == (1, 2)
            while json.loads(await asyncio.wait_for(client.recv(), 5)) != {"event": "begun", "payload": 3}:
                pass  # what the first two have said may come now
            assert begun == [(1, 2)]
            await eventually(lambda: set(new.up_shards) >= {0, 1}, "it has found the others")
            await eventually(lambda: first.up_shards.get(2) == new.shard.incarnation, "the others have found it")
            assert await new.ask(0, ListRooms()) == await old.ask(0, ListRooms())
            assert await first.ask(2, ListRooms()) == []
            assert all([await is_answered(first.placement.new_id(1)) for _ in range(10)])
            assert new._acceptor._listenings is None
            assert new.connections == 0
        shards.flip(lambda seat: 2 if seat == 1 else seat)
        turn.set()
        shards.rename(new)
        await eventually(lambda: new._acceptor._listenings is not None, "it accepts")
        await shards.close_seat(1)
        async with connect(f"{shards.url}?id={name}") as client:
            assert new.connections == 1
            await shards.servers[0].broadcast("den", Frame("after"))
            assert json.loads(await client.recv())["event"] == "after"
        assert set(first.refs) == {0, 2}
