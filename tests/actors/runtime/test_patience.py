"""The end of a server whose handlers do not end: it waits as long as it was told to, and is bounded whatever they do."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from tests.support.eventually import eventually
from tests.support.http.asgi_peer import AsgiPeer
from tests.support.wire.raw_peer import RawPeer, masked
from wspulse import Connection, Frame, Server
from wspulse.actors.asgi import mounted
from wspulse.actors.wire.frames import TEXT


class Stage:
    """A server whose handler waits for what never comes, and says how it ends."""

    def __init__(self, **options: Any) -> None:
        self.log: list[str] = []
        self.refuses = False
        self.server = Server(lambda _request: ("room", "ada"), **options)
        self.server.on_message(self.wait)
        self.server.on_disconnect(self.end)
        self.server.on_stop(lambda: self.log.append("on_stop"))

    async def wait(self, *_: object) -> None:
        self.log.append("begun")
        never = asyncio.get_running_loop().create_future()
        while True:
            try:
                await asyncio.shield(never)
            except asyncio.CancelledError:
                self.log.append("cancelled")
                if not self.refuses:
                    raise

    def end(self, _connection: Connection, error: BaseException | None) -> None:
        self.log.append(f"on_disconnect {type(error).__name__}")


async def test_handler_that_does_not_end_is_cancelled_when_the_servers_patience_has_ended(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stage = Stage()
    async with stage.server.serve(patience_s=0.05) as running:
        peer = await RawPeer.upgraded(running.port, "/ws", glued=masked(TEXT, b"{}"))
        await eventually(lambda: stage.log, "the handler runs")
        await peer.close()
    assert [line.partition(" ")[0] for line in stage.log] == ["begun", "cancelled", "on_disconnect", "on_stop"]
    told = [vars(line) for line in caplog.records if "handlers that are still running are cancelled" in line.message]
    assert [(line["handlers"], line["patience_s"]) for line in told] == [(1, 0.05)]


async def test_handler_that_ends_in_time_is_waited_for() -> None:
    stage = Stage()
    gate = asyncio.Event()

    @stage.server.on_message
    async def work(*_: object) -> None:
        stage.log.append("begun")
        await gate.wait()
        stage.log.append("done")

    async with stage.server.serve(patience_s=5) as running:
        peer = await RawPeer.upgraded(running.port, "/ws", glued=masked(TEXT, b"{}"))
        await eventually(lambda: stage.log, "the handler runs")
        asyncio.get_running_loop().call_later(0.05, gate.set)
        await peer.close()
    assert stage.log[:2] == ["begun", "done"]


async def test_handler_that_refuses_its_cancellation_keeps_no_server_from_ending(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stage = Stage()
    stage.refuses = True
    begun = time.monotonic()
    async with stage.server.serve(patience_s=0) as running:
        peer = await RawPeer.upgraded(running.port, "/ws", glued=masked(TEXT, b"{}"))
        await eventually(lambda: stage.log, "the handler runs")
        (task,) = stage.server._running().shard.working.values()
        await peer.close()
    took_s, log = time.monotonic() - begun, list(stage.log)
    # Before anything can fail: a task that refuses for ever would keep the run from ending.
    stage.refuses = False
    task.cancel()
    await asyncio.wait([task], timeout=5)
    assert took_s < 4
    assert log == ["begun", "cancelled", "on_stop", "cancelled"]
    assert [vars(line)["handlers"] for line in caplog.records if "do not react" in line.message] == [1]


async def test_handler_that_closes_the_server_is_not_among_those_who_are_cancelled() -> None:
    stage = Stage()
    stage.server.connect(lambda request: ("room", request.query["id"]))

    @stage.server.on_message
    async def work(connection: Connection, frame: Frame) -> None:
        if connection.id == "ada":
            await stage.wait(connection, frame)
        await stage.server.close()
        stage.log.append("closed")

    async with stage.server.serve(patience_s=0.05) as running:
        peers = []
        for name in ("ada", "bob"):
            peers.append(await RawPeer.upgraded(running.port, f"/ws?id={name}", glued=masked(TEXT, b"{}")))
            await eventually(lambda: len(stage.server._running().shard.working) == len(peers), "the handler runs")
        for peer in peers:
            await peer.close()
    assert "closed" in stage.log


async def test_mounted_server_is_bounded_likewise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mounted, "PATIENCE_S", 0.05)
    stage = Stage()
    application = stage.server.asgi()
    async with stage.server.asgi_lifespan(), AsgiPeer(application) as peer:
        peer.say("{}")
        await eventually(lambda: stage.log, "the handler runs")
    assert stage.log[:2] == ["begun", "cancelled"]


@pytest.mark.parametrize("patience_s", [-1, float("nan"), 3600.1, True, None, "1"])
async def test_patience_that_is_none_is_refused(patience_s: Any) -> None:
    with pytest.raises(ValueError, match=r"^wspulse: patience_s: "):
        async with Stage().server.serve(patience_s=patience_s):
            pass
