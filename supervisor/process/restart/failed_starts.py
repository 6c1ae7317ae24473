"""`FailedStarts`: what the log says of starts of one shard that fail, again and again while the cause lasts.

One per `Child`. The application's traceback is told as a whole when the cause is another one, and then by its last line.
"""

from __future__ import annotations

import logging
import time

from wspulse.actors.values.log_limit import LogLimit
from wspulse.supervisor.process.restart.standby import last_line

__all__ = ["FailedStarts"]

_logger = logging.getLogger("wspulse.supervisor")
_limit = LogLimit()
"""Of all shards: an application that fails in one worker fails in all of them."""


class FailedStarts:
    """See the module."""

    def __init__(self) -> None:
        self._told = ""

    def forget(self) -> None:
        """A worker became ready: the next failure is another one."""
        self._told = ""

    def of_application(self, text: str, delay_s: float, fields: dict[str, object]) -> None:
        """It could not be loaded, or raised in on_start; `text` is the traceback, the next start is in `delay_s`."""
        fields = {**fields, "reason": last_line(text), "restart_in_s": delay_s}
        if text != self._told:
            self._told = text
            _logger.error("a worker could not start", extra={**fields, "traceback": text})
        elif (not_logged := _limit.admit(time.monotonic())) is not None:
            _logger.warning("a worker could not start", extra={**fields, "not_logged": not_logged})

    def of_system(self, error: Exception, delay_s: float, fields: dict[str, object]) -> None:
        """No process, no descriptor, no memory."""
        if (not_logged := _limit.admit(time.monotonic())) is not None:
            fields = {**fields, "reason": str(error), "restart_in_s": delay_s, "not_logged": not_logged}
            _logger.warning("no worker could be started; it is tried again", extra=fields)
