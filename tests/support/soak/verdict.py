"""Whether a server stayed flat, by its samples: `verdict`. No I/O.

Judged is what came after the warm-up, the first third. A slope is Theil and Sen's: the median of the slopes between any two
samples, which a few that are far off, as a machine has them that does something else for a moment, do not move. A worker is
replaced at each reload, and begins anew: its memory is compared with its own only, from a minute after its start; whether it
begins larger each time is seen by the sum over all processes, where there were workers enough.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from itertools import combinations
from typing import NamedTuple

from tests.support.soak.samples import Sample

__all__ = ["Finding", "slope", "verdict"]

FEWEST = 12
"""Of fewer samples nothing is said about slopes."""

APART_S = 30.0
"""Samples closer to one another say more about noise than about growth."""

AGE_S = 60.0
"""Until a worker's buffers have grown, and those of its clients that are slow."""

FEWEST_LIVES = 5
"""Of fewer workers one after another the sum of memory says nothing: one that begins with the sessions of another has up to 2 MB
more or less than that one, and the first three have less. Twelve reloads, one in 12 s, leave it where three do."""

MEMORY_MB_PER_MINUTE = 0.2
"""Of one process; twice that of all. A worker passes on some 70,000 frames a minute, and 200 of its clients cut their sockets and
come back: were three bytes of each frame kept, or 1 KB of each socket, it would grow by this. malloc alone does a tenth of it."""

DESCRIPTORS_PER_MINUTE = 0.25
"""Of one process; twice that of all. One left by each socket that is cut would be 400, one by each reload 0.33."""

SLOWER_SHARE, SLOWER_MS = 0.25, 1.0
"""By the end the median of the round trips may be longer by the greater of the two: machines differ by that from hour to hour."""

TAIL_SHARE, TAIL_MS = 0.5, 10.0
"""The same of the 99th percentile, which is for the most part what else runs on the machine."""

Point = tuple[float, float]


class Finding(NamedTuple):
    what: str
    promised: str
    seen: str
    held: bool


def slope(points: Sequence[Point], apart_s: float = APART_S) -> float | None:
    """Of values over seconds, per minute. None where no two samples are so far apart."""
    slopes = _slopes(points, apart_s)
    return statistics.median(slopes) if slopes else None


def verdict(samples: Sequence[Sample], counts: dict[str, int]) -> list[Finding]:
    """`counts` are those of the whole run that must be 0, by what they are."""
    found = [Finding(f"{name}", "0", f"{count:,}", count == 0) for name, count in counts.items()]
    if len(samples) < FEWEST:
        return found
    end_s = samples[-1].at_s
    judged = [sample for sample in samples if sample.at_s >= end_s / 3 and not sample.is_reloading]
    for what, value, unit, bound in (
        ("memory", lambda process: process.rss_mb, "MB", MEMORY_MB_PER_MINUTE),
        ("descriptors", lambda process: process.descriptors, "", DESCRIPTORS_PER_MINUTE),
    ):
        found += _of_processes(samples, judged, what, value, unit, bound)
    if _lives(judged) < FEWEST_LIVES:
        found = [finding for finding in found if finding.what != "memory, all processes"]
    minutes = (judged[-1].at_s - judged[0].at_s) / 60
    for name, key, share, least_ms in (
        ("median of the round trips", "p50_ms", SLOWER_SHARE, SLOWER_MS),
        ("99th percentile of the round trips", "p99_ms", TAIL_SHARE, TAIL_MS),
    ):
        points = [(sample.at_s, getattr(sample, key)) for sample in judged]
        middle = statistics.median(value for _, value in points)
        grown = (slope(points) or 0.0) * minutes
        most = max(share * middle, least_ms)
        seen = f"{middle:.1f} ms, {grown:+.1f} ms in {minutes:.0f} minutes"
        found.append(Finding(name, f"at most {most:+.1f} ms", seen, grown <= most))
    return found


def _lives(samples: Sequence[Sample]) -> int:
    """How many processes there were one after another, at most."""
    pids: dict[str, set[int]] = {}
    for sample in samples:
        for title, process in sample.processes.items():
            pids.setdefault(title, set()).add(process.pid)
    return max(map(len, pids.values()))


def _of_processes(
    samples: Sequence[Sample],
    judged: Sequence[Sample],
    what: str,
    value: Callable[..., float],
    unit: str,
    bound: float,
) -> list[Finding]:
    found = []
    titles = sorted({title for sample in judged for title in sample.processes})
    born: dict[int, float] = {}
    for sample in samples:
        for each in sample.processes.values():
            born.setdefault(each.pid, sample.at_s)
    for title in titles:
        lives: dict[int, list[Point]] = {}
        for sample in judged:
            if (process := sample.processes.get(title)) is not None and sample.at_s - born[process.pid] >= AGE_S:
                lives.setdefault(process.pid, []).append((sample.at_s, value(process)))
        grown = [one for points in lives.values() for one in _slopes(points, APART_S)]
        last = next(value(sample.processes[title]) for sample in reversed(judged) if title in sample.processes)
        if grown:
            found.append(_flat(f"{what}, {title}", last, statistics.median(grown), unit, bound))
    whole = [(sample.at_s, sum(value(process) for process in sample.processes.values())) for sample in judged]
    grown_in_all = slope(whole)
    if grown_in_all is not None:
        found.append(_flat(f"{what}, all processes", whole[-1][1], grown_in_all, unit, bound * 2))
    return found


def _slopes(points: Sequence[Point], apart_s: float) -> list[float]:
    return [60 * (b[1] - a[1]) / (b[0] - a[0]) for a, b in combinations(points, 2) if b[0] - a[0] >= apart_s]


def _flat(what: str, last: float, grown: float, unit: str, bound: float) -> Finding:
    seen = f"{last:.0f} {unit}".rstrip() + f", {grown:+.2f} a minute"
    promised = f"at most {bound:+g} {unit}".rstrip() + " a minute"
    return Finding(what, promised, seen, grown <= bound)
