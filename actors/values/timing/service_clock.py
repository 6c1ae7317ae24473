"""`ServiceClock`: the seconds in which a process could serve: it stands while the process was stopped or its loop blocked.

One per shard, kept going by its ticker; whatever a peer is given time for is measured by it, so that nobody is judged for what
we did not do. No I/O: the real time comes from the callable that it is given.
"""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["BEAT_S", "SETTLE_S", "ServiceClock"]

BEAT_S = 0.25
"""At most so long after one `beat` the next one is to come."""

SETTLE_S = 1.0
"""So long the clock goes on standing after a gap, while what has arrived meanwhile is taken: bytes, and connections that wait to
be accepted."""

_STRIDE_S = 2 * BEAT_S
"""How far the clock goes without a beat. Less is the ordinary lateness of a busy loop, which counts as time."""


class ServiceClock:
    """Called, it gives seconds on a monotonic scale that begins as that of `real`."""

    __slots__ = ("_away_s", "_horizon", "_is_settling", "_real")

    def __init__(self, real: Callable[[], float]) -> None:
        self._real = real
        self._away_s = 0.0
        self._horizon = float("inf")
        self._is_settling = False

    def __call__(self) -> float:
        now = self._real() - self._away_s
        horizon = self._horizon
        return now if now < horizon else horizon  # noqa: FURB136 (`min` costs more than all the rest)

    @property
    def behind_s(self) -> float:
        """How far this clock is behind the real time, with which other processes are told of a deadline."""
        return self._real() - self()

    def rest(self) -> None:
        """Nobody waits for a time: no beats come, and none are missed."""
        self._horizon = float("inf")
        self._is_settling = False

    def begin(self) -> None:
        """Beats come from now on, one every `BEAT_S`."""
        self._horizon = self._real() - self._away_s + _STRIDE_S

    def beat(self) -> bool:
        """The loop is here. Returns whether it was away: then the clock stands, and the next beat is to come after `SETTLE_S`."""
        now = self._real() - self._away_s
        late_s = now - self._horizon
        if late_s > 0:
            self._away_s += late_s
            now = self._horizon
            if not self._is_settling:
                self._is_settling = True
                return True
        self._is_settling = False
        self._horizon = now + _STRIDE_S
        return False
