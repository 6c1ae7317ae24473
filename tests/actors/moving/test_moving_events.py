"""What a source has told of its sessions is published before they are another process's, which tells of them itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tests.support.eventually import eventually
from tests.support.shards.conductor import Conductor
from tests.support.shards.shards import serve_shards
from tests.support.wire.raw_peer import RawPeer
from wspulse import Server
from wspulse.actors.mesh.lifecycle import MovedOut


async def test_session_is_not_committed_before_what_was_told_of_it_is_published() -> None:
    arrived: list[str] = []
    asked: list[Callable[[], None]] = []

    def serving() -> Server:
        server = Server(lambda request: ("lobby", request.query["id"]))
        server.on_transfer_in(lambda connection: arrived.append(connection.id))
        return server

    async with serve_shards(serving, 2) as shards:
        source = shards.runtimes[0]
        name = source.placement.new_id(0)
        async with await RawPeer.upgraded(shards.port, f"/ws?id={name}"):
            assert source.movement is not None
            source.movement.settle_events = asked.append
            reloading = asyncio.create_task(Conductor(shards).reload(0))
            await eventually(lambda: asked, "it asks whether all is published")
            await asyncio.wait({reloading}, timeout=0.2)
            assert arrived == []
            for call in asked:
                call()
            outcome = await reloading
            assert isinstance(outcome, MovedOut)
            assert (outcome.moved, arrived) == (1, [name])
