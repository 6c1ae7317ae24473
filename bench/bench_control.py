"""How many requests does the control socket carry, and what does one cost, with 100 clients and 100 requests in flight each?

    python -m bench.bench_control [--clients 100] [--in-flight 100] [--rounds 3] [--workers 4] [--kill]

Each client is a DEALER that sends its requests at once and waits for all answers. --kill ends a worker by kill -9 in the
first round: every request must still be answered within its deadline. Prints requests per second, the longest wait, and
the CPU time of supervisor and workers per request.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import time
from collections import Counter

import psutil
from websockets.asyncio.client import ClientConnection, connect

from tests.support.processes.server_process import ServerProcess, serve_process
from wspulse import AsyncControl, ControlError

CONNECTIONS = 50


async def run(server: ServerProcess, options: argparse.Namespace) -> None:
    sessions: list[ClientConnection] = [
        await connect(f"{server.url}?id=user-{number}", max_queue=None) for number in range(CONNECTIONS)
    ]
    controls = [AsyncControl(server.control, timeout=10) for _ in range(options.clients)]
    await asyncio.gather(*(control.ping() for control in controls))
    for op in ("ping", "send", "kick", "rooms"):
        outcomes: Counter[str] = Counter()
        longest = 0.0

        async def one(control: AsyncControl, number: int, op: str = op, outcomes: Counter[str] = outcomes) -> float:
            begin = time.perf_counter()
            try:
                match op:
                    case "ping":
                        await control.ping()
                    case "send":
                        await control.send(f"user-{number % CONNECTIONS}", {"event": "n", "payload": number})
                    case "kick":
                        await control.kick(f"nobody-{number}")
                    case _:
                        await control.rooms()
                outcomes["done"] += 1
            except ControlError as error:
                outcomes[error.error_code] += 1
            return time.perf_counter() - begin

        before, begin = cpu_s(server), time.perf_counter()
        for round_number in range(options.rounds):
            asks = [one(control, number) for control in controls for number in range(options.in_flight)]
            gathered = asyncio.gather(*asks)
            if options.kill and op == "send" and round_number == 0:
                await asyncio.sleep(0.05)
                os.kill(server.worker_pids()[1], signal.SIGKILL)
            longest = max(longest, *(await gathered))
        took = time.perf_counter() - begin
        count = options.clients * options.in_flight * options.rounds
        assert sum(outcomes.values()) == count
        supervisor, workers = (after - was for after, was in zip(cpu_s(server), before, strict=True))
        print(
            f"{op:6} {count / took:8.0f} requests/s   longest {longest:.2f} s   CPU per request: supervisor "
            f"{supervisor / count * 1e6:.0f} µs, workers {workers / count * 1e6:.0f} µs   {dict(outcomes)}",
            flush=True,
        )
    for control in controls:
        control.close()
    for session in sessions:
        await session.close()


def cpu_s(server: ServerProcess) -> tuple[float, float]:
    """CPU seconds of the supervisor, and of its workers together."""

    def used(pid: int) -> float:
        times = psutil.Process(pid).cpu_times()
        return float(times.user + times.system)

    return used(server.pid), sum(used(pid) for pid in server.worker_pids().values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--in-flight", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--kill", action="store_true")
    options = parser.parse_args()
    with serve_process("--app", "relay", workers=options.workers) as server:
        asyncio.run(run(server, options))


if __name__ == "__main__":
    main()
