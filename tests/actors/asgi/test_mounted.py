"""A mounted server's calls: which runtime of the process they reach, and when they start it."""

from __future__ import annotations

import asyncio
from contextlib import closing, suppress
from typing import Any

import pytest

from tests.actors.asgi.test_application import drive_lifespan
from wspulse import ConnectionNotFoundError, Frame, Request, Server


def identify(request: Request) -> tuple[str, str]:
    return request.query.get("room", "lobby"), request.query.get("id", "")


def mounted() -> tuple[Server, list[str], Any]:
    """A mounted server, the log of its starts and stops, and its ASGI application."""
    server = Server(identify)
    log: list[str] = []
    server.on_start(lambda: log.append("start"))
    server.on_stop(lambda: log.append("stop"))
    return server, log, server.asgi()


async def test_call_of_a_mounted_server_reaches_the_runtime_that_serves_the_process_instead() -> None:
    server, log, _ = mounted()
    async with server.serve():
        serving = server._running()
        await server.broadcast("lobby", Frame())
        assert await server.get_connections("lobby") == []
        assert server._running() is serving
    assert log == ["start", "stop"]


async def test_lifespan_starts_and_stops_nothing_where_the_process_serves_by_itself() -> None:
    server, log, application = mounted()
    async with server.serve():
        assert await drive_lifespan(application) == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
        assert log == ["start"]
        await server.broadcast("lobby", Frame())


async def test_mounted_server_that_runs_is_not_served_a_second_time() -> None:
    server, log, _ = mounted()
    async with server.asgi_lifespan():
        with pytest.raises(RuntimeError, match=r"^wspulse: this server is already running"):
            async with server.serve():
                pass
        await server.broadcast("lobby", Frame())
    assert log == ["start", "stop"]


@pytest.mark.parametrize("name", ["send", "broadcast", "kick", "get_connections"])
async def test_first_call_of_a_mounted_server_starts_it(name: str) -> None:
    server, log, _ = mounted()
    arguments = ("x", Frame()) if name in ("send", "broadcast") else ("x",)
    for _ in range(2):
        with suppress(ConnectionNotFoundError):  # there is no connection "x"
            await getattr(server, name)(*arguments)
    assert log == ["start"]
    await server.close()


@pytest.mark.parametrize("name", ["send", "broadcast", "kick", "get_connections", "presence"])
async def test_call_of_another_thread_is_refused_and_named_its_way(name: str) -> None:
    server, log, _ = mounted()
    arguments = ("x", Frame()) if name in ("send", "broadcast") else ("x",)

    def in_a_loop_of_its_own() -> None:
        asyncio.run(getattr(server, name)(*arguments))

    def without_a_loop() -> None:
        with closing(getattr(server, name)(*arguments)) as call:
            call.send(None)

    async with server.asgi_lifespan():
        for work in (in_a_loop_of_its_own, without_a_loop):
            with pytest.raises(RuntimeError, match="wspulse: this thread is not the server's; call `"):
                await asyncio.to_thread(work)
    assert log == ["start", "stop"]


async def test_calls_that_cannot_wait_start_nothing() -> None:
    server, log, _ = mounted()
    with pytest.raises(RuntimeError, match=r"^wspulse: the server is not running$"):
        server.broadcast_nowait("lobby", Frame())
    with pytest.raises(RuntimeError, match=r"^wspulse: the server is not running$"):
        _ = server.workers
    with pytest.raises(RuntimeError, match=r"^wspulse: the server is not running$"):
        await server.close()
    assert log == []
