"""`MoveTally`: what a departure has done so far. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from wspulse.actors.values.metrics import Metrics

__all__ = ["MoveTally"]


class Paused(Protocol):
    @property
    def pause_s(self) -> float: ...


class MoveTally:
    """See the module. What it counts, `metrics` counts too."""

    __slots__ = ("_metrics", "_pauses", "drained", "longest_pause_s", "moved")

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._pauses = metrics.histograms.of("wspulse_move_seconds")
        self.moved = 0
        self.drained = 0
        """Closed, since they could not move."""
        self.longest_pause_s = 0.0
        """Between the last byte that one process could take or write for a session and the first that the other could."""

    def note(self, sessions: Iterable[Paused]) -> None:
        for session in sessions:
            self.moved += 1
            self._metrics.moves_moved += 1
            self._pauses.observe(session.pause_s)
            self.longest_pause_s = max(self.longest_pause_s, session.pause_s)

    def closed(self) -> None:
        """One could not move, or was not to."""
        self.drained += 1
        self._metrics.moves_closed += 1
