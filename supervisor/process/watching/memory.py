"""`MemoryMark` and `MemoryWatch`: whether the workers hold more memory than they may together, which is looked at every second.

One per server with `--max-memory`, a part of the supervisor. Above the mark nobody is let in any more, and below 95 % of it
everybody is again. It kills nobody: that is the kernel's to do, or not.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from enum import Enum

from wspulse.actors.values.health import MEMORY_IS_SHORT
from wspulse.supervisor.host.memory import resident_bytes

__all__ = ["LOOK_S", "MemoryMark", "MemoryNews", "MemoryWatch"]

LOOK_S = 1.0

_BACK = 0.95
_FAR_ABOVE = 1.1

_logger = logging.getLogger("wspulse.supervisor")


class MemoryNews(Enum):
    ABOVE = "above the mark"
    FAR_ABOVE = "it goes on, and is 10 % above it"
    BACK = "below it by 5 % again"


class MemoryMark:
    """Decides what is news of the bytes that it is told."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._is_above = False
        self._was_far = False

    def look(self, used_bytes: int) -> MemoryNews | None:
        if self._is_above:
            if used_bytes < self.max_bytes * _BACK:
                self._is_above = self._was_far = False
                return MemoryNews.BACK
            if used_bytes > self.max_bytes * _FAR_ABOVE and not self._was_far:
                self._was_far = True
                return MemoryNews.FAR_ABOVE
        elif used_bytes > self.max_bytes:
            self._is_above = True
            return MemoryNews.ABOVE
        return None


class MemoryWatch:
    """Looks from `start` to `stop`; with a `max_bytes` of 0 at nothing. `pids()` are the workers; `tell(reason, is_so)` has all
    of them refuse newcomers, and say why."""

    def __init__(self, max_bytes: int, pids: Callable[[], Iterable[int]], tell: Callable[[str, bool], None]) -> None:
        self._mark = MemoryMark(max_bytes)
        self._pids = pids
        self._tell = tell
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        if self._mark.max_bytes:
            self._timer = asyncio.get_running_loop().call_later(LOOK_S, self._tick)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _tick(self) -> None:
        # First: a look that fails must not be the last.
        self.start()
        self.look()

    def look(self) -> None:
        """Look now."""
        used_bytes = sum(resident_bytes(pid) or 0 for pid in self._pids())
        news = self._mark.look(used_bytes)
        fields = {"rss_bytes": used_bytes, "max_memory": self._mark.max_bytes}
        match news:
            case MemoryNews.ABOVE:
                _logger.warning(
                    "the workers use more memory than max_memory; new connections are refused", extra=fields
                )
                self._tell(MEMORY_IS_SHORT, True)
            case MemoryNews.FAR_ABOVE:
                _logger.error(
                    "the workers' memory keeps growing above max_memory although new connections are refused",
                    extra=fields,
                )
            case MemoryNews.BACK:
                _logger.info(
                    "the workers use less memory than max_memory again; new connections are accepted", extra=fields
                )
                self._tell(MEMORY_IS_SHORT, False)
