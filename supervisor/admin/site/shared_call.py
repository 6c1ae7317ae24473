"""`SharedCall`: one question to the server for all who have it at the same time.

Made by the application for each question that many may have. An answer is given again for a moment, and for longer the longer it
took to get: whoever looks, and however many do, the server is not busy with that for more than a tenth of the time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Generic, TypeVar

__all__ = ["SharedCall"]

REST = 9.0
"""Times as long as it took."""

Result = TypeVar("Result")


class SharedCall(Generic[Result]):
    """`ask` is called in a task of this object's. `keep_s` and `most_keep_s`: for how long an answer does."""

    def __init__(self, ask: Callable[[], Awaitable[Result]], keep_s: float, most_keep_s: float) -> None:
        self._ask = ask
        self._keep_s = keep_s
        self._most_keep_s = most_keep_s
        self._task: asyncio.Task[Result] | None = None
        self._forget_timer: asyncio.TimerHandle | None = None

    async def get(self) -> Result:
        """The answer, or what `ask` raised."""
        if self._task is None:
            self._task = asyncio.create_task(self._run())
            self._task.add_done_callback(_retrieve)
        # Whoever gives up must not take the answer from the others.
        return await asyncio.shield(self._task)

    async def close(self) -> None:
        """Ask no more."""
        if self._forget_timer is not None:
            self._forget_timer.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> Result:
        began = monotonic()
        try:
            return await self._ask()
        finally:
            keep_s = min(max(self._keep_s, (monotonic() - began) * REST), self._most_keep_s)
            self._forget_timer = asyncio.get_running_loop().call_later(keep_s, self._forget)

    def _forget(self) -> None:
        self._task = None


def _retrieve(task: asyncio.Task[Result]) -> None:
    if not task.cancelled():
        task.exception()
