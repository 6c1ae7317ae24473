"""`connection.wait_closed()`: it ends with the session, and who gives up before that leaves nothing with it."""

from __future__ import annotations

import asyncio

from tests.support.eventually import eventually
from tests.support.shards.shards import serve_shards
from tests.support.wire.raw_peer import RawPeer
from wspulse import Server


def make_server() -> Server:
    return Server(lambda request: ("room", request.query["id"]))


async def test_wait_that_is_cancelled_leaves_nothing_with_the_session_and_the_others_go_on() -> None:
    server = make_server()
    async with server.serve() as running:
        peer = await RawPeer.upgraded(running.port, "/ws?id=ada")
        session = server._running().shard.sessions["ada"]
        waits = [asyncio.create_task(session.connection.wait_closed()) for _ in range(100)]
        await asyncio.sleep(0)
        assert session.watchers is not None
        assert len(session.watchers) == 100
        for wait in waits[1:]:
            wait.cancel()
        await asyncio.wait(waits[1:])
        assert len(session.watchers) == 1
        await peer.close()
        await asyncio.wait_for(waits[0], 5)
        assert session.watchers is None


async def test_wait_for_a_session_of_another_shard_ends_with_it() -> None:
    async with serve_shards(make_server, 2) as shards:
        owner = shards.runtimes[0].placement.shard_of("ada")
        other = 1 - owner
        await eventually(lambda: owner in shards.runtimes[other].up_shards, "the shards know each other")
        peer = await RawPeer.upgraded(shards.port, "/ws?id=ada")
        (connection,) = await shards.servers[other].get_connections("room")
        session = shards.runtimes[owner].shard.sessions["ada"]
        wait = asyncio.create_task(connection.wait_closed())
        await eventually(lambda: session.watchers, "the owner knows who waits")
        await peer.close()
        await asyncio.wait_for(wait, 5)
        assert connection.closed
