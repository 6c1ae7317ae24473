"""`Clock`: time and chance as a line sees them, so that a test can have them its own way.

Everything in a line that waits for a time waits here. It is the loop's monotonic time: a wall clock may jump.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

__all__ = ["Clock"]


class Clock:
    """`speed`: it runs so many times faster than the loop's. `draw` draws from 0 to 1."""

    def __init__(self, speed: float = 1.0, draw: Callable[[], float] = random.random) -> None:
        self._speed = speed
        self.draw = draw

    def now(self) -> float:
        return asyncio.get_running_loop().time() * self._speed

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(delay_s / self._speed, callback)

    async def sleep(self, delay_s: float) -> None:
        await asyncio.sleep(delay_s / self._speed)

    async def pause(self, delay_s: float) -> None:
        """Before the next dial."""
        await self.sleep(delay_s)

    def timeout(self, delay_s: float | None) -> asyncio.Timeout:
        return asyncio.timeout(None if delay_s is None else delay_s / self._speed)
