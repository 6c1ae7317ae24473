"""`NextStart`: when a shard without a worker is given the next one, and what the log says of why it has none.

One per `Child`, which says how each worker ended and does the starting. A traceback of the application's is told as a whole when
the cause is another one, and by its last line while it lasts.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from wspulse.actors.values.log_limit import LogLimit
from wspulse.supervisor.process.restart.backoff import Backoff
from wspulse.supervisor.process.restart.history import History
from wspulse.supervisor.process.restart.standby import last_line

__all__ = ["NextStart"]

_logger = logging.getLogger("wspulse.supervisor")
_limit = LogLimit()
"""Of all shards: an application that fails in one worker fails in all of them."""


class NextStart:
    """See the module. `start` is called in the loop when the backoff says so; the failures are kept in the `history`."""

    def __init__(self, history: History, start: Callable[[], None]) -> None:
        self._history = history
        self._start = start
        self._backoff = Backoff()
        self._told = ""
        self._timer: asyncio.TimerHandle | None = None

    def cancel(self) -> None:
        """There is none, or it is now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def forget(self) -> None:
        """A worker became ready: the next failure is another one."""
        self._told = ""

    def after_crash(self, end: str, ready_for_s: float, fields: dict[str, object], *, is_replaced: bool) -> None:
        """`is_replaced`: the next worker is there already."""
        self._history.restarted("crash")
        self._history.last_failure = end
        delay_s = 0.0 if is_replaced else self._wait(end, ready_for_s)
        _logger.warning("a worker died", extra={**fields, "end": end, "restart_in_s": delay_s})

    def after_termination(self, end: str, fields: dict[str, object]) -> None:
        """Somebody sent SIGTERM to one that was not ready. It is no crash; but an application that does so to itself at every
        start must not keep us busy."""
        delay_s = self._wait(end, 0.0)
        _logger.info("a worker was terminated while it started", extra={**fields, "restart_in_s": delay_s})

    def after_failed_start(self, text: str, fields: dict[str, object]) -> None:
        """The application could not be loaded, or raised in on_start; `text` is the traceback."""
        self._history.restarted("failed_start")
        reason = last_line(text)
        fields = {**fields, "reason": reason, "restart_in_s": self._wait(reason, 0.0)}
        if text != self._told:
            self._told = text
            _logger.error("a worker could not start", extra={**fields, "traceback": text})
        elif (not_logged := _limit.admit(time.monotonic())) is not None:
            _logger.warning("a worker could not start", extra={**fields, "not_logged": not_logged})

    def after_refusal(self, error: Exception, shard: int) -> None:
        """The system has no process, no descriptor or no memory: that is no fault of the application, and passes."""
        delay_s = self._wait(f"could not be started: {error}", 0.0)
        if (not_logged := _limit.admit(time.monotonic())) is not None:
            fields = {"shard": shard, "reason": str(error), "restart_in_s": delay_s, "not_logged": not_logged}
            _logger.warning("no worker could be started; trying again", extra=fields)

    def _wait(self, failure: str, ready_for_s: float) -> float:
        self._history.last_failure = failure
        delay_s = self._backoff.failed(ready_for_s)
        self.cancel()
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._start)
        return delay_s
