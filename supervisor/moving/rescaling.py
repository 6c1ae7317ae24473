"""`Rescaling`: the workers more and less that SIGTTIN and SIGTTOU ask for, one scaling at a time.

Made by the supervisor, which gives it the scaling, and says when the server can have one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from wspulse.actors.values.errors import ServerClosedError, WspulseError

__all__ = ["Rescaling"]

_logger = logging.getLogger("wspulse.supervisor")


class Rescaling:
    """What is asked for before the server is ready, or during a scaling, is added up, and done when it can be."""

    def __init__(self, scale_by: Callable[[int], Awaitable[object]]) -> None:
        self._scale_by = scale_by
        self._is_allowed = False
        self._more = 0
        self._task: asyncio.Task[None] | None = None

    def request(self, more: int) -> None:
        """So many more, or less, as soon as can be; returns at once."""
        self._more += more
        self._begin()

    def allow(self) -> None:
        """From now on there is something to scale."""
        self._is_allowed = True
        self._begin()

    async def stop(self) -> None:
        """End one that is under way."""
        self._is_allowed = False
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def _begin(self) -> None:
        if self._is_allowed and self._more and self._task is None:
            self._task = asyncio.create_task(self._run(), name="rescaling")

    async def _run(self) -> None:
        try:
            while self._more:
                more, self._more = self._more, 0
                await self._once(more)
        finally:
            self._task = None

    async def _once(self, more: int) -> None:
        _logger.info("scaling the server", extra={"workers_more": more})
        try:
            await self._scale_by(more)
        except ServerClosedError:
            pass  # it ends, and says so
        except (WspulseError, OSError) as error:
            _logger.error("scaling failed", extra={"error": str(error)})
        else:
            _logger.info("the server has been scaled")
