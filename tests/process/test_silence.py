"""A process of a server that is stopped for a while: the others serve on, and health and log say what is true."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from urllib.error import HTTPError
from urllib.request import urlopen

from websockets.asyncio.client import ClientConnection, connect

from tests.support.eventually import eventually
from tests.support.processes.server_process import ServerProcess, serve_process
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
            await eventually(lambda: len(lines(server, "the bus is stalled")) == WORKERS, "all workers say it", 5)
            assert await healths(server) == {(503, "broadcasts between the workers are stalled")}
            await asyncio.sleep(STOP_S - (time.monotonic() - began))
            assert await healths(server) == {(503, "broadcasts between the workers are stalled")}
        await eventually(lambda: len(lines(server, "the bus works again")) == WORKERS, "all workers say it", 5)
        assert await healths(server) == {(200, "ok")}
        await assert_is_served(members, "after")
        assert len(lines(server, "the bus is stalled")) == WORKERS
        async with AsyncControl(server.control) as control:
            assert [worker.bus_stalls for worker in (await control.stats()).workers] == [1] * WORKERS
        await close_all(members)


async def test_stopped_worker_is_told_by_log_and_stats_and_holds_up_nobody_else() -> None:
    with serve_process("--app", "relay", workers=WORKERS) as server:
        everywhere = await clients_in(server, "everywhere", [number % WORKERS for number in range(CLIENTS // 2)])
        elsewhere = await clients_in(server, "elsewhere", [number % (WORKERS - 1) for number in range(CLIENTS // 2)])
        await assert_is_served(everywhere, "before")
        silent = WORKERS - 1
        pid = server.worker_pids()[silent]
        names = f"shard={silent}, pid={pid},"
        async with AsyncControl(server.control) as control:
            with stopped(pid):
                began = time.monotonic()
                await eventually(
                    lambda: len(lines(server, "another worker is silent")) == WORKERS - 1, "its siblings say it", 6
                )
                (line,) = lines(server, "a worker is silent")
                assert names in line
                assert "process_state=stopped" in line
                await assert_is_served(elsewhere, "meanwhile")
                while time.monotonic() < began + STOP_S - 1:
                    await assert_is_served(elsewhere, f"still, {time.monotonic()}")
                    assert await healths(server, 4) == {(200, "ok")}
                    worker = (await control.stats()).workers[silent]
                    assert (worker.state, worker.pid) == ("silent", pid)
                assert 8 < worker.silent_for_s < 20
                await asyncio.sleep(began + STOP_S - time.monotonic())
            await eventually(
                lambda: len(lines(server, "another worker that was silent is back")) == WORKERS - 1, "they say it", 5
            )
            assert (await control.stats()).workers[silent].silent_for_s == 0
        await assert_is_served(everywhere, "after")
        for text in ("a worker is silent", "a worker that was silent is back"):
            assert [names in line for line in lines(server, text)] == [True]
        assert all(names in line for line in lines(server, "another worker"))
        assert not lines(server, "the bus is stalled")
        await close_all([*everywhere, *elsewhere])


async def test_server_that_was_stopped_as_a_whole_says_so_once_in_each_process_and_accuses_nobody() -> None:
    with serve_process("--app", "relay", workers=WORKERS) as server:
        members = await clients_in(server, "lobby", list(range(WORKERS)))
        with ExitStack() as stack:
            for pid in server.pids():
                stack.enter_context(stopped(pid))
            await asyncio.sleep(5)
        await eventually(
            lambda: len(lines(server, "the event loop stood still")) == WORKERS + 1, "all processes say it", 5
        )
        await assert_is_served(members, "after")
        assert {health(server) for _ in range(10)} == {(200, "ok")}
        for text in ("is silent", "the bus is stalled", "is back"):
            assert not lines(server, text)
        assert len(lines(server, "the event loop stood still")) == WORKERS + 1
        await close_all(members)
