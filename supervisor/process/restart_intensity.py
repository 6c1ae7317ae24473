"""`RestartIntensity`: whether and when a crashed worker is started again. No I/O, no clock of its own.

One per shard, owned by its `Child`. The words are OTP's: more than `max_restarts` within `period_s` and the supervisor
gives up, since what fails that often will not be mended by the next start.
"""

from __future__ import annotations

from collections import deque

__all__ = ["RestartIntensity"]

MAX_RESTARTS = 5
PERIOD_S = 60.0
"""contract.md §6: more than 5 restarts of one shard in 60 s stop the server."""

FIRST_DELAY_S = 0.1
LAST_DELAY_S = 5.0
"""contract.md §6: exponential backoff from 0.1 s to 5 s."""

SETTLED_AFTER_S = 10.0
"""A worker that was ready for so long ran well: its crash is a new one, and is repaired at once."""


class RestartIntensity:
    """Counts the restarts of one shard."""

    __slots__ = ("_restarts", "_streak")

    def __init__(self) -> None:
        self._restarts: deque[float] = deque()
        self._streak = 0

    def crashed(self, now: float, ready_for_s: float) -> float | None:
        """The seconds to wait before the next start; None: this would be one restart too many, give up.

        `ready_for_s` is how long the crashed worker had been ready, 0 when it never was.
        """
        while self._restarts and now - self._restarts[0] >= PERIOD_S:
            self._restarts.popleft()
        if len(self._restarts) >= MAX_RESTARTS:
            return None
        self._restarts.append(now)
        if ready_for_s >= SETTLED_AFTER_S:
            self._streak = 0
        # Past this exponent the delay has long reached its end; the bound keeps the power small.
        delay_s = min(LAST_DELAY_S, FIRST_DELAY_S * 2.0 ** min(self._streak, 16))
        self._streak += 1
        return delay_s
