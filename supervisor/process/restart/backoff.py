"""`Backoff`: how long a shard without a worker waits for its next start. No I/O, no clock of its own.

One per shard, owned by its `Child`. It never says that there is no next start: what a shard's workers fail at (a database
that is away, one poisoned session) may pass, and is no reason to end a server that others use.
"""

from __future__ import annotations

__all__ = ["Backoff"]

FIRST_DELAY_S = 0.1
LAST_DELAY_S = 5.0
"""contract §6: exponential backoff from 0.1 s to 5 s."""

SETTLED_AFTER_S = 10.0
"""A worker that was ready for so long ran well: its crash is a new one, and is repaired at once."""


class Backoff:
    """The failures of one shard in a row."""

    __slots__ = ("_streak",)

    def __init__(self) -> None:
        self._streak = 0

    def failed(self, ready_for_s: float) -> float:
        """The seconds to wait before the next start.

        `ready_for_s` is how long the worker had been ready that ended, 0 when it never was or there was none.
        """
        if ready_for_s >= SETTLED_AFTER_S:
            self._streak = 0
        # Past this exponent the delay has long reached its end; the bound keeps the power small.
        delay_s = min(LAST_DELAY_S, FIRST_DELAY_S * 2.0 ** min(self._streak, 16))
        self._streak += 1
        return delay_s
