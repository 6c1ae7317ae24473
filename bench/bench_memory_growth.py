"""How does memory grow with idle connections? Resident MB of all server processes, as connections are added to a server that
was just started; up to 20,000, or as many as the limit of descriptors allows."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from itertools import pairwise
from typing import Any

from bench.bench_idle_memory import resident_kb
from bench.support.curves import Curve, measure_curves
from bench.support.rounds import Over, arguments, connected, load
from bench.support.subjects import PEERS, Running, Subject, floor, peer, wspulse

SIZES = (0, 1_000, 2_500, 5_000, 10_000, 20_000)

OTHER_DESCRIPTORS = 200
"""What a server has open besides its connections."""

MOST_ROUNDS = 3
"""Memory hardly differs from round to round, and the slow peers take half a minute to fill."""


def growth(subject: Subject) -> Iterator[dict[str, Any]]:
    limit = _raise_descriptor_limit()
    with subject() as running, ExitStack() as stack:
        load(running, "connect", "--connections", 1, "--leave")  # some print their port before they are ready
        yield _point(running, 0)
        for before, size in pairwise(SIZES):
            if size + OTHER_DESCRIPTORS > limit:
                return
            stack.enter_context(connected(running, size - before, first=before))
            yield _point(running, size)


def _point(running: Running, connections: int) -> dict[str, Any]:
    return {"at": connections, "figure": resident_kb(running) / 1024}


def _raise_descriptor_limit() -> int:
    """To what is allowed, for the servers that do not do it themselves; they inherit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        hard = max(soft, SIZES[-1] + OTHER_DESCRIPTORS)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def main() -> None:
    chosen = arguments(__doc__)
    chosen = replace(chosen, rounds=min(chosen.rounds, MOST_ROUNDS))
    subjects = {
        "floor": floor("echo"),
        "wspulse": wspulse("relay"),
        "wspulse, resume on": wspulse("relay", "--resume-window", "30"),
    }
    if chosen.peers:
        subjects |= {name: peer(name, "fanout") for name in PEERS}
    curves = [Curve(name, subject, growth) for name, subject in subjects.items()]
    over = Over("idle connections", {"figure": "resident memory of all processes, MB"})
    measure_curves("memory_growth", __doc__ or "", "MB", over, curves, chosen)


if __name__ == "__main__":
    main()
