"""`Tally`: what the workers of one name have counted, one after another or beside each other, as totals that never fall.

Kept in the name's `History`. `Child` tells it what its worker says every second, and `stats` what was answered since. Who looks
at the totals may take differences, however often workers end. It knows no name of a counter. No I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["Counts", "Tally", "added"]

Counts = Mapping[str, Any]
"""Integers by name; or, of what is counted by kind, another map of them."""


KEPT = 4
"""Incarnations that may still be heard: two workers while sessions move from one to the other, and those that ended just before
them."""


class Tally:
    """See the module. The last four incarnations may be heard in any order: an answer of one that has just ended may come
    behind the first word of its replacement."""

    def __init__(self) -> None:
        self._ended: Counts = {}
        """Of all before those."""
        self._lives: dict[int, Counts] = {}
        """By incarnation, the latest."""

    def heard(self, incarnation: int, counts: Counts) -> None:
        """A worker has counted so much since its start."""
        if incarnation not in self._lives:
            if len(self._lives) == KEPT:
                oldest = min(self._lives)
                if incarnation < oldest:
                    return
                self._ended = added(self._ended, self._lives.pop(oldest))
            self._lives[incarnation] = {}
        self._lives[incarnation] = _combined(self._lives[incarnation], counts, max)

    def of(self, incarnation: int | None) -> Counts:
        """What one worker has told so far, if it is one of the latest."""
        return {} if incarnation is None else self._lives.get(incarnation, {})

    @property
    def total(self) -> Counts:
        """Of all workers of this name so far."""
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
