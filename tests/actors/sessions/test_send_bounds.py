"""`send_buffer_bytes`: what waits for a client is bounded in bytes too, away or not reading, directly or by broadcast."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.support.eventually import eventually
from tests.support.wire.raw_peer import RawPeer
from wspulse import Connection, Frame, Request, SendBufferFullError, Server

KIB = b"x" * 1000


def identify(request: Request) -> tuple[str, str]:
    return "room", request.query["id"]


def number_of(payload: bytes) -> int:
    return int(json.loads(payload)["payload"][0])


async def send_for_ever(connection: Connection) -> None:
    while True:
        await connection.send(Frame("big", KIB.decode()))
        await asyncio.sleep(0)


@pytest.mark.parametrize("by_broadcast", [True, False])
async def test_client_that_is_away_gets_the_newest_frames_that_fit(by_broadcast: bool) -> None:
    server = Server(identify, resume_window=30, send_buffer_bytes=4096)
    async with server.serve() as running:
        peer = await RawPeer.upgraded(running.port, "/ws?id=ada")
        await peer.close()
        connection = server.local_connection("ada")
        assert connection is not None
        await eventually(lambda: connection.suspended, "ada is away", 5)
        for number in range(10):
            frame = Frame("big", [number, KIB.decode()])
            if by_broadcast:
                await server.broadcast("room", frame)
            else:
                await server.send("ada", frame)
        await asyncio.sleep(0)
        await eventually(lambda: connection.queued == 3, "three are kept", 5)
        async with await RawPeer.upgraded(running.port, "/ws?id=ada") as again:
            assert [number_of((await again.frame())[1]) for _ in range(3)] == [7, 8, 9]


async def test_client_that_does_not_read_is_refused_a_frame_that_does_not_fit_and_others_wait_their_turn() -> None:
    server = Server(identify, send_buffer_bytes=4096, write_wait=30)
    async with server.serve() as running, await RawPeer.upgraded(running.port, "/ws?id=ada", 4096) as peer:
        connection = server.local_connection("ada")
        assert connection is not None
        with pytest.raises(SendBufferFullError):
            await send_for_ever(connection)
        assert connection.queued == 3
        await connection.send(Frame("s"))
        waiting = asyncio.create_task(connection.send_wait(Frame("last", KIB.decode())))
        await asyncio.sleep(0)
        assert not waiting.done()
        while (await peer.frame())[1][:15] != b'{"event":"last"':
            pass
        await waiting


async def test_large_frames_of_one_turn_do_not_wait_for_its_end() -> None:
    server = Server(identify, send_buffer_size=16, send_buffer_bytes=16 * 1024)
    async with server.serve() as running, await RawPeer.upgraded(running.port, "/ws?id=ada"):
        connection = server.local_connection("ada")
        assert connection is not None
        connection.send_nowait(Frame("small"))
        connection.send_nowait(Frame("small"))
        assert connection.queued == 2
        connection.send_nowait(Frame("large", "x" * 1024))
        assert connection.queued == 0
