"""Connections are counted over real workers: one that is killed frees its places, and a reload frees none."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.support.processes.server_process import ServerProcess, serve_process
from wspulse import AsyncControl


@asynccontextmanager
async def crowd(server: ServerProcess, most: int) -> AsyncIterator[list[ClientConnection]]:
    """So many connections, and not one more."""
    inside: list[ClientConnection] = []

    async def fill() -> None:
        while (client := await knock(server)) is not None:
            inside.append(client)
            await client.send('{"event":"x"}')
            await client.recv()

    await asyncio.gather(*(fill() for _ in range(4)))
    # Two who come at once may both find that there is one too many.
    while len(inside) < most and (client := await knock(server)) is not None:
        inside.append(client)
    assert len(inside) == most
    try:
        yield inside
    finally:
        await asyncio.gather(*(client.close() for client in inside))


async def knock(server: ServerProcess) -> ClientConnection | None:
    """None: refused."""
    try:
        return await connect(server.url, proxy=None)
    except InvalidStatus as refused:
        if (refused.response.status_code, refused.response.headers["Retry-After"]) != (503, "1"):
            raise
        return None


async def answers(client: ClientConnection) -> bool:
    try:
        await client.send('{"event":"x"}')
        await client.recv()
    except ConnectionClosed:
        return False
    return True


async def test_places_outlive_a_reload_and_those_of_a_killed_worker_are_free_again() -> None:
    with serve_process("--app", "echo", "--max-connections", "20", workers=4) as server:
        assert server.control is not None
        async with crowd(server, 20) as inside, AsyncControl(server.control) as control:
            reloading = asyncio.ensure_future(control.reload())
            while not reloading.done():
                assert await knock(server) is None
            await reloading
            assert await knock(server) is None
            for client in inside:
                assert await answers(client)
            victim = next(row for row in (await control.stats()).workers if row.connections)
            assert victim.pid is not None
            os.kill(victim.pid, signal.SIGKILL)
            alive = [client for client in inside if await answers(client)]
            assert len(alive) == 20 - victim.connections
            alive += [await eventually_inside(server) for _ in range(victim.connections)]
            assert await knock(server) is None
            for client in alive:
                assert await answers(client)
            totals = (await control.stats()).totals
            assert totals.limited_connections == totals.refused_503 > 0
            inside.extend(alive)


async def eventually_inside(server: ServerProcess) -> ClientConnection:
    """When the supervisor has seen that the worker has ended."""
    found: list[ClientConnection] = []
    for _ in range(1000):
        if (client := await knock(server)) is not None:
            found.append(client)
            break
    assert found, "the places of the worker that was killed are free again"
    return found[0]
