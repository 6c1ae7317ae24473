"""A client that sends more than it may, and its neighbours, over real sockets and on several shards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.support.shards.shards import Shards, serve_shards
from wspulse import Connection, Frame, Server
from wspulse.actors.transport.throttling import throttle

PER_SECOND = 50


def echo(resume_window: float = 0.0) -> Server:
    async def on_message(connection: Connection, frame: Frame) -> None:
        await connection.send(frame)

    return Server(
        lambda request: ("room", request.query["id"]),
        on_message=on_message,
        max_frames_per_second=PER_SECOND,
        resume_window=resume_window,
    )


def client(shards: Shards, name: str) -> connect:
    return connect(f"{shards.url}?id={name}", proxy=None)


async def ask(connection: ClientConnection, what: int) -> None:
    await connection.send(f'{{"id":"{what}"}}')
    assert await connection.recv() == f'{{"id":"{what}"}}'


def counted(shards: Shards, name: str) -> int:
    return sum(getattr(runtime.shard.metrics, name) for runtime in shards.runtimes)


@pytest.mark.parametrize("count", [1, 4])
async def test_client_over_its_rate_is_read_slowly_then_closed_and_no_neighbour_waits(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(throttle, "PATIENCE_S", 0.5)
    async with serve_shards(echo, count) as shards:
        names = [f"neighbour-{number}" for number in range(3 * count)]
        neighbours = [await client(shards, name) for name in names]
        async with client(shards, "flood") as flood:
            sending = asyncio.ensure_future(_send_without_end(flood))
            answers = 0
            async for _ in answers_of(flood):
                answers += 1
                for number, neighbour in enumerate(neighbours):
                    if answers <= PER_SECOND // 2:
                        await ask(neighbour, number)
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        assert (flood.close_code, flood.close_reason) == (1008, "too many messages")
        # A second's worth at once, and half of one more in its half second of patience.
        assert PER_SECOND <= answers <= 2 * PER_SECOND
        for number, neighbour in enumerate(neighbours):
            await ask(neighbour, number)
            await neighbour.close()
        assert (counted(shards, "limited_reading"), counted(shards, "limited_messages")) == (1, 1)


async def test_client_that_was_closed_for_its_rate_resumes_its_session_with_a_full_bucket(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(throttle, "PATIENCE_S", 0.2)
    async with serve_shards(lambda: echo(resume_window=30), 1) as shards:
        for _ in range(2):
            async with client(shards, "flood") as flood:
                sending = asyncio.ensure_future(_send_without_end(flood))
                async for _ in answers_of(flood):
                    pass
                await asyncio.gather(sending, return_exceptions=True)
                assert flood.close_code == 1008
        async with client(shards, "flood") as flood:
            await flood.send('{"id":"last"}')
            async with asyncio.timeout(10):
                while await flood.recv() != '{"id":"last"}':
                    pass
        assert counted(shards, "upgrades") == 3
        assert len(shards.runtimes[0].shard.sessions) == 1


async def answers_of(connection: ClientConnection) -> AsyncIterator[object]:
    """Until it is closed, however that is."""
    with suppress(ConnectionClosed):
        while True:
            yield await connection.recv()


async def _send_without_end(connection: ClientConnection) -> None:
    while True:
        await connection.send('{"id":"x"}')
        await asyncio.sleep(0)
