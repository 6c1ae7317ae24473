"""`DrainDelay`: the time between the order to end and the end, in which a server says that it drains, and serves on.

Made by the supervisor. A load balancer that asks for its health sends nobody any more by the time that it closes. It ends nothing
itself, and another reason to end, or a second signal, does not wait for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

__all__ = ["DRAINING", "DrainDelay"]

_logger = logging.getLogger("wspulse.supervisor")

DRAINING: Final = "draining"
"""What the health check tells meanwhile, as it does afterwards."""


class DrainDelay:
    """See the module. `tell(reason, is_so)` has all workers' health checks say it; `end(reason)` ends the server."""

    def __init__(self, delay_s: float, tell: Callable[[str, bool], None], end: Callable[[str], None]) -> None:
        self._delay_s = delay_s
        self._tell = tell
        self._end = end
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, reason: str, *, serves: bool) -> None:
        """End the server, when it has said so for long enough: at once where nobody is served yet. Only the first reason
        counts."""
        if self._timer is not None:
            return
        if not self._delay_s or not serves:
            self._end(reason)
            return
        _logger.info(
            "the server is about to stop and keeps serving until then",
            extra={"delay_s": self._delay_s, "reason": reason},
        )
        self._timer = asyncio.get_running_loop().call_later(self._delay_s, self._end, reason)
        self._tell(DRAINING, True)

    def stop(self) -> None:
        """The server ends."""
        if self._timer is not None:
            self._timer.cancel()
