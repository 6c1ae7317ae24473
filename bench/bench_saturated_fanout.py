"""What does one delivery of a broadcast cost when broadcasts come as fast as they are delivered? 1,000 members, 16 broadcasts
under way."""

from __future__ import annotations

from typing import Any

from bench.support.rounds import Case, arguments, load, measure_cases
from bench.support.subjects import PEERS, Running, floor, peer, wspulse


def saturated(running: Running) -> dict[str, Any]:
    (line,) = load(running, "fanout", "--connections", 1000, "--in-flight", 16)
    return {
        "figure": line["us_per_message"],
        "load_us_per_message": line["load_us_per_message"],
        "server_busy": line["server_busy"],
        "per_second": line["per_second"],
    }


def main() -> None:
    chosen = arguments(__doc__)
    cases = [
        Case("floor, coalescing", floor("coalesce"), saturated),
        Case("floor, a write for each", floor("fanout"), saturated, "floor, coalescing"),
        Case("wspulse", wspulse("relay"), saturated, "floor, coalescing", 2.0, 1.45),
    ]
    cases.append(
        Case("wspulse, exact sessions", wspulse("relay", dialect="exact"), saturated, "floor, coalescing", 2.16, 1.57)
    )
    if chosen.peers:
        cases += [Case(name, peer(name, "fanout"), saturated, "floor, coalescing") for name in PEERS]
    measure_cases("saturated_fanout", __doc__ or "", "µs/delivery", cases, chosen)


if __name__ == "__main__":
    main()
