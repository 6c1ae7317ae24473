"""`Tally`: what the workers of one shard have counted, one after another, as totals that never fall.

Made by `Child`, which tells it what its worker says every second; `stats` tells it what was answered since. Who looks at the
totals may take differences, however often workers end. It knows no name of a counter. No I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["Counts", "Tally", "added"]

Counts = Mapping[str, Any]
"""Integers by name; or, of what is counted by kind, another map of them."""


class Tally:
    """See the module. The last two incarnations may be heard in any order: an answer of one that has just ended may come
    behind the first word of its replacement."""

    def __init__(self) -> None:
        self._ended: Counts = {}
        """Of all before those two."""
        self._lives: dict[int, Counts] = {}
        """By incarnation, the latest two."""

    def heard(self, incarnation: int, counts: Counts) -> None:
        """A worker has counted so much since its start."""
        if incarnation not in self._lives:
            if len(self._lives) == 2:
                oldest = min(self._lives)
                if incarnation < oldest:
                    return
                self._ended = added(self._ended, self._lives.pop(oldest))
            self._lives[incarnation] = {}
        self._lives[incarnation] = _combined(self._lives[incarnation], counts, max)

    def of(self, incarnation: int | None) -> Counts:
        """What one worker has told so far, if it is one of the last two."""
        return {} if incarnation is None else self._lives.get(incarnation, {})

    @property
    def total(self) -> Counts:
        """Of all workers of this shard so far."""
        total = self._ended
        for counts in self._lives.values():
            total = added(total, counts)
        return total


def added(one: Counts, other: Counts) -> Counts:
    """The sums."""
    return _combined(one, other, lambda first, second: first + second)


def _combined(one: Counts, other: Counts, of_two: Callable[[int, int], int]) -> Counts:
    combined = dict(one)
    for name, value in other.items():
        if isinstance(value, Mapping):
            combined[name] = _combined(combined.get(name, {}), value, of_two)
        else:
            combined[name] = of_two(combined.get(name, 0), value)
    return combined
