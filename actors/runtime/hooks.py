"""`Hooks`: the application's on_start and on_stop, run once around the life of one shard.

One per runtime. They run in the worker's loop, one after another, before the shard accepts and when its sessions have ended.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from logging import Logger
from typing import Any

from wspulse.actors.values.awaitable import result_of

__all__ = ["Hooks"]


class Hooks:
    """See the module. The handlers may be sync or async."""

    def __init__(self, start: Sequence[Callable[[], Any]], stop: Sequence[Callable[[], Any]], logger: Logger) -> None:
        self._start = start
        self._stop = stop
        self._logger = logger
        self._is_started = False

    async def start(self) -> None:
        """Run every on_start, in the order of declaration. Raises what the first one raises that fails."""
        for handler in self._start:
            await result_of(handler())
        self._is_started = True

    async def stop(self) -> None:
        """Run every on_stop, the last one first; not where an on_start failed. What one raises is logged."""
        if not self._is_started:
            return
        self._is_started = False
        for handler in reversed(self._stop):
            try:
                await result_of(handler())
            except Exception:
                self._logger.exception("on_stop raised")
