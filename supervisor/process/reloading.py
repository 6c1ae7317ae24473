"""`Reloading`: the reloads that SIGHUP and changes of source files ask for, one at a time.

Made by the supervisor, which gives it the reload that the control socket runs, and says when the server can have one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from wspulse.actors.values.errors import ServerClosedError, WspulseError

__all__ = ["Reloading"]

_logger = logging.getLogger("wspulse.supervisor")


class Reloading:
    """What is asked for before the server is ready is done when it is; what is asked for during a reload is one more reload
    after it, however often."""

    def __init__(self, reload: Callable[[], Awaitable[object]]) -> None:
        self._reload = reload
        self._is_allowed = False
        self._is_wanted = False
        self._reason = ""
        self._task: asyncio.Task[None] | None = None

    def request(self, reason: str = "SIGHUP") -> None:
        """Reload as soon as can be; returns at once."""
        self._is_wanted = True
        self._reason = reason
        self._begin()

    def allow(self) -> None:
        """From now on there is something to reload."""
        self._is_allowed = True
        self._begin()

    async def stop(self) -> None:
        """End a reload that is under way."""
        self._is_allowed = False
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def _begin(self) -> None:
        if self._is_allowed and self._is_wanted and self._task is None:
            self._task = asyncio.create_task(self._run(), name="reload")

    async def _run(self) -> None:
        try:
            while self._is_wanted:
                self._is_wanted = False
                await self._once()
        finally:
            self._task = None

    async def _once(self) -> None:
        _logger.info("reloading the server", extra={"reason": self._reason})
        try:
            await self._reload()
        except ServerClosedError:
            pass  # it ends, and says so
        except (WspulseError, OSError) as error:
            _logger.error("the reload failed", extra={"error": str(error)})
        else:
            _logger.info("the server has been reloaded")
