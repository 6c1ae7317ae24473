"""What does a connection cost to be made? 2,000 upgrades, 64 at a time, CPU from the accept to the 101; of
python-socketio, whose clients then have to wait for its own connect packets, to the last of these."""

from __future__ import annotations

from typing import Any

from bench.support.rounds import Case, Measure, arguments, load, measure_cases
from bench.support.subjects import PEERS, floor, peer, wspulse


def upgrades(*path: str) -> Measure:
    def measure(running: Any) -> dict[str, Any]:
        opening, closing = load(running, "connect", "--connections", 2000, *path, "--leave")
        return {"figure": opening["us_per_message"], "closing_us": closing["us_per_message"]}

    return measure


def main() -> None:
    chosen = arguments(__doc__)
    named, unnamed = upgrades(), upgrades("--path", "/ws")
    cases = [
        Case("floor", floor("echo"), unnamed),
        Case("wspulse, 1 worker", wspulse("echo"), named, limit=80, aim=60),
        Case("wspulse, 4 workers, none handed over", wspulse("echo", workers=4), unnamed),
        Case("wspulse, 4 workers, 3 of 4 handed over", wspulse("echo", workers=4), named, limit=140 * 0.75 + 80 * 0.25),
    ]
    if chosen.peers:
        cases += [Case(name, peer(name, "fanout"), named) for name in PEERS]
    measure_cases("upgrade", __doc__ or "", "µs/upgrade", cases, chosen)


if __name__ == "__main__":
    main()
