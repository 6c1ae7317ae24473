"""Calls of an application whose shard is in this process: what they say of shards that are down, and of a closed server."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.shards.shards import serve_shards
from tests.support.wire.raw_peer import RawPeer
from wspulse import Frame, Server, ServerClosedError, ShardUnavailableError
from wspulse.actors.mesh.message import ListConnections


def make_server() -> Server:
    return Server(lambda request: ("lobby", request.query["id"]))


async def test_shard_that_is_down_has_no_connections() -> None:
    async with serve_shards(make_server, 2) as shards:
        placement = shards.runtimes[0].placement
        here = next(f"m{number}" for number in range(50) if placement.shard_of(f"m{number}") == 0)
        peer = await RawPeer.upgraded(shards.port, f"/ws?id={here}")
        assert [each.id for each in await shards.servers[0].get_connections("lobby")] == [here]
        await shards.stop_shard(1)
        assert [each.id for each in await shards.servers[0].get_connections("lobby")] == [here]
        await peer.close()
        await shards.start_shard(1)


async def test_shard_that_dies_while_it_is_asked_has_no_connections_and_one_that_only_does_not_answer_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with serve_shards(make_server, 2) as shards:
        runtime = shards.runtimes[0]
        dies = True

        async def ask(shard: int, message: object, **_: object) -> None:
            assert isinstance(message, ListConnections)
            if dies:
                del runtime.up_shards[shard]
            raise ShardUnavailableError("it is silent")

        incarnation = runtime.up_shards[1]
        monkeypatch.setattr(runtime.owners, "ask_at", ask)
        assert await shards.servers[0].get_connections("lobby") == []
        runtime.up_shards[1] = incarnation
        dies = False
        with pytest.raises(ShardUnavailableError):
            await shards.servers[0].get_connections("lobby")
        monkeypatch.undo()


async def test_calls_of_a_server_that_has_closed_say_so() -> None:
    server = make_server()
    async with server.serve():
        await asyncio.wait_for(server.close(), 5)
        with pytest.raises(ServerClosedError):
            server.broadcast_nowait("lobby", Frame("said"))
        with pytest.raises(ServerClosedError):
            await server.broadcast("lobby", Frame("said"))
        with pytest.raises(ServerClosedError):
            await server.kick("ada")
        with pytest.raises(ServerClosedError):
            await server.get_connections("lobby")
