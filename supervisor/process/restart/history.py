"""`History`: what is kept of all the workers that have borne one name, one after another.

One per name, for as long as the server runs: who looks at its counters may take differences, whatever becomes of workers. No
I/O.
"""

from __future__ import annotations

from collections import Counter

from wspulse.supervisor.process.tally import Counts, Tally

__all__ = ["History"]


class History:
    """See the module."""

    def __init__(self) -> None:
        self.tally = Tally()
        """What they have counted."""
        self.histograms = Tally()
        """How long things took, as their `Histograms` tell it."""
        self.restarts = 0
        """Starts that followed a crash, or a start that failed."""
        self.restarts_by_reason = Counter[str]()
        """The same by the reasons that the contract of telemetry names."""
        self.is_stuck = False
        """Whether one is killed since its loop stands still."""
        self.last_failure = ""
        """How the last one crashed, or why it could not start."""

    def heard(self, incarnation: int, counters: Counts, histograms: Counts) -> None:
        """A worker has counted and measured so much since its start."""
        self.tally.heard(incarnation, counters)
        self.histograms.heard(incarnation, histograms)

    def restarted(self, reason: str) -> None:
        """Count a start that follows; that of a worker which was killed since it was stuck is for that."""
        self.restarts += 1
        self.restarts_by_reason["stuck" if self.is_stuck else reason] += 1
        self.is_stuck = False
