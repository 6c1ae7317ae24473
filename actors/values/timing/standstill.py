"""`Standstill`: decides that a loop stood still for over a second, and what that looks like from inside. No I/O, no clock.

One for the loop of each worker and of the supervisor, looked at by a timer of that loop. It tells of the whole process having
been stopped as well as of a handler that blocked: as far as clocks can, it tells them apart.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["BUSY", "IDLE", "SUSPENDED", "Standstill", "Stood"]

TOLD_S = 1.0
"""Far more than garbage collection, or a busy machine, take."""

TOLD_EVERY_S = 10.0
"""A handler that blocks may be called by strangers. A stop twice as long as the last that was told is told all the same."""

BUSY_SHARE = 0.1
"""Of the time in which the loop stood still, in which the CPU was used. A stopped process uses none; one that computes may have
to share its core with many."""

BUSY = (
    "the event loop was blocked: some code ran without awaiting, and no client was served; under a supervisor, its stack is "
    "logged if that lasts for --stall-timeout"
)
IDLE = (
    "the event loop stood still without using the CPU: the process was stopped or had to wait for the CPU, or a call blocked "
    "it; under a supervisor, the stack of the call is logged if that lasts for --stall-timeout"
)
SUSPENDED = "the machine was suspended"


class Stood(NamedTuple):
    """What to say, at level warning."""

    sentence: str
    fields: dict[str, float]


class Standstill:
    """See the module. Looked at every `period_s`; times are seconds: `now` of a monotonic clock, `boot` of one that goes on
    while the machine is suspended, `cpu` of what this process has used of the CPU."""

    __slots__ = ("_boot", "_cpu", "_now", "_period_s", "_told_at", "_told_s", "_untold")

    def __init__(self, period_s: float, now: float, boot: float, cpu: float) -> None:
        self._period_s = period_s
        self._now, self._boot, self._cpu = now, boot, cpu
        self._told_at = float("-inf")
        self._told_s = 0.0
        self._untold = 0

    def look(self, now: float, boot: float, cpu: float) -> Stood | None:
        """What is to be said of the time since the last look; None for nothing."""
        suspended_s = max(0.0, (boot - self._boot) - (now - self._now))
        stood_s = now - self._now - self._period_s + suspended_s
        cpu_s = cpu - self._cpu
        self._now, self._boot, self._cpu = now, boot, cpu
        if stood_s <= TOLD_S:
            return None
        if now - self._told_at < TOLD_EVERY_S and stood_s < 2 * self._told_s:
            self._untold += 1
            return None
        self._told_at, self._told_s = now, stood_s
        untold, self._untold = self._untold, 0
        sentence = SUSPENDED if suspended_s > TOLD_S else BUSY if cpu_s >= stood_s * BUSY_SHARE else IDLE
        return Stood(sentence, {"stood_still_s": round(stood_s, 1), "cpu_s": round(cpu_s, 1), "not_logged": untold})
