"""`Sample`: what is seen of a server at one moment; and looking at its processes for it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import psutil

__all__ = ["Process", "Sample", "processes"]

_TITLE = re.compile(r"wspulse: ([a-z]+(?: \d+)?)")


@dataclass(frozen=True)
class Process:
    pid: int
    rss_mb: float
    descriptors: int


@dataclass
class Sample:
    """`at_s` is since the first one. `is_reloading`: there are two processes of a worker."""

    at_s: float
    processes: dict[str, Process]
    p50_ms: float
    p99_ms: float
    loop_lag_ms: float
    is_reloading: bool = False
    counts: dict[str, int] = field(default_factory=dict)
    """By now: lost, doubled, closed, and what the server has counted."""

    def as_record(self) -> dict[str, Any]:
        """Of the counts, those that are not 0, as all of them should be."""
        return {**asdict(self), "counts": {name: count for name, count in self.counts.items() if count}}

    @classmethod
    def of(cls, record: dict[str, Any]) -> Sample:
        return cls(**{**record, "processes": {title: Process(**each) for title, each in record["processes"].items()}})


def processes(pids: Iterable[int]) -> dict[str, Process]:
    """By what a process is; of two that are the same, as while a worker is replaced, the one that came later."""
    found = {}
    for pid in sorted(pids):
        try:
            process = psutil.Process(pid)
            title = _TITLE.match(" ".join(process.cmdline()))
            seen = Process(pid, round(process.memory_info().rss / (1 << 20), 3), process.num_fds())
        except psutil.Error:
            continue
        found[title[1] if title else "resource tracker"] = seen
    return found
