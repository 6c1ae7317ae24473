"""`Failures`: tells of what was called with something of the bus and raised, a few times and then now and again.

Made by the receiver, which goes on after it: what comes next is for others, and its descriptor does not tell of it twice.
"""

from __future__ import annotations

import logging

from wspulse.actors.values.log_limit import LogLimit

__all__ = ["Failures"]

_logger = logging.getLogger("wspulse.bus")


class Failures:
    """See the module."""

    def __init__(self) -> None:
        self._limit = LogLimit()

    def raised(self, error: Exception, now: float) -> None:
        not_logged = self._limit.admit(now)
        if not_logged is not None:
            _logger.error(
                "a message from the bus could not be handled and was skipped",
                exc_info=error,
                extra={"not_logged": not_logged},
            )
