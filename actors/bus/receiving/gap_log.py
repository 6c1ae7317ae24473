"""`GapLog`: tells of what the bus has lost, a few times and then now and again.

Made by the bus, which asks its `GapWatch` of each message. It writes to the log and keeps nothing of a message.
"""

from __future__ import annotations

import logging

from wspulse.actors.bus.message import BusMessage
from wspulse.actors.values.log_limit import LogLimit

__all__ = ["GapLog"]

_logger = logging.getLogger("wspulse.bus")


class GapLog:
    """See the module."""

    def __init__(self) -> None:
        self._limit = LogLimit()

    def missed(self, message: BusMessage, now: float) -> None:
        """What should have come before this message has not."""
        not_logged = self._limit.admit(now)
        if not_logged is not None:
            extra = {
                "room_id": message.room_id,
                "sender": message.sender,
                "expected": message.previous,
                "not_logged": not_logged,
            }
            _logger.error("the bus lost a message", extra=extra)
