"""`Pulse`: what waits for something that workers do, and looks again whenever one has done anything.

One per `Conductor`. What happens to workers is rare, and what is waited for often has several ends: it is looked at as a whole,
so that no order of events is one that was forgotten.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

__all__ = ["Pulse"]


class Pulse:
    """See the module."""

    def __init__(self) -> None:
        self._beaten = asyncio.Event()

    def beat(self) -> None:
        """Something has happened."""
        self._beaten.set()
        self._beaten = asyncio.Event()

    async def until(self, condition: Callable[[], bool], timeout_s: float | None = None) -> bool:
        """Wait for a condition, so long at most; returns whether it holds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not condition():
                    await self._beaten.wait()
        return condition()
