"""What of a peer's doing is said to others, in log lines and answers: `shortened`, how much of a text that it made up;
`LogLimit`, how many lines of a kind in a while, with a count of those left out. No I/O, clock passed in.
"""

from __future__ import annotations

__all__ = ["LogLimit", "shortened"]

_SHOWN_CHARACTERS = 200

_WINDOW_S = 10
"""Whoever reads the log sees that it goes on; a traceback of 40 lines, five times in it, is 20 lines per second, and not 200."""


def shortened(text: str) -> str:
    """`text`, or its first 200 characters and "…": names, and messages of errors that quote their input, may hold what a
    peer made up."""
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"


class LogLimit:
    """A peer must not be able to fill the log: after `burst` lines within `window_s` the rest is only counted."""

    __slots__ = ("_burst", "_in_window", "_suppressed", "_window", "_window_s")

    def __init__(self, burst: int = 5, *, window_s: float = _WINDOW_S) -> None:
        self._burst = burst
        self._window_s = window_s
        self._window = -1
        self._in_window = 0
        self._suppressed = 0

    def admit(self, now: float) -> int | None:
        """None: leave this line out. Else write it; the number is how many were left out since the last one."""
        window = int(now // self._window_s)
        if window != self._window:
            self._window = window
            self._in_window = 0
        self._in_window += 1
        if self._in_window > self._burst:
            self._suppressed += 1
            return None
        suppressed, self._suppressed = self._suppressed, 0
        return suppressed
