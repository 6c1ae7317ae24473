"""`Delays`: how long a line waits before it dials again, so that the clients of a restarted server come back spread out.

Asked by the line after every end. It draws, and looks at no clock.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Delays", "Retry"]

_FIRST_SPREAD_S = 1.0

_RESET_AFTER_S = 5.0
"""A server that accepts and closes at once for ever is no reason to dial it at once for ever."""

_MOST_DOUBLINGS = 64


@dataclass(frozen=True, slots=True)
class Retry:
    """How a line comes back: after `base_s`, twice as long after each failure, up to `max_s`, and at most `limit` times in a
    row (None: without end; 0: never). Each wait is shortened at random by up to a half; the first one after a loss takes at
    most 1 s.

    Raises ValueError for invalid values.
    """

    base_s: float = 0.5
    max_s: float = 20.0
    limit: int | None = None

    def __post_init__(self) -> None:
        values: tuple[object, ...] = (self.base_s, self.max_s)
        if not all(isinstance(value, (int, float)) for value in values) or not 0 < self.base_s <= self.max_s < float(
            "inf"
        ):
            raise ValueError(
                f"wspulse: retry: base_s is {self.base_s!r} and max_s {self.max_s!r}; allowed: 0 < base_s <= max_s"
            )
        if self.limit is not None and (type(self.limit) is not int or self.limit < 0):
            raise ValueError(f"wspulse: retry: limit must be a whole number of at least 0, or None, not {self.limit!r}")


class Delays:
    """The delays of one line. `random` draws from 0 to 1."""

    def __init__(self, retry: Retry, random: Callable[[], float]) -> None:
        self._retry = retry
        self._random = random
        self.tries = 0
        """Since the line was last up for long enough."""

    def was_up(self, duration_s: float) -> None:
        """A connection has ended that was open for so long."""
        if duration_s >= _RESET_AFTER_S:
            self.tries = 0

    def next_s(self, told_s: float | None = None, *, is_slow: bool = False) -> float | None:
        """How long to wait before the next try, None when there is none. `told_s` is what the server has asked for; `is_slow`:
        there is no hurry, and the wait does not begin small."""
        retry = self._retry
        if retry.limit is not None and self.tries >= retry.limit:
            return None
        doublings = self.tries - 1
        self.tries += 1
        if doublings < 0:
            return self._random() * _FIRST_SPREAD_S if told_s is None else told_s
        most_s = retry.max_s if is_slow else min(retry.base_s * 2.0 ** min(doublings, _MOST_DOUBLINGS), retry.max_s)
        wait_s = most_s * (0.5 + self._random() / 2)
        return wait_s if told_s is None else max(wait_s, told_s)
