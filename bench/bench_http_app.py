"""What does carrying an HTTP application cost? 32 keep-alive connections, one process, against uvicorn by itself with the
same protocol class, loop and application; and the WebSocket's latency while 4 workers answer HTTP as fast as they can."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import psutil
import uvloop
from websockets.asyncio.client import connect

from bench.support.native import ROOT
from bench.support.rounds import Case, arguments, measure_cases
from bench.support.subjects import Running, Subject, wspulse
from tests.support.processes.server_process import serve_uvicorn

SECONDS = 3.0
CONNECTIONS = 32
ECHOES = 2000

_QUIET = ("--log-level", "warning")


def uvicorn() -> Subject:
    @contextmanager
    def start() -> Iterator[Running]:
        options = ("--http", "httptools", "--loop", "uvloop", "--no-access-log")
        with serve_uvicorn("bench.http_apps:app", *options, cwd=ROOT) as server:
            yield Running(server.port, tuple(sorted(server.pids())))

    return start


@contextmanager
def http_load(port: int, seconds: float, connections: int) -> Iterator[Callable[[], dict[str, Any]]]:
    """Load in a process of its own; what is yielded waits for its end and gives its line."""
    command = [sys.executable, "-m", "bench.support.http_load", str(port), str(seconds), str(connections)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:

        def result() -> dict[str, Any]:
            out, _ = process.communicate(timeout=seconds + 30)
            if process.returncode:
                raise SystemExit(f"{' '.join(command)} failed")
            line: dict[str, Any] = json.loads(out)
            return line

        yield result


def requests(running: Running) -> dict[str, Any]:
    before = _busy_s(running)
    with http_load(running.port, SECONDS, CONNECTIONS) as result:
        line = result()
    # Of the processor, since one process of a server can use one core: what a busy neighbour takes is not ours to count.
    busy_s = _busy_s(running) - before
    return {"figure": busy_s * 1e6 / line["requests"], "per_second": line["per_second"]}


def latency(running: Running) -> dict[str, Any]:
    """p99 of an echo, in µs, of 4 connections in turns, alone and beside HTTP load."""
    alone = uvloop.run(_echoes(running.port))
    with http_load(running.port, SECONDS, CONNECTIONS) as result:
        loaded = uvloop.run(_echoes(running.port))
        line = result()
    return {"figure": loaded, "alone_us": alone, "http_per_second": line["per_second"]}


async def _echoes(port: int) -> float:
    sockets = [await connect(f"ws://127.0.0.1:{port}/ws", compression=None) for _ in range(4)]
    took = []
    await asyncio.sleep(0.5)
    for number in range(ECHOES):
        socket = sockets[number % 4]
        begin = perf_counter()
        await socket.send('{"event":"echo","payload":"0123456789"}')
        await socket.recv()
        took.append(perf_counter() - begin)
    for socket in sockets:
        await socket.close()
    return sorted(took)[ECHOES * 99 // 100] * 1e6


def _busy_s(running: Running) -> float:
    times = [psutil.Process(pid).cpu_times() for pid in running.pids]
    return float(sum(time.user + time.system for time in times))


def main() -> None:
    chosen = arguments(__doc__)
    carried = ("--http-app", "bench.http_apps:app", *_QUIET)
    cases = [
        Case("uvicorn", uvicorn(), requests),
        Case("http_app", wspulse("bench.http_apps:server", *carried), requests, "uvicorn", 1.1, 1.0),
    ]
    measure_cases("http_app", __doc__ or "", "CPU µs/request", cases, chosen)
    beside = [Case("p99 of an echo beside HTTP", wspulse("bench.http_apps:server", *_QUIET, workers=4), latency)]
    measure_cases("http_app_latency", __doc__ or "", "µs", beside, chosen)


if __name__ == "__main__":
    main()
