"""How long does an echo take while the server has more and more to do? 100 connections, messages on a schedule that does not
wait for answers. A latency counts from the time at which the message was due, so that a stall is seen in all that fell into
it. A server's curve ends where it did not keep up; who never did has none. The load generator and the kernel are in every
figure: the floor's are theirs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bench.support.curves import Curve, measure_curves
from bench.support.rounds import Over, arguments, load
from bench.support.subjects import PEERS, Subject, floor, peer, wspulse

RATES = (2_000, 5_000, 10_000, 20_000, 35_000, 50_000)
"""Messages per second. The highest is near what one core can answer, with the load generator on another."""

MEASURE_S = 1.0

LATE = 1.1
"""Who needs so many times the schedule's length for all answers did not keep up."""


def latencies(subject: Subject) -> Iterator[dict[str, Any]]:
    with subject() as running:
        for rate in RATES:
            options = ["--connections", 100, "--rate", rate, "--warmup-s", 0.2, "--measure-s", MEASURE_S]
            (line,) = load(running, "echo", *options)
            if line["wall_s"] > LATE * MEASURE_S:
                return
            rest = {key: line[f"latency_{key}_us"] for key in ("p90", "p99", "p999")}
            yield {"at": rate, "figure": line["latency_p50_us"], **rest, "us_per_message": line["us_per_message"]}


def main() -> None:
    chosen = arguments(__doc__)
    subjects = {"floor": floor("echo"), "wspulse": wspulse("echo")}
    if chosen.peers:
        subjects |= {name: peer(name, "echo") for name in PEERS}
    curves = [Curve(name, subject, latencies) for name, subject in subjects.items()]
    panels = {"figure": "p50, µs", "p90": "p90, µs", "p99": "p99, µs", "p999": "p99.9, µs"}
    over = Over("messages per second", panels, log=True)
    measure_curves("latency", __doc__ or "", "µs", over, curves, chosen)


if __name__ == "__main__":
    main()
