"""How much later does a broadcast arrive when it crosses workers? 8 members, 50 broadcasts a second, median latency."""

from __future__ import annotations

from typing import Any

from bench.support.rounds import Case, arguments, load, measure_cases
from bench.support.subjects import Running, wspulse

LIMIT_US = 500.0
"""What a way over the bus may add."""


def latency(running: Running) -> dict[str, Any]:
    (line,) = load(running, "fanout", "--connections", 8, "--rate", 50, "--warmup-s", 0.25, "--measure-s", 2)
    return {
        "figure": float(line["latency_p50_us"]),
        "latency_p99_us": line["latency_p99_us"],
        "us_per_delivery": line["us_per_message"],
    }


def main() -> None:
    chosen = arguments(__doc__)
    cases = [
        Case("1 worker, no bus", wspulse("relay"), latency),
        Case("2 workers", wspulse("relay", workers=2), latency),
        Case("4 workers", wspulse("relay", workers=4), latency),
    ]
    saved = measure_cases("bus_latency", __doc__ or "", "µs", cases, chosen)
    figures = {row["name"]: row["figure"] for row in saved["rows"]}
    added = figures["4 workers"] - figures["1 worker, no bus"]
    print(f"added: {added:.0f} µs (to reach {LIMIT_US:.0f}: {'yes' if added <= LIMIT_US else 'NO'})")


if __name__ == "__main__":
    main()
