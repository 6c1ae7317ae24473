"""`Hooks`: the application's on_start and on_stop, run once around the life of one shard.

One per runtime. They run in the worker's loop, one after another, before the shard accepts and when its sessions have ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from logging import Logger
from typing import Any

from wspulse.actors.values.awaitable import result_of

__all__ = ["Hooks", "interrupt"]


class Hooks:
    """See the module. The handlers may be sync or async. `pass_on` is given what an on_stop raises, beside the log."""

    def __init__(
        self,
        start: Sequence[Callable[[], Any]],
        stop: Sequence[Callable[[], Any]],
        logger: Logger,
        pass_on: Callable[[BaseException], None],
    ) -> None:
        self._start = start
        self._stop = stop
        self._logger = logger
        self._pass_on = pass_on
        self._is_started = False

    async def start(self) -> None:
        """Run every on_start, in the order of declaration. Raises what the first one raises that fails."""
        for handler in self._start:
            await result_of(handler())
        self._is_started = True

    async def stop(self) -> None:
        """Run every on_stop, the last one first; not where an on_start failed. What one raises is logged. Cancelled, it ends
        the one that runs, runs the others, and raises CancelledError then."""
        if not self._is_started:
            return
        self._is_started = False
        task = asyncio.current_task()
        assert task is not None
        cancels = task.cancelling()
        for handler in reversed(self._stop):
            try:
                await result_of(handler())
            except asyncio.CancelledError as error:
                if task.cancelling() == cancels:
                    self._failed(error)
            except BaseException as error:
                self._failed(error)
        if task.cancelling() > cancels:
            raise asyncio.CancelledError

    def _failed(self, error: BaseException) -> None:
        self._logger.error("on_stop raised", exc_info=error)
        self._pass_on(error)


def interrupt(loop: asyncio.AbstractEventLoop, error: BaseException) -> None:
    """A KeyboardInterrupt in a handler was meant for the program: it goes on to whoever runs the loop."""
    if isinstance(error, KeyboardInterrupt):
        loop.call_soon(_raise, error)


def _raise(error: BaseException) -> None:
    raise error
