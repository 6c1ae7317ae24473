"""What does a server over several workers cost, and how much more does it carry? A room of 1,000 members with 16 broadcasts
under way; 100 connections with one message under way on each. The CPU of all processes counts. The load generator takes a
core of its own: workers that find no free core beside it cannot carry more, and show only what their number costs."""

from __future__ import annotations

from bench.bench_echo import echo
from bench.bench_saturated_fanout import saturated
from bench.support.rounds import Case, Over, arguments, measure_cases
from bench.support.subjects import wspulse


def main() -> None:
    chosen = arguments(__doc__)
    cases = [
        Case("1 worker", wspulse("relay"), saturated, at=1),
        Case("2 workers", wspulse("relay", workers=2), saturated, "1 worker", at=2),
        Case("4 workers", wspulse("relay", workers=4), saturated, "1 worker", 1.5, 1.25, at=4),
    ]
    over = Over("workers", {"figure": "CPU, µs per delivery", "per_second": "deliveries per second"})
    measure_cases("workers", __doc__ or "", "µs/delivery", cases, chosen, over)
    cases = [
        Case("1 worker", wspulse("echo"), echo, at=1),
        Case("2 workers", wspulse("echo", workers=2), echo, "1 worker", at=2),
        Case("4 workers", wspulse("echo", workers=4), echo, "1 worker", at=4),
    ]
    over = Over("workers", {"figure": "CPU, µs per message", "per_second": "messages answered per second"})
    measure_cases("workers_echo", __doc__ or "", "µs/message", cases, chosen, over)


if __name__ == "__main__":
    main()
