"""`soak`: the server, its crowd, the probes and the samples, put together."""

from __future__ import annotations

import asyncio
import statistics
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tests.support.http.authority import Authority
from tests.support.processes.server_process import ServerProcess, serve_process
from tests.support.soak.crowd import Door, crowd_process
from tests.support.soak.probes import probes_process
from tests.support.soak.samples import Sample, processes
from tests.support.soak.verdict import Finding, verdict
from wspulse import AsyncControl

__all__ = ["Outcome", "Plan", "soak"]

APP = Path(__file__).with_name("app.py")

PROBES = 20

WORKERS = 2


@dataclass(frozen=True)
class Plan:
    duration_s: float = 1800.0
    clients: int = 300
    sample_every_s: float = 10.0
    reload_every_s: float = 180.0
    seed: int = 1


@dataclass
class Outcome:
    plan: Plan
    kinds: list[dict[str, Any]]
    """What the ledgers say, by kind."""
    samples: list[Sample]
    findings: list[Finding]
    reloads: int
    moved: int
    """Sessions, in all reloads."""
    longest_pause_s: float

    @property
    def held(self) -> bool:
        return all(finding.held for finding in self.findings)

    def as_record(self) -> dict[str, Any]:
        return {
            **{name: getattr(self, name) for name in ("kinds", "reloads", "moved", "longest_pause_s", "held")},
            "plan": asdict(self.plan),
            "findings": [finding._asdict() for finding in self.findings],
            "samples": [sample.as_record() for sample in self.samples],
        }


async def soak(folder: Path, plan: Plan, tell: Callable[[str], None] = lambda line: None) -> Outcome:
    """In an empty folder. `tell` gets a line for each sample."""
    (folder / "app.py").write_text(APP.read_text())
    (folder / "run").mkdir(mode=0o700)
    authority = Authority()
    certificate, key = authority.certificate(folder)
    options = [
        "--app",
        "app:server",
        "--host",
        "127.0.0.1",
        "--unix-socket",
        str(folder / "s"),
        "--admin",
        "127.0.0.1:0",
    ]
    options += ["--tls-cert", str(certificate), "--tls-key", str(key)]
    with serve_process(*options, workers=WORKERS, cwd=folder, env={"XDG_RUNTIME_DIR": str(folder / "run")}) as server:
        door = Door(str(folder / "s"), server.port, str(authority.file(folder)))
        with (
            _process(crowd_process, door, plan.clients, plan.seed) as crowd,
            _process(probes_process, door, PROBES) as probes,
        ):
            await _told(crowd)
            await _told(probes)
            return await _Soak(server, plan, crowd, probes, tell).run()


class _Soak:
    def __init__(
        self, server: ServerProcess, plan: Plan, crowd: Connection, probes: Connection, tell: Callable[[str], None]
    ) -> None:
        self._server = server
        self._plan = plan
        self._crowd = crowd
        self._probes = probes
        self._tell = tell
        self._is_reloading = False
        self._reloads = self._moved = self._drained = 0
        self._longest_pause_s = 0.0
        self._samples: list[Sample] = []
        log = server.stderr()
        self._metrics_url = log.partition("the admin address is open (url=")[2].partition(")")[0] + "metrics"

    async def run(self) -> Outcome:
        began = time.monotonic()
        reloading = asyncio.create_task(self._reload())
        try:
            await _ask(self._probes)
            number = 0
            while (at_s := time.monotonic() - began) < self._plan.duration_s:
                number += 1
                await asyncio.sleep(number * self._plan.sample_every_s - at_s)
                self._samples.append(await self._sample(time.monotonic() - began))
                if reloading.done():
                    reloading.result()
        finally:
            reloading.cancel()
        while self._is_reloading:  # noqa: ASYNC110 (of another task, which has no event)
            await asyncio.sleep(0.1)
        self._crowd.send("finish")
        kinds = await _told(self._crowd)
        last = await self._sample(time.monotonic() - began, kinds)
        return Outcome(
            self._plan,
            kinds,
            self._samples,
            verdict(self._samples, last.counts),
            self._reloads,
            self._moved,
            round(self._longest_pause_s, 3),
        )

    async def _reload(self) -> None:
        """Time and again, but not in the last sixth, so that what a reload leaves behind is seen too."""
        for _ in range(int(self._plan.duration_s * 5 / 6 / self._plan.reload_every_s)):
            await asyncio.sleep(self._plan.reload_every_s)
            self._is_reloading = True
            try:
                async with AsyncControl(self._server.control, timeout=60) as control:
                    moved = await asyncio.shield(asyncio.ensure_future(control.reload()))
            finally:
                self._is_reloading = False
            self._reloads += 1
            self._moved += sum(each.moved for each in moved)
            self._drained += sum(each.drained + each.lost for each in moved)
            self._longest_pause_s = max(self._longest_pause_s, *(each.longest_pause_s for each in moved))

    async def _sample(self, at_s: float, kinds: list[dict[str, Any]] | None = None) -> Sample:
        was_reloading = self._is_reloading
        seen = processes(await asyncio.to_thread(self._server.pids))
        waits_s, ended = await _ask(self._probes)
        kinds = kinds if kinds is not None else await _ask(self._crowd)
        async with AsyncControl(self._server.control, timeout=20) as control:
            stats = await control.stats()
        await asyncio.to_thread(self._scrape)
        cuts = statistics.quantiles(waits_s, n=100) if len(waits_s) > 1 else [0.0] * 99
        counts = {
            "frames lost": _sum(kinds, "lost"),
            "frames doubled or out of order": _sum(kinds, "doubled"),
            "sessions lost": _sum(kinds, "sessions_lost"),
            "sockets closed by the server": _sum(kinds, "closed") + ended,
            "upgrades refused": _sum(kinds, "refused"),
            "sessions that did not move in a reload": self._drained,
            "messages of the bus missing": stats.totals.bus_gaps,
            "workers restarted": stats.totals.restarts,
        }
        sample = Sample(
            round(at_s, 1),
            seen,
            round(1000 * cuts[49], 3),
            round(1000 * cuts[98], 3),
            round(1000 * max(each.loop_lag_worst_s for each in stats.workers), 3),
            was_reloading or self._is_reloading,
            counts,
        )
        self._tell(
            f"{sample.at_s:6.0f} s  {sum(each.rss_mb for each in seen.values()):6.1f} MB"
            f"  {sum(each.descriptors for each in seen.values()):5} descriptors"
            f"  p50 {sample.p50_ms:6.2f} ms  p99 {sample.p99_ms:7.2f} ms  lag {sample.loop_lag_ms:6.1f} ms"
            f"  {'reloading  ' if sample.is_reloading else ''}{ {name: count for name, count in counts.items() if count} or '' }"
        )
        return sample

    def _scrape(self) -> None:
        """As Prometheus does."""
        with urllib.request.urlopen(self._metrics_url, timeout=20) as answer:
            assert b"wspulse_sessions" in answer.read()


def _sum(kinds: list[dict[str, Any]], name: str) -> int:
    return sum(kind[name] for kind in kinds)


@contextmanager
def _process(target: Callable[..., None], *arguments: Any) -> Iterator[Connection]:
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=target, args=(*arguments, theirs))
    process.start()
    theirs.close()
    try:
        yield ours
    finally:
        process.kill()
        process.join()
        process.close()
        ours.close()


async def _ask(pipe: Connection) -> Any:
    pipe.send("told")
    return await _told(pipe)


async def _told(pipe: Connection) -> Any:
    """EOFError when the process has ended."""
    return await asyncio.to_thread(pipe.recv)
