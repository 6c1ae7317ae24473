"""`Allowance`: so many per second, and what was saved of them: a token bucket. "Now" is an argument.

Made by whoever limits a rate. It refuses nothing: more may be taken than there is, which is then owed.
"""

from __future__ import annotations

__all__ = ["Allowance"]


class Allowance:
    """Full at first. What is not taken is saved up to a second's worth, and to one at least."""

    __slots__ = ("_at", "_level", "_most", "_per_s")

    def __init__(self, per_s: float, now: float) -> None:
        self._per_s = per_s
        self._most = max(1.0, per_s)
        self._level = self._most
        self._at = now

    def change(self, per_s: float, now: float) -> None:
        """Give so many from now on."""
        if per_s != self._per_s:
            self._level, self._at = self.level(now), now
            self._per_s, self._most = per_s, max(1.0, per_s)

    def take(self, count: float, now: float) -> None:
        self._level = self.level(now) - count
        self._at = now

    def level(self, now: float) -> float:
        """How much may be taken; below 0, how much is owed."""
        return min(self._most, self._level + max(0.0, now - self._at) * self._per_s)

    def wait_s(self, count: float, now: float) -> float:
        """How long it takes until there is so much."""
        return max(0.0, (count - self.level(now)) / self._per_s)
