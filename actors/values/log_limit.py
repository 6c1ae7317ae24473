"""`LogLimit`: at most so many log lines of a kind per second, and a count of those left out. No I/O, clock passed in."""

from __future__ import annotations

__all__ = ["LogLimit"]


class LogLimit:
    """A peer must not be able to fill the log: after `burst` lines within a second the rest is only counted."""

    __slots__ = ("_burst", "_in_window", "_suppressed", "_window")

    def __init__(self, burst: int = 5) -> None:
        self._burst = burst
        self._window = -1
        self._in_window = 0
        self._suppressed = 0

    def admit(self, now: float) -> int | None:
        """None: leave this line out. Else write it; the number is how many were left out since the last one."""
        window = int(now)
        if window != self._window:
            self._window = window
            self._in_window = 0
        self._in_window += 1
        if self._in_window > self._burst:
            self._suppressed += 1
            return None
        suppressed, self._suppressed = self._suppressed, 0
        return suppressed
