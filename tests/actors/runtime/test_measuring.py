"""What a worker measures where somebody looks at the metrics, and that it does not otherwise."""

from __future__ import annotations

import asyncio
import time
from functools import partial

import pytest

from tests.support.eventually import eventually
from tests.support.shards import shards as stage
from tests.support.shards.shards import Shards, serve_shards
from tests.support.wire.raw_peer import RawPeer, masked
from wspulse import EventRouter, Frame, Request, Server
from wspulse.actors.mesh.message import GetMetrics
from wspulse.actors.runtime.runtime import ShardRuntime

ON_DEMAND = {"wspulse_upgrade_seconds", "wspulse_pong_seconds", "wspulse_handler_seconds"}


def make_server() -> Server:
    router = EventRouter()
    router.on("said", lambda context: context.connection.id)
    server = Server(lambda request: ("lobby", request.query["id"]))
    server.on_message(router)
    return server


async def say(shards: Shards, connection_id: str) -> None:
    async with await RawPeer.upgraded(shards.port, f"/ws?id={connection_id}") as peer:
        peer.writer.write(masked(1, b'{"event":"said","id":"1"}'))
        await peer.expect("said")


async def measured(shards: Shards, name: str) -> dict[str, int]:
    """By label, how many were measured on all shards."""
    found: dict[str, int] = {}
    for number, runtime in enumerate(shards.runtimes):
        told = (await runtime.refs[number].ask(GetMetrics()))["histograms"]
        for label, buckets in told.get(name, {}).items():
            found[label] = found.get(label, 0) + sum(count for each, count in buckets.items() if each.isdigit())
    return found


async def test_upgrades_and_handlers_are_measured_in_the_worker_that_has_the_session(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stage, "ShardRuntime", partial(ShardRuntime, measures=True))
    async with serve_shards(make_server, 2) as shards:
        for number in range(8):
            await say(shards, f"m{number}")
        assert await measured(shards, "wspulse_upgrade_seconds") == {"": 8}
        assert await measured(shards, "wspulse_handler_seconds") == {"said": 8, "": 0}
        assert await measured(shards, "wspulse_pong_seconds") == {"": 0}


async def test_nothing_is_measured_at_frames_upgrades_and_pongs_where_nobody_looks() -> None:
    async with serve_shards(make_server, 1) as shards:
        await say(shards, "ada")
        told = (await shards.runtimes[0].refs[0].ask(GetMetrics()))["histograms"]
        assert not told.keys() & ON_DEMAND


async def test_upgrade_is_measured_from_the_moment_at_which_its_connection_was_accepted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stage, "ShardRuntime", partial(ShardRuntime, measures=True))

    async def connect(request: Request) -> tuple[str, str]:
        await asyncio.sleep(0.06)
        return "lobby", request.query["id"]

    async with serve_shards(lambda: Server(connect), 1) as shards:
        began = time.monotonic()
        async with await RawPeer.upgraded(shards.port, "/ws?id=ada"):
            took_us = shards.runtimes[0].shard.metrics.histograms.told()["wspulse_upgrade_seconds"][""]["sum_us"]
            assert 59_000 <= took_us <= (time.monotonic() - began) * 1_000_000


async def test_gauges_are_what_there_is_at_the_moment() -> None:
    def make_resuming() -> Server:
        return Server(lambda request: (request.query["id"], request.query["id"]), resume_window=60)

    async with serve_shards(make_resuming, 1) as shards:
        runtime = shards.runtimes[0]

        async def gauges() -> dict[str, int]:
            told: dict[str, int] = (await runtime.refs[0].ask(GetMetrics()))["gauges"]
            return told

        assert await gauges() == {"connected": 0, "suspended": 0, "rooms": 0, "queued": 0, "links_down": 0}
        server = shards.servers[0]
        for connection_id in ("ada", "bob"):
            (await RawPeer.upgraded(shards.port, f"/ws?id={connection_id}")).reset()
        await eventually(
            lambda: all(each.suspended for each in server.local_connections()), "they wait for their clients"
        )
        async with await RawPeer.upgraded(shards.port, "/ws?id=eve"):
            for _ in range(3):
                await server.broadcast("ada", Frame("said"))
            await server.broadcast("eve", Frame("said"))
            await asyncio.sleep(0)
            told = await gauges()
        assert told == {"connected": 1, "suspended": 2, "rooms": 3, "queued": 3, "links_down": 0}
