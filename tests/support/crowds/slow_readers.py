"""Slow readers beside healthy ones, for minutes, at a server's default options (`scripts/slow-readers`).

A room talks all the time; half its members read as fast as it talks, the other half at half that rate. What it shows: who was cut
off, how late the healthy ones got their frames before the slow ones came and with them, and what memory the server took.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from dataclasses import dataclass, field

import psutil
from websockets.asyncio.client import connect

from tests.support.processes.server_process import ServerProcess, serve_process
from tests.support.wire.raw_peer import RawPeer, masked

__all__ = ["Outcome", "slow_readers"]

FRAME_BYTES = 16_000


@dataclass
class Outcome:
    """What was seen; delays in seconds, of the healthy members."""

    cut: dict[str, int] = field(default_factory=dict)
    pings: dict[str, int] = field(default_factory=dict)
    alone_s: list[float] = field(default_factory=list)
    beside_s: list[float] = field(default_factory=list)
    rss_bytes: list[int] = field(default_factory=list)


class Reader:
    """One member, on a bare socket: it reads at a given rate and answers every ping."""

    def __init__(self, kind: str, peer: RawPeer, bytes_per_s: float | None, outcome: Outcome) -> None:
        self.kind = kind
        self.delays_s = outcome.alone_s
        self._peer = peer
        self._bytes_per_s = bytes_per_s
        self._outcome = outcome

    async def run(self) -> None:
        began, taken = time.monotonic(), 0
        while True:
            if self._bytes_per_s is not None:
                ahead_s = taken / self._bytes_per_s - (time.monotonic() - began)
                if ahead_s > 0:
                    await asyncio.sleep(ahead_s)
            try:
                opcode, payload = await self._frame()
            except (asyncio.IncompleteReadError, OSError):
                opcode, payload = 8, b""
            taken += len(payload)
            if opcode == 9:
                self._outcome.pings[self.kind] = self._outcome.pings.get(self.kind, 0) + 1
                self._peer.writer.write(masked(10, payload))
            elif opcode == 8:
                self._outcome.cut[self.kind] = self._outcome.cut.get(self.kind, 0) + 1
                return
            elif self._bytes_per_s is None:
                self.delays_s.append(time.monotonic() - float(payload.partition(b'"at":"')[2].partition(b'"')[0]))

    def close(self) -> None:
        """Cut the socket."""
        self._peer.writer.transport.abort()

    async def _frame(self) -> tuple[int, bytes]:
        # As RawPeer.frame, which gives up after a while.
        reader = self._peer.reader
        first, second = await reader.readexactly(2)
        size = second & 0x7F
        if size == 126:
            size = int.from_bytes(await reader.readexactly(2))
        elif size == 127:
            size = int.from_bytes(await reader.readexactly(8))
        return first & 0x0F, await reader.readexactly(size)


async def slow_readers(
    server: ServerProcess, *, count: int, frames_per_s: float, alone_s: float, beside_s: float
) -> Outcome:
    """`count` healthy members of the room for `alone_s`, then as many slow ones beside them for `beside_s`."""
    outcome = Outcome()
    bytes_per_s = frames_per_s * FRAME_BYTES
    readers = [await _reader("healthy", server, None, outcome) for _ in range(count)]
    tasks = [asyncio.create_task(each.run()) for each in readers]
    talking = asyncio.create_task(_talk(server, frames_per_s))
    try:
        await asyncio.sleep(alone_s)
        for each in readers:
            each.delays_s = outcome.beside_s
        slow = [await _reader("slow", server, bytes_per_s / 2, outcome) for _ in range(count)]
        readers += slow
        tasks += [asyncio.create_task(each.run()) for each in slow]
        end = time.monotonic() + beside_s
        while time.monotonic() < end:
            await asyncio.sleep(min(1.0, beside_s / 10))
            outcome.rss_bytes.append(sum(psutil.Process(pid).memory_info().rss for pid in server.pids()))
    finally:
        for task in (talking, *tasks):
            task.cancel()
        await asyncio.wait([talking, *tasks])
        for each in readers:
            each.close()
    if talking.done() and not talking.cancelled() and (error := talking.exception()) is not None:
        raise error
    return outcome


async def _reader(kind: str, server: ServerProcess, bytes_per_s: float | None, outcome: Outcome) -> Reader:
    peer = await RawPeer.upgraded(server.port, "/ws?room=crowd", None if bytes_per_s is None else 65536)
    return Reader(kind, peer, bytes_per_s, outcome)


async def _talk(server: ServerProcess, frames_per_s: float) -> None:
    filling = "x" * (FRAME_BYTES - 60)
    async with connect(f"{server.url}?room=crowd&id=talker", proxy=None, max_size=None) as talker:

        async def listen() -> None:
            async for _ in talker:
                pass

        listening = asyncio.create_task(listen())
        try:
            began, sent = time.monotonic(), 0
            while True:
                await talker.send(
                    json.dumps({"payload": {"at": f"{time.monotonic()}", "filling": filling}}, separators=(",", ":"))
                )
                sent += 1
                await asyncio.sleep(max(0.0, sent / frames_per_s - (time.monotonic() - began)))
        finally:
            listening.cancel()
            await asyncio.wait([listening])


def _delays(delays_s: list[float]) -> str:
    ordered = sorted(delays_s)
    return (
        f"p50 {1000 * statistics.median(ordered):.1f} ms, p99 {1000 * ordered[int(0.99 * len(ordered))]:.1f} ms, "
        f"longest {1000 * ordered[-1]:.0f} ms of {len(ordered):,} frames"
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/slow-readers", description=__doc__.partition("\n")[0])
    parser.add_argument("--workers", type=int, default=2, help="of the server (default: %(default)s)")
    parser.add_argument("--count", type=int, default=200, help="of each kind (default: %(default)s)")
    parser.add_argument("--frames", type=float, default=8, help="a second, of 16 KB each (default: %(default)s)")
    parser.add_argument(
        "--alone", type=float, default=20, help="seconds before the slow ones come (default: %(default)s)"
    )
    parser.add_argument("--seconds", type=float, default=180, help="with the slow ones (default: %(default)s)")
    options = parser.parse_args()
    with serve_process("--app", "relay", "--max-message-size", "65536", workers=options.workers) as server:
        outcome = asyncio.run(
            slow_readers(
                server,
                count=options.count,
                frames_per_s=options.frames,
                alone_s=options.alone,
                beside_s=options.seconds,
            )
        )
    print(f"cut off: {outcome.cut or 'nobody'}; pings answered: {outcome.pings}")
    print(f"delay of the healthy ones, alone:  {_delays(outcome.alone_s)}")
    print(f"delay of the healthy ones, beside: {_delays(outcome.beside_s)}")
    quarter = max(1, len(outcome.rss_bytes) // 4)
    first, last = (
        statistics.median(part) / 2**20 for part in (outcome.rss_bytes[:quarter], outcome.rss_bytes[-quarter:])
    )
    print(f"memory of all processes: {first:.0f} MB in the first quarter, {last:.0f} MB in the last")
    return 1 if outcome.cut else 0


if __name__ == "__main__":
    sys.exit(main())
