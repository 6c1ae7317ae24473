"""Planned restarts of a shard, ordered from inside the supervisor: real workers, the supervisor in the test's own loop."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

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


async def test_restart_drains_one_shard_and_returns_when_its_replacement_is_ready() -> None:
    async with (
        supervised(workers=2) as supervisor,
        connect(url_on(supervisor, 0)) as survivor,
        connect(url_on(supervisor, 1)) as victim,
    ):
        child = supervisor.children[1]
        before = (child.pid, child.incarnation)
        await asyncio.wait_for(supervisor.restart(1), 10)
        assert child.state is ChildState.READY
        assert before[0] != child.pid
        assert before[1] != child.incarnation
        assert child.restarts == 0
        with pytest.raises(ConnectionClosed) as caught:
            await victim.recv()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1001
        await survivor.send(json.dumps({"event": "still here"}))
        await survivor.recv()
        for _ in range(4):  # whichever worker accepts, the shard is found
            async with connect(url_on(supervisor, 1)) as client:
                await client.send(json.dumps({"event": "new"}))
                await client.recv()


async def echo_once(url: str) -> None:
    async with connect(url) as client:
        await client.send(json.dumps({"event": "hello"}))
        await client.recv()


@pytest.mark.parametrize("planned", [True, False], ids=["restart", "crash"])
async def test_upgrades_for_a_shard_wait_while_it_is_replaced(planned: bool) -> None:
    """What is sent to the shard's mailbox meanwhile waits in its listener, which the replacement inherits."""
    async with supervised(workers=2) as supervisor:
        child = supervisor.children[1]
        restart = asyncio.create_task(supervisor.restart(1)) if planned else None
        if not planned:
            child.kill()
        async with asyncio.timeout(10):
            while child.state not in (ChildState.WAITING, ChildState.STARTING):  # noqa: ASYNC110
                await asyncio.sleep(0)
        await asyncio.wait_for(asyncio.gather(*(echo_once(url_on(supervisor, 1)) for _ in range(8))), 10)
        if restart is not None:
            await asyncio.wait_for(restart, 10)


async def test_only_shard_can_be_restarted() -> None:
    async with supervised(workers=1) as supervisor:
        await asyncio.wait_for(supervisor.restart(0), 10)
        async with connect(url_on(supervisor, 0)):
            pass


async def test_restart_of_an_unknown_shard_is_refused() -> None:
    async with supervised(workers=1) as supervisor:
        for shard in (-1, 1):
            with pytest.raises(IndexError, match=rf"there is no shard {shard}; allowed is 0 … 0"):
                await supervisor.restart(shard)


async def test_restart_ends_with_an_error_when_the_server_ends_first() -> None:
    async with supervised(workers=2) as supervisor:
        restart = asyncio.create_task(supervisor.restart(1))
        await asyncio.sleep(0)
        supervisor.request_shutdown("now")
        with pytest.raises(ServerClosedError):
            await asyncio.wait_for(restart, 10)
