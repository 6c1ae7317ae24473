"""`Echoes`: decides by what a shard sends to itself through the bus whether the bus stands still. No I/O, no clock.

Owned by the bus's watch. An echo goes the way of every broadcast, to the forwarder and back, and only its sender gets it. The
bus stands still when none has come back for 3 s and nothing of others has come either: what does come proves that the
forwarder is at work, and our echo lies behind it. Time in which this process did not run, or its loop was blocked, does not
count: what it did not read is no sign of a stall.
"""

from __future__ import annotations

__all__ = ["ECHO_EVERY_S", "STALLED_S", "Echoes"]

ECHO_EVERY_S = 1.0
"""Often enough to notice a stall in 3 to 4 s. Each costs 0.3 ms of CPU, here and in the forwarder."""

STALLED_S = 3.0
"""The way takes a fraction of a millisecond, and a few tenths of a second when the bus is full. Callers whose broadcasts wait
are told after 5 s."""

OWN_DELAY_S = 0.5
"""Looks that come later than this behind their time say that it was we who stood still."""


class Echoes:
    """See the module. Looked at once every `ECHO_EVERY_S`, from `now` on; times are monotonic."""

    __slots__ = ("_awaited_since", "_looked_at", "_sent", "is_stalled")

    def __init__(self, now: float) -> None:
        self.is_stalled = False
        self._looked_at = now
        self._sent = 0
        self._awaited_since: float | None = None
        """When the oldest echo was sent that may still come back, or when something came last meanwhile."""

    def sent(self, now: float) -> int:
        """An echo goes out, with the number that is returned. The one before may be under way: it is not sent for want of
        an answer, which is not to be expected of one that was published before its subscription had taken effect."""
        self._sent += 1
        if self._awaited_since is None:
            self._awaited_since = now
        return self._sent

    def heard(self, now: float) -> None:
        """Something of others has come."""
        if self._awaited_since is not None and not self.is_stalled:
            self._awaited_since = now

    def returned(self, number: int, now: float) -> float | None:
        """An echo is back. Returns for how many seconds the bus stood still, if it did; else None."""
        since = self._awaited_since
        self._awaited_since = None if number == self._sent else now
        if not self.is_stalled or since is None:
            return None
        self.is_stalled = False
        return now - since

    def look(self, now: float) -> float | None:
        """Whether the bus stands still: for how many seconds, once for each stall; else None."""
        since_look_s = now - self._looked_at
        self._looked_at = now
        since = self._awaited_since
        if since is None:
            return None
        if since_look_s > ECHO_EVERY_S + OWN_DELAY_S:
            # What has come meanwhile may not be read yet.
            self._awaited_since = min(now, since + since_look_s)
            return None
        if self.is_stalled or now - since < STALLED_S:
            return None
        self.is_stalled = True
        return now - since
