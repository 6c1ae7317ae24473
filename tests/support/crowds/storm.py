"""A reconnect storm: thousands of clients lose their connections in one instant and dial again in the next, as when a proxy
before the server dies. Beside them some stay and ask, from a process of their own, whose answers tell what the storm costs
others.

They dial without any delay, which no client should: it is the worst that can come. Who is refused, or reset, tries again after a
tenth of a second. See `scripts/storm`.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection

import uvloop

from tests.support.processes.server_process import serve_process
from tests.support.wire.raw_peer import RawPeer, head, masked
from wspulse import AsyncControl
from wspulse.supervisor.host.descriptor_limit import raise_descriptor_limit

__all__ = ["Outcome", "storm", "table"]

_ASK_EVERY_S = 0.1
_AGAIN_S = 0.1
_BEFORE_S = 3.0
_BACK_S = 120.0


@dataclass
class Outcome:
    clients: int
    back_s: list[float]
    """When each was back, after all were cut off."""
    tries: int
    limited: dict[str, int]
    """What limits the server has had to apply."""
    asked_before_s: list[float] = field(default_factory=list)
    """How long those who stayed waited for their answers, before the storm."""
    asked_during_s: list[float] = field(default_factory=list)
    lost: int = 0
    """Of those who stayed."""


class _Visitor:
    """One of the storm."""

    def __init__(self, port: int, name: str) -> None:
        self._port = port
        self._name = name
        self._peer: RawPeer | None = None
        self.tries = 0
        self.back_at = 0.0

    async def come(self) -> None:
        """However long it takes."""
        while True:
            self.tries += 1
            peer: RawPeer | None = None
            with suppress(OSError, EOFError, TimeoutError):
                peer = await RawPeer.dial(self._port)
                peer.writer.write(head(f"/ws?id={self._name}"))
                if (await peer.head()).startswith(b"HTTP/1.1 101 "):
                    self._peer, self.back_at = peer, time.monotonic()
                    return
            if peer is not None:
                peer.writer.transport.abort()
            await asyncio.sleep(_AGAIN_S)

    def cut(self) -> None:
        if self._peer is not None:
            self._peer.writer.transport.abort()


async def storm(
    clients: int, *, stay: int, workers: int, options: tuple[str, ...] = (), before_s: float = _BEFORE_S
) -> Outcome:
    """`options` are the server's. Raises TimeoutError when not all are back in time."""
    asked = ("--app", "echo", "--resume-window", "60", "--ping-period", "120", "--pong-wait", "300", *options)
    with serve_process(*asked, workers=workers) as server:
        ours, theirs = get_context("spawn").Pipe()
        staying = get_context("spawn").Process(target=_stay, args=(server.port, stay, theirs))
        staying.start()
        try:
            await _told(ours)
            visitors = [_Visitor(server.port, f"visitor-{number}") for number in range(clients)]
            await _all(visitors)
            tries = sum(visitor.tries for visitor in visitors)
            ours.send("begin")
            await asyncio.sleep(before_s)
            ours.send("told")
            before = await _told(ours)
            began = time.monotonic()
            for visitor in visitors:
                visitor.cut()
            await _all(visitors)
            ours.send("told")
            during = await _told(ours)
            ours.send("end")
            lost = await _told(ours)
            assert isinstance(before, list)
            assert isinstance(during, list)
            assert isinstance(lost, int)
            async with AsyncControl(server.control, timeout=30) as control:
                totals = (await control.stats()).totals
            names = (name for name in totals.__struct_fields__ if name.startswith("limited_"))
            return Outcome(
                clients,
                sorted(visitor.back_at - began for visitor in visitors),
                sum(visitor.tries for visitor in visitors) - tries,
                {name: count for name in names if (count := getattr(totals, name))},
                before,
                during,
                lost,
            )
        finally:
            for visitor in visitors:
                visitor.cut()
            await asyncio.sleep(0)
            staying.kill()
            staying.join()
            ours.close()
            theirs.close()


async def _all(visitors: list[_Visitor]) -> None:
    async with asyncio.timeout(_BACK_S):
        await asyncio.gather(*(visitor.come() for visitor in visitors))


async def _told(pipe: Connection) -> object:
    return await asyncio.to_thread(pipe.recv)


# Those who stay, in their process.


def _stay(port: int, count: int, pipe: Connection) -> None:
    raise_descriptor_limit()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_stay_and_ask(port, count, pipe))


async def _stay_and_ask(port: int, count: int, pipe: Connection) -> None:
    peers = [await RawPeer.upgraded(port, f"/ws?id=staying-{number}") for number in range(count)]
    waited_s: list[float] = []
    lost = 0

    async def ask(peer: RawPeer, offset_s: float) -> None:
        nonlocal lost
        await asyncio.sleep(offset_s)
        try:
            while True:
                asked = time.monotonic()
                peer.writer.write(masked(1, b'{"event":"x"}'))
                await peer.frame()
                waited_s.append(time.monotonic() - asked)
                await asyncio.sleep(_ASK_EVERY_S)
        except (OSError, EOFError, TimeoutError):
            lost += 1

    tasks = [asyncio.create_task(ask(peer, _ASK_EVERY_S * n / count)) for n, peer in enumerate(peers)]
    pipe.send("all are there")
    while (order := await asyncio.to_thread(pipe.recv)) != "end":
        if order == "told":
            pipe.send(list(waited_s))
        waited_s.clear()
    pipe.send(lost)
    for task in tasks:
        task.cancel()


# The figures.


def table(outcome: Outcome) -> str:
    back = outcome.back_s
    lines = [
        f"{outcome.clients:,} clients were cut off and dialled again at once, {outcome.tries:,} times in all",
        f"  half were back after {back[len(back) // 2]:.2f} s, all but 1 % after {back[int(len(back) * 0.99)]:.2f} s",
        f"  all were back after {back[-1]:.2f} s: {len(back) / back[-1]:,.0f}/s",
        f"  limits that were met: {outcome.limited or 'none'}",
        f"those who stayed ({outcome.lost} of them were lost), from asking to the answer, in ms:",
        f"  {'':8} {'answers':>8} {'p50':>8} {'p90':>8} {'p99':>8} {'most':>8}",
    ]
    for name, waited_s in (("before", outcome.asked_before_s), ("during", outcome.asked_during_s)):
        cuts = [1000 * cut for cut in statistics.quantiles(waited_s, n=100)]
        figures = (cuts[49], cuts[89], cuts[98], 1000 * max(waited_s))
        lines.append(f"  {name:8} {len(waited_s):8,} " + " ".join(f"{figure:8.1f}" for figure in figures))
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/storm", description="A reconnect storm, and what it costs.")
    parser.add_argument("--clients", type=int, default=4000, help="of the storm (default: %(default)s)")
    parser.add_argument("--stay", type=int, default=100, help="who stay and ask (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="of the server (default: %(default)s)")
    parser.add_argument("options", nargs="*", help="of the server, behind --")
    chosen = parser.parse_args()
    raise_descriptor_limit()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        outcome = runner.run(
            storm(chosen.clients, stay=chosen.stay, workers=chosen.workers, options=tuple(chosen.options))
        )
    print(table(outcome))
    return 1 if outcome.lost else 0


if __name__ == "__main__":
    sys.exit(main())
