"""`Stage`: the server that is struck, and what can be seen of it: its log, its health, its figures, its processes."""

from __future__ import annotations

import asyncio
import os
import signal
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from tests.support.chaos.crowd import Crowd
from tests.support.processes.server_process import ServerProcess, start_process, wait_until
from wspulse import AsyncControl

__all__ = ["Stage", "stage"]

APP = """
import logging, pathlib
from wspulse import Connection, Frame, Server

server = Server(lambda request: (request.query.get("room", "lobby"), request.query.get("id", "")), max_message_size=65536)

@server.on_message
async def relay(connection: Connection, frame: Frame) -> None:
    if frame.event == "which release":
        connection.send_nowait(Frame("release", pathlib.Path(__file__).parent.resolve().name))
    elif frame.event == "log":
        logging.getLogger("wspulse.chaos").warning("x" * 1000)
    else:
        await server.broadcast(connection.room_id, frame)
"""

WORKERS = 4

ON_A_FIFO = (
    "import os, sys; os.dup2(os.open(sys.argv[1], os.O_WRONLY), 2); "
    "os.execv(sys.executable, [sys.executable, '-m', 'wspulse.supervisor', *sys.argv[2:]])"
)
"""A supervisor whose standard error is a pipe."""


class Stage:
    """See the module. `folder` has the releases, and `current`, which is the server's working directory."""

    def __init__(self, server: ServerProcess, folder: Path, crowd: Crowd) -> None:
        self.server = server
        self.folder = folder
        self.crowd = crowd

    @property
    def runtime_dir(self) -> Path:
        assert self.server.control is not None
        return Path(self.server.control.removeprefix("ipc://")).parent

    def health(self) -> int:
        """The status of a health probe; 0 for no answer within two seconds."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.server.port}/healthz", timeout=2) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    async def stats(self) -> Any:
        async with AsyncControl(self.server.control, timeout=12) as control:
            return await control.stats()

    async def all_are_ready(self, timeout_s: float) -> None:
        """Wait until `stats` shows every worker ready. AssertionError with what it showed instead."""
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout_s
        while (states := [worker.state for worker in (await self.stats()).workers]) != ["ready"] * WORKERS:
            assert loop.time() < end, f"{states}\n{self.server.stderr()[-3000:]}"
            await asyncio.sleep(0.05)

    async def all_are_well(self, timeout_s: float) -> None:
        """Wait until `stats` shows nothing amiss with the server, nor with any worker. AssertionError with what it showed."""
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout_s
        while amiss := _amiss(await self.stats()):
            assert loop.time() < end, f"{amiss}\n{self.server.stderr()[-3000:]}"
            await asyncio.sleep(0.05)

    async def members_of(self, shard: int) -> set[str]:
        async with AsyncControl(self.server.control) as control:
            return {each.id for each in await control.connections() if each.shard == shard}

    def worker(self, shard: int) -> int:
        """Its process."""
        found: dict[int, int] = wait_until(
            lambda: pids if shard in (pids := self.server.worker_pids()) else None, 10, f"worker {shard} runs"
        )
        return found[shard]

    async def until(self, condition: Callable[[], Any], timeout_s: float, what: str) -> None:
        """As `wait_until`, while the crowd talks."""
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout_s
        while not await asyncio.to_thread(condition):
            assert loop.time() < end, f"after {timeout_s:g} s still not true: {what}\n{self.server.stderr()[-3000:]}"
            await asyncio.sleep(0.05)

    @contextmanager
    def stopped(self, pid: int) -> Iterator[None]:
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)


@asynccontextmanager
async def stage(folder: Path, *args: str, members: int = 50, unread_log: bool = False) -> AsyncIterator[Stage]:
    """A server with a crowd. With `unread_log` its standard error is a pipe that nobody reads."""
    _prepare(folder)
    environment = {"XDG_RUNTIME_DIR": str(folder / "run"), "PWD": str(folder / "current")}
    options = ("--port", "0", "--workers", str(WORKERS), "--app", "app:server", *args)
    program: tuple[str, ...] = ("-m", "wspulse.supervisor")
    pipe = -1
    if unread_log:
        fifo = folder / "log"
        os.mkfifo(fifo)
        pipe = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        program = ("-c", ON_A_FIFO, str(fifo))
    try:
        with start_process(*options, env=environment, cwd=folder / "current", program=program) as server:
            server.await_ready()
            async with Crowd(server.url, members=members) as crowd:
                await crowd.hear_each_other()
                yield Stage(server, folder, crowd)
    finally:
        if pipe >= 0:
            os.close(pipe)


def _amiss(stats: Any) -> list[str]:
    found = [*stats.unwell, *(f"shard {each.shard}: {why}" for each in stats.workers for why in each.unwell)]
    found += [
        f"shard {each.shard} does not reach {each.links_down} others" for each in stats.workers if each.links_down
    ]
    return found


def _prepare(folder: Path) -> None:
    """A first release, and a runtime directory."""
    folder.chmod(0o700)
    release = folder / "release-1"
    release.mkdir()
    (release / "app.py").write_text(APP)
    (folder / "current").symlink_to(release)
    (folder / "run").mkdir(mode=0o700)
