"""What does one message cost that is answered? 100 connections, one message under way on each, the server saturated."""

from __future__ import annotations

from typing import Any

from bench.support.rounds import Case, arguments, load, measure_cases
from bench.support.subjects import PEERS, Running, floor, peer, wspulse


def echo(running: Running, window: int = 1) -> dict[str, Any]:
    (line,) = load(running, "echo", "--connections", 100, "--window", window)
    return {
        "figure": line["us_per_message"],
        "load_us_per_message": line["load_us_per_message"],
        "server_busy": line["server_busy"],
        "per_second": line["per_second"],
    }


def main() -> None:
    chosen = arguments(__doc__)
    cases = [
        Case("floor", floor("echo"), echo),
        Case("wspulse, sync handler", wspulse("echo"), echo, "floor", 2.2, 1.6),
        Case("wspulse, async handler", wspulse("bench.apps:async_echo"), echo, "floor", 2.6, 1.6),
    ]
    if chosen.peers:
        cases += [Case(name, peer(name, "echo"), echo, "floor") for name in PEERS]
    measure_cases("echo", __doc__ or "", "µs/message", cases, chosen)


if __name__ == "__main__":
    main()
