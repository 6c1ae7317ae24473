"""`Inlet`: what a subscription hands its messages to, as they are parsed.

nats-py gives each message to a subscription's callback by a queue and a task: 18 µs to publish and receive a message, against 8
µs with this (4,096 subscriptions cost 17 MB and 0.06 s of CPU either way). A subscription with a `future` hands the message to
the future's `set_result`, without either; this future takes any number of them and is never done.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from nats.aio.msg import Msg

from wspulse.actors.values.log_limit import LogLimit, shortened

__all__ = ["Inlet"]

_logger = logging.getLogger("wspulse.supervisor")
_limit = LogLimit()


class Inlet(asyncio.Future[Msg]):
    """See the module. `take(message)` is called on the loop, in the order in which messages arrive."""

    def __init__(self, take: Callable[[Msg], None]) -> None:
        super().__init__()
        self._take = take

    def set_result(self, message: Msg, /) -> None:
        try:
            self._take(message)
        except (
            Exception
        ):  # an error here would end the reading of the connection: anybody may publish what cannot be read
            if (not_logged := _limit.admit(time.monotonic())) is not None:
                extra = {"subject": shortened(message.subject), "not_logged": not_logged}
                _logger.exception("a message from NATS could not be handled", extra=extra)
