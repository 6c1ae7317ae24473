"""The end of a server from its odd corners: clients that are gone, and an application that is in the middle of `connect`."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Coroutine
from typing import Any

import pytest
import uvloop

from tests.support.eventually import eventually
from tests.support.http.asgi_peer import AsgiPeer
from tests.support.wire.raw_peer import RawPeer, head, masked
from wspulse import Connection, Request, Server
from wspulse.actors.runtime.runtime import ShardRuntime
from wspulse.actors.wire.frames import TEXT

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def run(loop: str, main: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(main)


def reset_after(port: int, data: bytes) -> None:
    """Send something, and be gone before the answer comes."""
    client = socket.create_connection(("127.0.0.1", port))
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.sendall(data)
    client.close()


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("request_bytes", [head("/nothing"), head("/healthz", method="GET"), b"nonsense\r\n\r\n"])
def test_clients_that_are_gone_when_they_are_refused_keep_no_drain_waiting(loop: str, request_bytes: bytes) -> None:
    async def main() -> None:
        server = Server(lambda _request: ("room", ""))
        async with server.serve() as running:
            for _ in range(20):
                await asyncio.to_thread(reset_after, running.port, request_bytes)
            acceptor = server._running()._acceptor
            await eventually(lambda: not acceptor.newcomers, "all are refused")
            await asyncio.wait_for(server.close(), 5)

    run(loop, main())


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("where", ["connect", "check_origin"])
def test_server_that_is_closed_while_it_is_asked_who_comes_closes(loop: str, where: str) -> None:
    ended: list[str] = []

    async def close(request: Request) -> bool:
        if request.query["id"] == "eve":
            await server.close()
        return True

    async def connect(request: Request) -> tuple[str, str]:
        if where == "connect":
            await close(request)
        return "room", request.query["id"]

    server = Server(connect, check_origin=close if where == "check_origin" else None)

    @server.on_disconnect
    async def say(connection: Connection, _error: BaseException | None) -> None:
        await asyncio.sleep(0.05)
        ended.append(connection.id)

    async def main() -> None:
        async with server.serve() as running:
            ada = await RawPeer.upgraded(running.port, "/ws?id=ada")
            eve = await RawPeer.dial(running.port)
            eve.writer.write(head("/ws?id=eve"))
            assert (await eve.head()).startswith(b"HTTP/1.1 503 ")
            await eve.close()
            await ada.close()
            await asyncio.wait_for(server.close(), 5)
            assert ended == ["ada"]

    run(loop, main())


@pytest.mark.parametrize("loop", LOOPS)
def test_connect_that_takes_long_over_its_cancellation_has_ended_when_the_server_has(loop: str) -> None:
    ended: list[str] = []

    async def main() -> None:
        asked = asyncio.Event()

        async def connect(_request: Request) -> tuple[str, str]:
            asked.set()
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                await asyncio.sleep(0.05)
                ended.append("connect")
                raise
            return "room", "ada"

        server = Server(connect)
        async with server.serve() as running:
            peer = await RawPeer.dial(running.port)
            peer.writer.write(head("/ws"))
            await asyncio.wait_for(asked.wait(), 5)
        ended.append("server")
        await peer.close()

    run(loop, main())
    assert ended == ["connect", "server"]


@pytest.mark.parametrize("times", [1, 3])
async def test_close_that_is_cancelled_closes_all_the_same_and_a_later_one_returns(times: int) -> None:
    gate = asyncio.Event()
    ended: list[str] = []
    server = Server(lambda _request: ("room", "ada"))

    @server.on_message
    async def wait(*_: object) -> None:
        await gate.wait()

    server.on_disconnect(lambda connection, _error: ended.append(connection.id))
    async with server.serve() as running:
        peer = await RawPeer.upgraded(running.port, "/ws", glued=masked(TEXT, b"{}"))
        shard = server._running().shard
        await eventually(lambda: shard.working, "the handler runs")
        for _ in range(times):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(server.close(), 0.02)
        assert await peer.close_code() == (1001, "server shutting down")
        await peer.close()
        closing = asyncio.create_task(server.close())
        await asyncio.sleep(0)
        assert not closing.done(), "the handler still runs"
        gate.set()
        await asyncio.wait_for(closing, 5)
        assert ended == ["ada"]


async def test_close_that_is_cancelled_in_a_handler_lets_the_end_wait_for_that_handler() -> None:
    gate = asyncio.Event()
    log: list[str] = []
    server = Server(lambda _request: ("room", "ada"))

    @server.on_message
    async def close(*_: object) -> None:
        for _time in range(2):
            try:
                await asyncio.wait_for(server.close(), 0.02)
            except TimeoutError:
                log.append("timed out")
        await gate.wait()
        log.append("handler")

    @server.on_disconnect
    async def end(*_: object) -> None:
        await asyncio.sleep(0)
        log.append("end")

    async with server.serve() as running:
        peer = await RawPeer.upgraded(running.port, "/ws", glued=masked(TEXT, b"{}"))
        assert await peer.close_code() == (1001, "server shutting down")
        await eventually(lambda: len(log) == 2, "both calls were cancelled")
        closing = asyncio.create_task(server.close())
        # All else ends: only the handler is left to wait for.
        await peer.close()
        shard = server._running().shard
        await eventually(lambda: not shard._ending, "the transport is gone")
        for _turn in range(10):
            await asyncio.sleep(0)
        assert not closing.done(), "the handler still runs"
        gate.set()
        await asyncio.wait_for(closing, 5)
        assert log == ["timed out", "timed out", "handler", "end"]


async def test_drain_that_is_cancelled_leaves_no_wait_behind() -> None:
    gate = asyncio.Event()
    server = Server(lambda _request: ("room", "ada"))

    @server.on_message
    async def wait(*_: object) -> None:
        await gate.wait()

    async with server.serve() as running:
        peer = await RawPeer.upgraded(running.port, "/ws", glued=masked(TEXT, b"{}"))
        runtime = server._running()
        await eventually(lambda: runtime.shard.working, "the handler runs")
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(runtime.drain(), 0.02)
        assert runtime.shard._quiet == []
        gate.set()
        await peer.close()


async def test_serve_that_is_cancelled_again_while_it_ends_has_ended_everything() -> None:
    log: list[str] = []
    stopping = asyncio.Event()
    server = Server(lambda _request: ("room", "ada"))

    @server.on_message
    async def wait(*_: object) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            log.append("handler")

    server.on_stop(lambda: log.append("first on_stop"))

    @server.on_stop
    async def stuck() -> None:
        stopping.set()
        await asyncio.get_running_loop().create_future()

    entered = asyncio.Event()

    async def main() -> None:
        async with server.serve() as running:
            peer = await RawPeer.upgraded(running.port, "/ws", glued=masked(TEXT, b"{}"))
            shard = server._running().shard
            await eventually(lambda: shard.working, "the handler runs")
            entered.set()
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                await peer.close()

    serving = asyncio.create_task(main())
    await entered.wait()
    runtime = server._running()
    serving.cancel()  # it drains, and waits for the handler
    await eventually(lambda: runtime.shard._quiet, "it drains")
    serving.cancel()  # it stops, and waits for an on_stop
    await stopping.wait()
    serving.cancel()
    await asyncio.wait([serving], timeout=5)
    assert serving.cancelled()
    assert log == ["first on_stop", "handler"]
    assert runtime.shard.working == {}
    assert runtime._lag._timer.cancelled()


async def test_close_from_on_stop_of_a_worker_returns_at_once() -> None:
    log: list[str] = []
    server = Server(lambda _request: ("room", "ada"))

    @server.on_stop
    async def close() -> None:
        await server.close()
        log.append("closed")

    runtime = ShardRuntime(server, shard=0, workers=1, incarnation=1, path="/ws", tell_supervisor=lambda _message: None)
    await runtime.start()
    await runtime.drain()
    await asyncio.wait_for(runtime.stop(), 5)
    assert log == ["closed"]


async def test_stage_that_fails_at_the_stop_keeps_no_other_from_ending(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(lambda _request: ("room", "ada"))
    runtime = ShardRuntime(server, shard=0, workers=1, incarnation=1, path="/ws")
    await runtime.start()

    def fail() -> None:
        raise LookupError("planted")

    monkeypatch.setattr(runtime._extensions, "close", fail)
    with pytest.raises(LookupError, match="planted"):
        await runtime.stop()
    assert runtime._lag._timer.cancelled()


async def test_mounted_server_whose_close_is_cancelled_closes_all_the_same() -> None:
    gate = asyncio.Event()
    ended: list[str] = []
    server = Server(lambda _request: ("room", "ada"))

    @server.on_message
    async def wait(*_: object) -> None:
        await gate.wait()

    server.on_disconnect(lambda connection, _error: ended.append(connection.id))
    async with server.asgi_lifespan(), AsgiPeer(server.asgi()) as peer:
        peer.say("{}")
        shard = server._running().shard
        await eventually(lambda: shard.working, "the handler runs")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(server.close(), 0.02)
        gate.set()
        await asyncio.wait_for(server.close(), 5)
        assert ended == ["ada"]
        assert peer.sent[-1] == {"type": "websocket.close", "code": 1001, "reason": "server shutting down"}
