"""A process of a server that is stopped for a while: the others serve on, and health and log say what is true."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.error import HTTPError
from urllib.request import urlopen

from websockets.asyncio.client import ClientConnection, connect

from tests.support.eventually import eventually
from tests.support.server_process import ServerProcess, serve_process
from wspulse import AsyncControl
from wspulse.actors.mesh.placement import Placement

WORKERS = 4
CLIENTS = 50
STOP_S = 12.0


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def health(server: ServerProcess) -> tuple[int, str]:
    try:
        with urlopen(f"http://127.0.0.1:{server.port}/healthz", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()


async def healths(server: ServerProcess, count: int = 20) -> set[tuple[int, str]]:
    """Of whichever workers answer, one after another."""
    return {await asyncio.to_thread(health, server) for _ in range(count)}


def lines(server: ServerProcess, text: str) -> list[str]:
    return [line for line in server.stderr().splitlines() if text in line]


async def clients_in(server: ServerProcess, room: str, shards: list[int]) -> list[ClientConnection]:
    """One for each of these shards."""
    placement = Placement(WORKERS)
    return [
        await connect(f"{server.url}?room={room}&id={placement.new_id(shard)}", ping_interval=None, proxy=None)
        for shard in shards
    ]


async def assert_is_served(members: list[ClientConnection], word: str) -> None:
    """The first one says it, and all get it."""
    await members[0].send(json.dumps({"event": word}))
    async with asyncio.timeout(10):
        for member in members:
            while json.loads(await member.recv())["event"] != word:
                pass


async def close_all(clients: list[ClientConnection]) -> None:
    await asyncio.gather(*(client.close() for client in clients))


async def test_stopped_supervisor_is_told_by_health_and_log_and_nobody_is_cut_off() -> None:
    with serve_process("--app", "relay", workers=WORKERS) as server:
        members = await clients_in(server, "lobby", [number % WORKERS for number in range(CLIENTS)])
        await assert_is_served(members, "before")
        assert await healths(server) == {(200, "ok")}
        with stopped(server.pid):
            began = time.monotonic()
            await eventually(lambda: len(lines(server, "the bus stands still")) == WORKERS, "all workers say it", 5)
            assert await healths(server) == {(503, "broadcasts between the workers stand still")}
            await asyncio.sleep(STOP_S - (time.monotonic() - began))
            assert await healths(server) == {(503, "broadcasts between the workers stand still")}
        await eventually(lambda: len(lines(server, "the bus moves again")) == WORKERS, "all workers say it", 5)
        assert await healths(server) == {(200, "ok")}
        await assert_is_served(members, "after")
        assert len(lines(server, "the bus stands still")) == WORKERS
        async with AsyncControl(server.control) as control:
            assert [worker.bus_stalls for worker in (await control.stats()).workers] == [1] * WORKERS
        await close_all(members)
