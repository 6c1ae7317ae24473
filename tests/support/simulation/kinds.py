"""Which kind of history a seed is, and what it shows to be wrong."""

from __future__ import annotations

from tests.support.simulation.history import History
from tests.support.simulation.moves.history import MovingHistory

__all__ = ["MOVES_OF", "history_of", "violation_of_seed"]

MOVES_OF = 10
"""One in so many has sessions that move between processes, and takes as long as three others."""


def history_of(seed: int, trace: list[str] | None = None) -> History:
    """The same seed is the same history."""
    kind = MovingHistory if seed % MOVES_OF == MOVES_OF - 1 else History
    return kind(seed, trace)


def violation_of_seed(seed: int) -> str | None:
    """What the history of this seed shows to be wrong."""
    return history_of(seed).run()
