"""`LoopLag`: how late the event loop runs what is due.

One per worker, created by the runtime. A timer that comes late was held up by whatever the loop did meanwhile, or by a stop of
the whole process. When that was over a second it is said in the log, once the worker serves: an `on_start` may take its time.
"""

from __future__ import annotations

import asyncio
import time
from logging import Logger
from time import clock_gettime, monotonic, process_time

from wspulse.actors.values.telemetry.histogram import Histogram
from wspulse.actors.values.timing.standstill import Standstill

__all__ = ["LoopLag"]

PERIOD_S = 0.5

_BOOT_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""It goes on while the machine is suspended, where there is one that does."""

WINDOW_PERIODS = 20
"""10 s: long enough that somebody who looks now and then sees a stall, short enough that it goes away again."""


class LoopLag:
    """Measures from its creation until `stop()`, into `histogram` too."""

    def __init__(self, histogram: Histogram) -> None:
        self._histogram = histogram
        self.last_s = 0.0
        """How late the last timer was."""
        self._recent: list[float] = []
        self._logger: Logger | None = None
        self._standstill: Standstill | None = None
        self._loop = asyncio.get_running_loop()
        self._due = monotonic() + PERIOD_S
        self._timer = self._loop.call_later(PERIOD_S, self._tick)

    @property
    def worst_s(self) -> float:
        """The most of the last 10 s."""
        return max(self._recent, default=0.0)

    def tell(self, logger: Logger) -> None:
        """Say from now on when the loop stood still."""
        self._logger = logger
        self._standstill = Standstill(PERIOD_S, *_clocks())

    def stop(self) -> None:
        self._timer.cancel()

    def _tick(self) -> None:
        now = monotonic()
        self.last_s = max(0.0, now - self._due)
        self._histogram.observe(self.last_s)
        self._recent = [*self._recent[1 - WINDOW_PERIODS :], self.last_s]
        if self._standstill is not None and self._logger is not None:
            stood = self._standstill.look(*_clocks())
            if stood is not None:
                self._logger.warning(stood.sentence, extra=stood.fields)
        self._due = now + PERIOD_S
        self._timer = self._loop.call_later(PERIOD_S, self._tick)


def _clocks() -> tuple[float, float, float]:
    """As `Standstill` wants them."""
    return monotonic(), clock_gettime(_BOOT_CLOCK), process_time()
