"""`Stage`: the server that is struck, and what can be seen of it: its log, its health, its figures, its processes."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psutil

from tests.support.chaos.crowd import Crowd
from tests.support.http.authority import Authority
from tests.support.processes.server_process import ServerProcess, start_process, wait_until
from wspulse import AsyncControl

__all__ = ["WORKERS", "Scene", "Stage", "stage"]

APP = """
import logging, pathlib
from wspulse import Connection, Frame, Server

server = Server(lambda request: (request.query.get("room", "lobby"), request.query.get("id", "")), max_message_size=65536)
held = []

@server.on_message
async def relay(connection: Connection, frame: Frame) -> None:
    match frame.event:
        case "which release":
            connection.send_nowait(Frame("release", pathlib.Path(__file__).parent.resolve().name))
        case "log":
            logging.getLogger("wspulse.chaos").warning("x" * 1000)
        case "hold":
            held.append(b"x" * frame.decode(int))
        case "let go":
            held.clear()
        case _:
            await server.broadcast(connection.room_id, frame)
"""

WORKERS = 4

LOG_GOES_TO = (
    "import os, sys; os.dup2(os.open(sys.argv[1], os.O_WRONLY), 2); "
    "os.execv(sys.executable, [sys.executable, '-m', 'wspulse.supervisor', *sys.argv[2:]])"
)
"""A supervisor whose standard error is another file."""


@dataclass(frozen=True)
class Scene:
    """What a server is like that is to be struck. Its log is kept, or a pipe that nobody reads, or a disk that is full."""

    log: Literal["kept", "unread", "full"] = "kept"
    is_tls: bool = False
    options: Sequence[str] = ()


class Stage:
    """See the module. `folder` has the releases, and `current`, which is the server's working directory."""

    def __init__(self, server: ServerProcess, folder: Path, crowd: Crowd, tls: ssl.SSLContext | None) -> None:
        self.server = server
        self.folder = folder
        self.crowd = crowd
        self.seen: list[str] = []
        """What the strike has seen, besides what is seen of every crowd."""
        self.concerned: set[str] = set()
        """Members that were cut off as was to be expected."""
        self.returns: list[tuple[int, float]] = []
        """Of each time that a process died whose clients came back: how many, and how long it took, in seconds."""
        self._tls = tls

    @property
    def runtime_dir(self) -> Path:
        assert self.server.control is not None
        return Path(self.server.control.removeprefix("ipc://")).parent

    def saw(self, what: str) -> None:
        """Have it in the row's figures."""
        self.seen.append(what)

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        """The block's duration is a figure; `what` has a place for it."""
        began = time.monotonic()
        yield
        self.saw(what.format(f"{time.monotonic() - began:.2f} s"))

    def health(self) -> int:
        """The status of a health probe; 0 for no answer within two seconds."""
        scheme = "http" if self._tls is None else "https"
        return _status(f"{scheme}://127.0.0.1:{self.server.port}/healthz", self._tls)

    def admin_url(self) -> str:
        """Where the admin address is, as the log has it."""
        found = re.search(r"the admin address is open \(url=(\S+)/\)", self.server.stderr())
        assert found is not None, self.server.stderr()
        return found[1]

    def admin_status(self, path: str) -> int:
        return _status(self.admin_url() + path, None)

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

    def companions(self, title: str) -> list[int]:
        """The supervisor's children whose title begins so, besides the workers."""
        found = []
        for child in psutil.Process(self.server.pid).children():
            try:
                if " ".join(child.cmdline()).startswith(f"wspulse: {title}"):
                    found.append(child.pid)
            except psutil.Error:
                continue
        return found

    async def until(self, condition: Callable[[], Any], timeout_s: float, what: str) -> None:
        """As `wait_until`, while the crowd talks."""
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout_s
        while not await asyncio.to_thread(condition):
            assert loop.time() < end, f"after {timeout_s:g} s still not true: {what}\n{self.server.stderr()[-3000:]}"
            await asyncio.sleep(0.05)

    @contextmanager
    def stopped(self, *pids: int) -> Iterator[None]:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)


@asynccontextmanager
async def stage(folder: Path, scene: Scene, members: int) -> AsyncIterator[Stage]:
    """A server with a crowd."""
    _prepare(folder)
    environment = {"XDG_RUNTIME_DIR": str(folder / "run"), "PWD": str(folder / "current")}
    options = ["--port", "0", "--workers", str(WORKERS), "--app", "app:server", *scene.options]
    tls = None
    if scene.is_tls:
        authority = Authority()
        certificate, key = authority.certificate(folder)
        options += ["--tls-cert", str(certificate), "--tls-key", str(key)]
        tls = authority.client_context()
    with (
        _log(folder, scene.log) as program,
        start_process(*options, env=environment, cwd=folder / "current", program=program) as server,
    ):
        server.await_ready()
        async with Crowd(server.url, workers=WORKERS, members=members, tls=tls) as crowd:
            await crowd.hear_each_other()
            crowd.forget_waits()
            yield Stage(server, folder, crowd, tls)


@contextmanager
def _log(folder: Path, kind: str) -> Iterator[tuple[str, ...]]:
    """The program whose log goes there."""
    if kind == "kept":
        yield ("-m", "wspulse.supervisor")
    elif kind == "full":
        yield ("-c", LOG_GOES_TO, "/dev/full")
    else:
        fifo = folder / "log"
        os.mkfifo(fifo)
        pipe = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        try:
            yield ("-c", LOG_GOES_TO, str(fifo))
        finally:
            os.close(pipe)


def _status(url: str, tls: ssl.SSLContext | None) -> int:
    try:
        with urllib.request.urlopen(url, timeout=2, context=tls) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError:
        return 0


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
