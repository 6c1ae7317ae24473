"""Thousands of clients whose server dies or is restarted, and when they come back: spread out, or all at once.

They are bare sockets, since as many lines would be busy for seconds dialling, and be spread by that; when each dials again,
the client's own code decides. A client is due when it was to dial, which a busy machine has it do later, and for many at once;
has come when its connection is made; and is let in when a worker asks the application: whoever comes while workers start waits
for that in the kernel. The workers also say what an upgrade costs then, and what it costs where clients come 64 at a time. See
`scripts/returning-crowd`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.support.processes.server_process import ServerProcess, serve_process
from tests.support.wire.raw_peer import RawPeer, head
from wspulse import AsyncControl
from wspulse.actors.client.delays import Delays, Retry
from wspulse.actors.client.ending import LOST, End, comes_back, told_delay_s

__all__ = ["BUCKET_S", "STRIKES", "Outcome", "histogram", "returning_crowd"]

APP = Path(__file__).with_name("returning_app.py")

STRIKES = ("killed", "restarted", "drained")

BUCKET_S = 0.1
"""One line of the histogram."""

_AT_A_TIME = 64
_BACK_S = 90.0
_WIDEST = 60


@dataclass
class Outcome:
    due_s: list[float]
    """When each was to dial the time that it was let in, after the strike."""
    come_s: list[float]
    let_in_s: list[float]
    down_s: float
    """How long it took until the server was ready again."""
    tries: int
    upgrade_us: float
    """Of the workers' processor time, for each of these."""
    plain_upgrade_us: float
    """The same where they first came."""

    @property
    def largest_share(self) -> float:
        """Of all, those that were due in the fullest bucket."""
        return max(_buckets(self.due_s).values()) / len(self.due_s)


class Visitor:
    """A client of an exact session that comes back as a line of `wspulse.client` does."""

    def __init__(self, port: int, name: str, random: Random, gate: asyncio.Semaphore) -> None:
        self._port = port
        self._name = name
        self._delays = Delays(Retry(), random.random)
        self._gate = gate
        self._token = ""
        self.tries = 0
        self.is_there = False
        self.due_at = self.came_at = 0.0

    async def stay(self) -> None:
        """Be there for ever, over as many connections as that takes."""
        async with self._gate:
            peer = await self._dial(0.0)
        while True:
            end = await self._stay(peer) if peer is not None else End(LOST)
            assert comes_back(end, has_stray=False), end
            wait_s = self._delays.next_s(told_delay_s(end.reason))
            assert wait_s is not None
            due_at = time.monotonic() + wait_s
            await asyncio.sleep(wait_s)
            peer = await self._dial(due_at)

    async def _dial(self, due_at: float) -> RawPeer | None:
        self.tries += 1
        claim = f", wspulse.resume.{self._token}.0" if self._token else ""
        try:
            peer = await RawPeer.dial(self._port)
            came_at = time.monotonic()
            peer.writer.write(head(f"/ws?id={self._name}", f"Sec-WebSocket-Protocol: wspulse.1{claim}"))
            if not (await peer.head()).startswith(b"HTTP/1.1 101 "):
                peer.writer.transport.abort()
                return None
            _, payload = await peer.frame()
        except (OSError, EOFError):
            return None
        self._token = json.loads(payload)["payload"]["token"]
        self.is_there, self.due_at, self.came_at = True, due_at, came_at
        return peer

    async def _stay(self, peer: RawPeer) -> End:
        since = time.monotonic()
        try:
            # Nothing comes but the end: the next ping is a minute away.
            await peer.reader.readexactly(1)
            size = (await peer.reader.readexactly(1))[0]
            payload = await peer.reader.readexactly(size)
            return End(int.from_bytes(payload[:2]), payload[2:].decode())
        except (OSError, EOFError):
            return End(LOST)
        finally:
            self.is_there = False
            peer.writer.transport.abort()
            self._delays.was_up(time.monotonic() - since)


async def returning_crowd(
    folder: Path, *, clients: int, workers: int, strike: str, steady_s: float = 6.0, seed: int = 1
) -> Outcome:
    """`clients` come, stay for `steady_s` (from 5 s on a line begins its delays anew), and come back after the strike."""
    draw = Random(seed)
    shutil.copy(APP, folder / "app.py")
    options = ("--app", "app:server", "--shutdown-timeout", "20")
    async with AsyncExitStack() as stack:
        server = await asyncio.to_thread(stack.enter_context, serve_process(*options, workers=workers, cwd=folder))
        gate = asyncio.Semaphore(_AT_A_TIME)
        visitors = [Visitor(server.port, f"visitor-{number}", Random(draw.random()), gate) for number in range(clients)]
        tasks = [asyncio.create_task(visitor.stay()) for visitor in visitors]
        stack.push_async_callback(_cancel, tasks)
        await _all_there(visitors, tasks)
        plain = _arrivals(folder, 0.0)
        await asyncio.sleep(steady_s)
        tries = sum(visitor.tries for visitor in visitors)
        struck = time.monotonic()
        if strike == "drained":
            async with AsyncControl(server.control, timeout=120) as control:
                await control.reload(drain=True)
            up = time.monotonic()
        else:
            await _end(server, strike)
            again = serve_process(*options, "--port", str(server.port), workers=workers, cwd=folder)
            await asyncio.to_thread(stack.enter_context, again)
            up = time.monotonic()
        await _all_there(visitors, tasks)
        returns = _arrivals(folder, struck)
        return Outcome(
            due_s=sorted(visitor.due_at - struck for visitor in visitors),
            come_s=sorted(visitor.came_at - struck for visitor in visitors),
            let_in_s=sorted(at - struck for worker in returns for at, _ in worker),
            down_s=up - struck,
            tries=sum(visitor.tries for visitor in visitors) - tries,
            upgrade_us=_upgrade_us(returns),
            plain_upgrade_us=_upgrade_us(plain),
        )


async def _all_there(visitors: list[Visitor], tasks: list[asyncio.Task[None]]) -> None:
    """Raises TimeoutError, and what a visitor has raised."""
    async with asyncio.timeout(_BACK_S):
        while not all(visitor.is_there for visitor in visitors):
            await asyncio.sleep(0.05)
            for task in tasks:
                if task.done():
                    task.result()


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _end(server: ServerProcess, strike: str) -> None:
    if strike == "killed":
        for pid in server.pids():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    else:
        server.terminate()
    await asyncio.to_thread(server.wait, 30)


def _arrivals(folder: Path, after: float) -> list[list[tuple[float, float]]]:
    """For each worker, when clients arrived, and the processor time that it had taken by then."""
    workers = []
    for path in folder.glob("arrivals-*"):
        rows = [(float(at), float(taken)) for at, taken in map(str.split, path.read_text().splitlines())]
        workers.append([row for row in rows if row[0] > after])
    return [worker for worker in workers if worker]


def _upgrade_us(workers: list[list[tuple[float, float]]]) -> float:
    taken_s = sum(worker[-1][1] - worker[0][1] for worker in workers)
    return 1e6 * taken_s / max(1, sum(len(worker) - 1 for worker in workers))


def _buckets(arrivals_s: list[float]) -> Counter[int]:
    return Counter(int(at / BUCKET_S) for at in arrivals_s)


def histogram(outcome: Outcome) -> str:
    """One line for each tenth of a second: how many were due, have come, were let in; none for those in which nobody was."""
    due, come, let_in = map(_buckets, (outcome.due_s, outcome.come_s, outcome.let_in_s))
    most = max(due.values())
    rows = [
        f"{bucket * BUCKET_S:6.1f} {due[bucket]:5d} {come[bucket]:5d} {let_in[bucket]:6d}  "
        + "#" * round(due[bucket] * _WIDEST / most)
        for bucket in sorted(due | come | let_in)
    ]
    return "\n".join([" after   due  come let in", *map(str.rstrip, rows)])


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/returning-crowd", description=__doc__.partition("\n")[0])
    parser.add_argument("strikes", nargs="*", metavar="STRIKE", default=STRIKES, help=f"of {', '.join(STRIKES)}")
    parser.add_argument("--clients", type=int, default=2000, help="(default: %(default)s)")
    parser.add_argument("--workers", type=int, default=4, help="of the server (default: %(default)s)")
    parser.add_argument("--share", type=float, default=0.25, help="of all, most in 0.1 s (default: %(default)s)")
    options = parser.parse_args()
    if unknown := set(options.strikes) - set(STRIKES):
        parser.error(f"no strikes: {', '.join(sorted(unknown))}")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 16384)), hard))
    code = 0
    for strike in options.strikes:
        with tempfile.TemporaryDirectory(prefix="wspulse-returning-") as folder:
            outcome = asyncio.run(
                returning_crowd(Path(folder), clients=options.clients, workers=options.workers, strike=strike)
            )
        print(
            f"{options.clients:,} clients, {options.workers} workers, {strike}; ready again after {outcome.down_s:.1f} s"
        )
        print(histogram(outcome))
        print(f"{outcome.tries:,} tries; at most {100 * outcome.largest_share:.1f} % were due in {BUCKET_S:g} s")
        print(
            f"an upgrade took {outcome.upgrade_us:.0f} µs of a worker; 64 at a time {outcome.plain_upgrade_us:.0f} µs\n"
        )
        code |= outcome.largest_share > options.share
    return code


if __name__ == "__main__":
    sys.exit(main())
