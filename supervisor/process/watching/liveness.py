"""`Liveness`: decides that a worker's loop is stuck. No I/O, no clock of its own.

One per started worker, owned by its `Child`, which reports what it hears from the worker and asks for a decision at
every tick.
"""

from __future__ import annotations

import enum

__all__ = ["Decision", "Liveness"]

DUMP_BEFORE_KILL_S = 0.5
"""The stacks are written by a signal handler in C: this is plenty even on a loaded machine."""

OWN_DELAY_S = 3.0
"""Ticks come every second, or four times per stall timeout. When one comes later than this, or than half the timeout, it
was the supervisor that stood still (stopped by a signal, or its machine frozen), and what the workers said meanwhile is
still unread: the silence is not theirs."""


class Decision(enum.Enum):
    WAIT = "wait"
    DUMP = "dump the worker's stacks"
    KILL = "kill the worker"


class Liveness:
    """The silence of one worker, started `now`. It is armed by the first message: a slow import is no stuck loop."""

    __slots__ = ("_dumped_at", "_heard_at", "_last_tick", "_stall_timeout_s")

    def __init__(self, stall_timeout_s: float, now: float) -> None:
        self._stall_timeout_s = stall_timeout_s
        self._heard_at: float | None = None
        self._dumped_at: float | None = None
        self._last_tick = now

    @property
    def is_armed(self) -> bool:
        """Whether the worker's loop has been heard at all."""
        return self._heard_at is not None

    def heard(self, now: float) -> None:
        self._heard_at = now

    def silence_s(self, now: float) -> float:
        """How long ago the worker was last heard; 0 before its first message."""
        return 0.0 if self._heard_at is None else now - self._heard_at

    def tick(self, now: float) -> Decision:
        """DUMP once, when the silence exceeds the stall timeout, then KILL, also when the worker comes back meanwhile:
        what its clients were told during the stall (no pongs, no answers) cannot be taken back."""
        since_tick_s = now - self._last_tick
        self._last_tick = now
        if self._dumped_at is not None:
            return Decision.KILL if now - self._dumped_at >= DUMP_BEFORE_KILL_S else Decision.WAIT
        if self._heard_at is None:
            return Decision.WAIT
        if since_tick_s > min(OWN_DELAY_S, self._stall_timeout_s / 2):
            self._heard_at = min(now, self._heard_at + since_tick_s)
            return Decision.WAIT
        if now - self._heard_at <= self._stall_timeout_s:
            return Decision.WAIT
        self._dumped_at = now
        return Decision.DUMP
