"""What does one delivery of a broadcast cost when each broadcast travels alone? 1,000 members, 20 broadcasts a second."""

from __future__ import annotations

from typing import Any

from bench.support.rounds import Case, arguments, load, measure_cases
from bench.support.subjects import PEERS, Running, floor, peer, wspulse


def paced(running: Running) -> dict[str, Any]:
    (line,) = load(
        running,
        "fanout",
        "--connections",
        1000,
        "--rate",
        20,
        "--warmup-s",
        0.25,
        "--measure-s",
        1.5,
        "--ack-every",
        20,
    )
    return {
        "figure": line["us_per_message"],
        "load_us_per_message": line["load_us_per_message"],
        "latency_p50_us": line["latency_p50_us"],
        "latency_p99_us": line["latency_p99_us"],
    }


def main() -> None:
    chosen = arguments(__doc__)
    exact = wspulse("relay", "--resume-window", "30", dialect="exact")
    cases = [
        Case("floor", floor("fanout"), paced),
        Case("wspulse", wspulse("relay"), paced, "floor", 1.6, 1.3),
        Case("wspulse, resume on", wspulse("relay", "--resume-window", "30"), paced, "floor", 1.6, 1.3),
    ]
    cases.append(Case("wspulse, exact sessions", exact, paced, "floor", 1.68, 1.37))
    if chosen.peers:
        cases += [Case(name, peer(name, "fanout"), paced, "floor") for name in PEERS]
    measure_cases("paced_fanout", __doc__ or "", "µs/delivery", cases, chosen)


if __name__ == "__main__":
    main()
