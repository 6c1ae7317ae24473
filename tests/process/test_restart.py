"""Planned restarts of a shard, ordered from inside the supervisor: real workers, the supervisor in the test's own loop."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection, connect

from wspulse.actors.mesh.placement import Placement
from wspulse.actors.values.errors import ServerClosedError
from wspulse.supervisor.process.child import ChildState
from wspulse.supervisor.settings.layers import resolve
from wspulse.supervisor.supervisor import Supervisor


@asynccontextmanager
async def supervised(*, workers: int, app: str = "echo") -> AsyncIterator[Supervisor]:
    supervisor = Supervisor(resolve({"app": app, "port": "0", "workers": str(workers)}, {}))
    running = asyncio.create_task(supervisor.run())
    try:
        async with asyncio.timeout(30):
            while not supervisor.is_ready:
                assert not running.done(), await running
                await asyncio.sleep(0.01)
        yield supervisor
    finally:
        supervisor.request_shutdown("the test is over")
        async with asyncio.timeout(15):
            assert await running == 0


@pytest.fixture(autouse=True)
def runtime_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.chdir("/")


def url_on(supervisor: Supervisor, shard: int) -> str:
    connection_id = Placement(supervisor.settings.workers).new_id(shard)
    return f"ws://127.0.0.1:{supervisor.port}/ws?id={connection_id}"


async def echoes(client: ClientConnection, text: str) -> bool:
    await client.send(json.dumps({"event": text}))
    return bool(json.loads(await asyncio.wait_for(client.recv(), 5))["event"] == text)


async def test_restart_moves_the_sessions_of_one_shard_and_returns_when_the_old_worker_has_ended() -> None:
    async with (
        supervised(workers=2) as supervisor,
        connect(url_on(supervisor, 0)) as other,
        connect(url_on(supervisor, 1)) as client,
    ):
        child = supervisor.children[1]
        moved = await asyncio.wait_for(supervisor.restart(1), 15)
        assert (moved.shard, moved.moved, moved.drained) == (1, 1, 0)
        replacement = supervisor.children[1]
        assert (child.state, replacement.state) == (ChildState.STOPPED, ChildState.READY)
        assert (child.pid, replacement.restarts) == (None, 0)
        assert supervisor.everybody() == supervisor.children
        for number in range(3):
            assert await echoes(client, f"moved {number}")
            assert await echoes(other, f"still here {number}")
        for _ in range(4):  # whichever worker accepts, the shard is found
            async with connect(url_on(supervisor, 1)) as newcomer:
                assert await echoes(newcomer, "new")


async def echo_once(url: str) -> None:
    async with connect(url) as client:
        await client.send(json.dumps({"event": "hello"}))
        await client.recv()


async def test_upgrades_for_a_shard_go_on_while_it_is_replaced() -> None:
    async with supervised(workers=2) as supervisor:
        restart = asyncio.create_task(supervisor.restart(1))
        count = 0
        while not restart.done():
            await asyncio.wait_for(echo_once(url_on(supervisor, count % 2)), 5)
            count += 1
        assert count > 5
        await restart


async def test_upgrades_for_a_shard_wait_while_its_crashed_worker_is_replaced() -> None:
    """What is sent to the shard's mailbox meanwhile waits in its listener, which the next worker inherits."""
    async with supervised(workers=2) as supervisor:
        child = supervisor.children[1]
        child.kill()
        async with asyncio.timeout(10):
            while child.state not in (ChildState.WAITING, ChildState.STARTING):  # noqa: ASYNC110
                await asyncio.sleep(0)
        await asyncio.wait_for(asyncio.gather(*(echo_once(url_on(supervisor, 1)) for _ in range(8))), 10)


async def test_only_shard_can_be_restarted_again_and_again() -> None:
    async with supervised(workers=1) as supervisor, connect(url_on(supervisor, 0)) as client:
        for number in range(3):
            moved = await asyncio.wait_for(supervisor.restart(0), 15)
            assert (moved.moved, moved.drained) == (1, 0)
            assert await echoes(client, f"moved {number}")
        async with connect(url_on(supervisor, 0)) as newcomer:
            assert await echoes(newcomer, "new")


async def test_workers_come_and_go_and_every_socket_stays_open() -> None:
    async with supervised(workers=2) as supervisor, AsyncExitStack() as opened:
        clients = [
            await opened.enter_async_context(connect(f"ws://127.0.0.1:{supervisor.port}/ws?id=c{number}"))
            for number in range(40)
        ]
        for count in (3, 1, 4, 2):
            scaled = await asyncio.wait_for(supervisor.scale(count), 30)
            assert (scaled.workers, scaled.drained) == (count, 0)
            assert scaled.moved > 0
            assert [child.state for child in supervisor.everybody()] == [ChildState.READY] * count
            assert all(await asyncio.gather(*(echoes(client, f"at {count}") for client in clients)))
            await asyncio.wait_for(echo_once(f"ws://127.0.0.1:{supervisor.port}/ws"), 5)


async def test_restart_of_an_unknown_shard_is_refused() -> None:
    async with supervised(workers=1) as supervisor:
        for shard in (-1, 1):
            with pytest.raises(IndexError, match=rf"there is no shard {shard}; allowed: 0 … 0"):
                await supervisor.restart(shard)


async def test_restart_ends_with_an_error_when_the_server_ends_first() -> None:
    async with supervised(workers=2) as supervisor:
        restart = asyncio.create_task(supervisor.restart(1))
        await asyncio.sleep(0)
        supervisor.request_shutdown("now")
        with pytest.raises(ServerClosedError):
            await asyncio.wait_for(restart, 10)
