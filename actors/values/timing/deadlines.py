"""`Deadlines`: coarse timers for very many owners, without a timer of the loop for each.

One per shard; its ticker asks `next_due` and calls `take_due`. What is added is never cancelled: the owner looks, when it is
called, whether the call still means it (an epoch, a state).
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush

__all__ = ["Deadlines"]


class Deadlines:
    """Calls grouped in buckets of `resolution_s`. A call is due at or up to one resolution after its time, never before."""

    __slots__ = ("_buckets", "_heap", "_resolution_s")

    def __init__(self, resolution_s: float = 0.01) -> None:
        self._resolution_s = resolution_s
        self._buckets: dict[int, list[Callable[[float], None]]] = {}
        self._heap: list[int] = []

    def add(self, when: float, call: Callable[[float], None]) -> bool:
        """Have `call(now)` called at `when`. Returns whether it is now the earliest, so that the ticker must be set anew."""
        number = int(when / self._resolution_s) + 1
        bucket = self._buckets.get(number)
        if bucket is not None:
            bucket.append(call)
            return False
        self._buckets[number] = [call]
        heappush(self._heap, number)
        return self._heap[0] == number

    def next_due(self) -> float | None:
        """When `take_due` has something next; None for never."""
        return self._heap[0] * self._resolution_s if self._heap else None

    def take_due(self, now: float) -> list[Callable[[float], None]]:
        """All calls that are due, in the order of their buckets; they are no longer held here."""
        due: list[Callable[[float], None]] = []
        while self._heap and self._heap[0] * self._resolution_s <= now:
            due += self._buckets.pop(heappop(self._heap))
        return due

    def __len__(self) -> int:
        return sum(len(bucket) for bucket in self._buckets.values())
