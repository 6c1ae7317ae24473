"""`Ticker`: calls what is due, for all sessions and sockets of a shard, with one timer of the loop.

Made by the shard, which lends it to whatever has a deadline. It keeps the shard's clock going, and when the loop has been away
it lets that stand, and judges nobody, until what has arrived meanwhile was taken.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from logging import Logger

from wspulse.actors.values.log_limit import LogLimit
from wspulse.actors.values.timing.deadlines import Deadlines
from wspulse.actors.values.timing.service_clock import BEAT_S, SETTLE_S, ServiceClock

__all__ = ["Ticker"]

_LEAST_S = 0.001
"""What is due within less than the loop can tell apart is due in a moment."""


class Ticker:
    """See the module. `clock` is in seconds; times given to `at` are its. What is called runs in `context`."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, real: Callable[[], float], logger: Logger, context: Context
    ) -> None:
        self.clock = ServiceClock(real)
        self._loop = loop
        self._logger = logger
        self._context = context
        self._deadlines = Deadlines()
        self._log = LogLimit()
        self._timer: asyncio.TimerHandle | None = None
        self._rings_at = 0.0
        """When, on the clock, the timer ends."""
        self._stopped = False

    def __len__(self) -> int:
        """How many calls wait."""
        return len(self._deadlines)

    @property
    def next_due(self) -> float:
        """When, on the clock, the next call is due; infinity for never."""
        due = self._deadlines.next_due()
        return float("inf") if due is None else due

    def at(self, when: float, call: Callable[[float], None]) -> None:
        """Have `call(now)` called at `when` or a little later. It cannot be cancelled: the callee looks if it still applies."""
        if not self._deadlines.add(when, call) or self._stopped:
            return
        if self._timer is None:
            self.clock.begin()
            self._set(self.clock())
        elif when < self._rings_at:
            self._timer.cancel()
            self._set(self.clock())

    @property
    def _is_set(self) -> bool:
        return self._timer is not None

    def stop(self) -> None:
        """Call nobody any more."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set(self, now: float) -> None:
        due = self.next_due
        if due == float("inf"):
            self.clock.rest()
            return
        delay_s = min(max(_LEAST_S, due - now), BEAT_S)
        self._rings_at = now + delay_s
        self._timer = self._loop.call_later(delay_s, self._tick, context=self._context)

    def _tick(self) -> None:
        self._timer = None
        if self.clock.beat():
            self._rings_at = 0.0
            self._timer = self._loop.call_later(SETTLE_S, self._tick, context=self._context)
            return
        now = self.clock()
        for call in self._deadlines.take_due(now):
            try:
                call(now)
            except BaseException as error:
                # One owner's fault, whatever it raises, must not stop the others' heartbeats, nor a client's fill the log.
                not_logged = self._log.admit(now)
                if not_logged is not None:
                    self._logger.error("a deadline failed", exc_info=error, extra={"not_logged": not_logged})
        if not self._is_set and not self._stopped:
            self._set(self.clock())
