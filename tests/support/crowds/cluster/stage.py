"""`Stage`: the hosts, the NATS servers between them and the clients on them, and what a trial can do to each."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import urlopen

import nats
import psutil

from tests.support.crowds.cluster.books import Deeds, Notes, Session
from tests.support.crowds.cluster.members import Member
from tests.support.eventually import eventually
from tests.support.processes.gated_proxy import GatedProxy
from tests.support.processes.nats_servers import NatsServers, nats_servers
from tests.support.processes.server_process import ServerProcess, start_process
from wspulse import AsyncControl

__all__ = ["Host", "Stage", "staged"]

APP = Path(__file__).with_name("app.py")

OPTIONS = (
    *("--resume-window", "0", "--send-buffer-size", "4096", "--send-buffer-bytes", "67108864"),
    *("--ping-period", "20", "--pong-wait", "60", "--shutdown-timeout", "5"),
)
"""Clients that do not answer while they, or their hosts, stand still are no part of this."""

GOES_ON_S = 40.0

LOSSES = ("messages are lost", "streams in NATS began anew")
"""As gateways log them."""


@dataclass
class Host:
    name: str
    process: ServerProcess
    proxy: GatedProxy | None

    def gateway(self) -> int | None:
        """Its pid, if there is one."""
        for child in psutil.Process(self.process.pid).children():
            if " ".join(child.cmdline()).rstrip("\0 ").startswith("wspulse: gateway"):
                return int(child.pid)
        return None

    @property
    def tells_of_losses(self) -> bool:
        return any(word in self.process.stderr() for word in LOSSES)


@dataclass
class Stage:
    """See the module."""

    folder: Path
    nats: NatsServers
    hosts: list[Host]
    members: list[Member] = field(default_factory=list)
    deeds: Deeds = field(default_factory=Deeds)
    facts: dict[str, float | str] = field(default_factory=dict)
    """What a trial has measured."""
    stories: list[str] = field(default_factory=list)
    """What it has found wrong."""

    def expect(self, condition: bool, story: str) -> None:
        if not condition:
            self.stories.append(story)

    def notes(self) -> Notes:
        return Notes(_read(path) for path in sorted(self.folder.glob("notes-*")))

    def sessions_of(self, host: Host) -> list[Session]:
        """Those that have not ended."""
        found = self.notes().sessions.values()
        return [session for session in found if session.host == host.name and session.ended_at is None]

    async def goes_on(self, fact: str = "all talk again after s", members: Iterable[Member] | None = None) -> None:
        """Until each client is somewhere, and has been answered since now."""
        since = time.monotonic()
        wanted = list(self.members if members is None else members)
        try:
            await eventually(lambda: all(_is_answered(member, since) for member in wanted), fact, GOES_ON_S)
        except AssertionError:
            for member in wanted:
                if not _is_answered(member, since):
                    where = "nowhere" if member.stay is None else f"on {member.stay.host}"
                    self.stories.append(f"{member.name}, {where}, was not answered for {GOES_ON_S:g} s")
        self.facts[fact] = round(time.monotonic() - since, 1)

    async def has_gateway(self, host: Host, other_than: int | None = None) -> int:
        """Wait for one that runs, and return its pid."""
        pid: int = await eventually(
            lambda: (found := host.gateway()) != other_than and found, f"{host.name} has a gateway", 15
        )
        return pid

    def kill(self, *pids: int) -> None:
        """SIGKILL, and note when they were dead."""
        dying = [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]
        for process in dying:
            process.kill()
        _, left = psutil.wait_procs(dying, timeout=10)
        assert not [each for each in left if each.status() != psutil.STATUS_ZOMBIE]
        self.deeds.died_at |= dict.fromkeys(pids, time.monotonic())

    def kill_host(self, host: Host) -> None:
        """Its supervisor first, so that nothing is done about the others."""
        pids = host.process.pids()
        self.kill(host.process.pid)
        host.process.wait()
        self.kill(*(pids - {host.process.pid}))

    @asynccontextmanager
    async def apart(self, host: Host) -> AsyncIterator[None]:
        """It may lose its membership meanwhile."""
        since = time.monotonic()
        try:
            yield
        finally:
            self.deeds.apart.setdefault(host.name, []).append((since, time.monotonic()))

    async def stand_still(self, host: Host, time_s: float) -> None:
        """All its processes, by SIGSTOP."""
        async with self.apart(host):
            pids = host.process.pids()
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
            try:
                await asyncio.sleep(time_s)
            finally:
                for pid in pids:
                    os.kill(pid, signal.SIGCONT)

    async def ask_jetstream(self, *questions: str) -> None:
        """Of the API, one after the other."""
        client = await nats.connect(self.nats.urls, max_reconnect_attempts=-1, reconnect_time_wait=0.1)
        try:
            for question in questions:
                answer = await client.request(f"$JS.API.{question}", b"", timeout=5)
                assert b'"error"' not in answer.data, answer.data
        finally:
            await client.close()

    async def is_ready(self, host: Host) -> bool:
        """As its health check says."""
        url = urlsplit(host.process.url)

        def ask() -> bool:
            try:
                with urlopen(f"http://{url.netloc}/healthz", timeout=5) as answer:
                    return bool(answer.status == 200)
            except HTTPError as error:
                error.close()
                return False

        return await asyncio.to_thread(ask)

    async def until_ready(self, host: Host, ready: bool, within_s: float) -> None:
        """AssertionError when it is not so in time."""
        deadline = time.monotonic() + within_s
        while await self.is_ready(host) != ready:
            assert time.monotonic() < deadline, f"{host.name} is{' not' * ready} ready after {within_s:g} s"
            await asyncio.sleep(0.1)

    async def losses(self, host: Host) -> int:
        """That its gateways have counted."""
        async with AsyncControl(host.process.control, timeout=10) as control:
            (counter,) = [each for each in await control.metrics() if each.name == "wspulse_cluster_losses_total"]
            return int(counter.samples[0].value or 0)


@asynccontextmanager
async def staged(
    folder: Path, *, servers: int, hosts: int, workers: int, is_proxied: bool, options: Sequence[str] = ()
) -> AsyncIterator[Stage]:
    """Hosts that are ready, without clients."""
    (folder / "nats").mkdir()
    (folder / "app.py").write_bytes(APP.read_bytes())
    async with AsyncExitStack() as stack:
        # Paths of sockets must be short; and a host that is killed leaves some.
        runtime = stack.enter_context(TemporaryDirectory(prefix="wspulse-run-"))
        running = stack.enter_context(nats_servers(folder / "nats", servers))
        started = []
        for number in range(hosts):
            name, url, proxy = f"host-{number}", running.url, None
            if is_proxied:
                proxy = await stack.enter_async_context(GatedProxy("127.0.0.1", urlsplit(url).port or 0))
                url = f"nats://127.0.0.1:{proxy.port}"
            cluster = ("--cluster", url, "--cluster-replicas", str(servers), "--host-id", name)
            process = start_process(
                *("--port", "0", "--workers", str(workers), "--app", "app:server"),
                *(*OPTIONS, *cluster, *options),
                env={
                    "CROWD_HOST": name,
                    "XDG_RUNTIME_DIR": runtime,
                    "PYTHONPATH": os.pathsep.join(sys.path),
                },
                cwd=folder,
            )
            started.append(Host(name, await _entered(stack, process), proxy))
        for host in started:
            await asyncio.to_thread(host.process.await_ready)
        yield Stage(folder, running, started)


async def _entered(stack: AsyncExitStack, context: Any) -> Any:
    """Begin it, and have it end in a thread: what a proxy carries for it goes on meanwhile."""
    entered = context.__enter__()
    stack.push_async_callback(asyncio.to_thread, context.__exit__, None, None, None)
    return entered


def _is_answered(member: Member, since: float) -> bool:
    return member.stay is not None and member.answered_at > since


def _read(path: Path) -> list[list[Any]]:
    # One that was killed may have ended in the middle of a line.
    return [json.loads(line) for line in path.read_text().splitlines() if line.endswith("]")]
