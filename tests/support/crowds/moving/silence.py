"""`Silence`: how long clients heard nothing, and how late they heard what they heard, over all clients of one process. No I/O."""

from __future__ import annotations

from collections import Counter
from typing import Any

__all__ = ["Silence", "share"]


class Silence:
    """One for each while of the run. Times in ms, each with how often it came."""

    def __init__(self) -> None:
        self.gaps_ms: Counter[int] = Counter()
        self.lateness_ms: Counter[int] = Counter()

    def heard(self, since_s: float) -> None:
        self.gaps_ms[int(since_s * 1000)] += 1

    def late(self, by_s: float) -> None:
        self.lateness_ms[int(by_s * 1000)] += 1

    def book(self) -> dict[str, Any]:
        return {"gaps_ms": self.gaps_ms, "lateness_ms": self.lateness_ms}


def share(times_ms: Counter[int], part: float) -> int:
    """The time that so large a part of all does not exceed."""
    left = part * times_ms.total()
    for time_ms in sorted(times_ms):
        left -= times_ms[time_ms]
        if left <= 0:
            return time_ms
    return 0
