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
from tests.support.raw_peer import RawPeer, head
from wspulse import Connection, Request, Server

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
