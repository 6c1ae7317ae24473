"""What does a room over several workers cost? 1,000 members, 16 broadcasts under way; the CPU of all processes counts."""

from __future__ import annotations

from bench.bench_saturated_fanout import saturated
from bench.support.rounds import Case, arguments, measure_cases
from bench.support.subjects import wspulse


def main() -> None:
    chosen = arguments(__doc__)
    cases = [
        Case("1 worker", wspulse("relay"), saturated),
        Case("2 workers", wspulse("relay", workers=2), saturated, "1 worker"),
        Case("4 workers", wspulse("relay", workers=4), saturated, "1 worker", 1.5, 1.25),
    ]
    measure_cases("workers", __doc__ or "", "µs/delivery", cases, chosen)


if __name__ == "__main__":
    main()
