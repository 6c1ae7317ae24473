"""`MoveTally`: what a departure has done so far. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

__all__ = ["MoveTally"]


class Paused(Protocol):
    @property
    def pause_s(self) -> float: ...


class MoveTally:
    """See the module."""

    __slots__ = ("drained", "longest_pause_s", "moved")

    def __init__(self) -> None:
        self.moved = 0
        self.drained = 0
        """Closed, since they could not move."""
        self.longest_pause_s = 0.0
        """Between the last byte that one process could take or write for a session and the first that the other could."""

    def note(self, sessions: Iterable[Paused]) -> None:
        for session in sessions:
            self.moved += 1
            self.longest_pause_s = max(self.longest_pause_s, session.pause_s)
