"""`LoopLag`: how late the event loop runs what is due.

One per worker, created by the runtime. A timer that comes late was held up by whatever the loop did meanwhile.
"""

from __future__ import annotations

import asyncio
from time import monotonic

__all__ = ["LoopLag"]

PERIOD_S = 0.5

WINDOW_PERIODS = 20
"""10 s: long enough that somebody who looks now and then sees a stall, short enough that it goes away again."""


class LoopLag:
    """Measures from its creation until `stop()`."""

    def __init__(self) -> None:
        self.last_s = 0.0
        """How late the last timer was."""
        self._recent: list[float] = []
        self._loop = asyncio.get_running_loop()
        self._due = monotonic() + PERIOD_S
        self._timer = self._loop.call_later(PERIOD_S, self._tick)

    @property
    def worst_s(self) -> float:
        """The most of the last 10 s."""
        return max(self._recent, default=0.0)

    def stop(self) -> None:
        self._timer.cancel()

    def _tick(self) -> None:
        now = monotonic()
        self.last_s = max(0.0, now - self._due)
        self._recent = [*self._recent[1 - WINDOW_PERIODS :], self.last_s]
        self._due = now + PERIOD_S
        self._timer = self._loop.call_later(PERIOD_S, self._tick)
