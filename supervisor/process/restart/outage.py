"""`Outage`: decides that a server whose workers all fail is not worth going on with. No I/O, no clock of its own.

One per server, owned by `Workers`, which says at every look whether there is anybody who serves. While one worker does, the
others may fail for ever.
"""

from __future__ import annotations

__all__ = ["Outage"]

OWN_DELAY_S = 3.0
"""Looks come every second or more often. When one comes later than this it was the supervisor that stood still (stopped by a
signal, or its machine frozen), and its workers had no time to become ready either."""


class Outage:
    """How long no worker has been ready; the start of the server, `now`, begins with none."""

    __slots__ = ("_give_up_after_s", "_last_look", "_lasted_s", "_was_served")

    def __init__(self, give_up_after_s: float, now: float) -> None:
        self._give_up_after_s = give_up_after_s
        self._last_look = now
        self._lasted_s = 0.0
        self._was_served = False

    def look(self, now: float, is_served: bool) -> bool:
        """Whether it has lasted too long. `is_served`: a worker is ready, or was since the last look."""
        since_s, self._last_look = now - self._last_look, now
        if is_served:
            self._lasted_s = 0.0
        elif not self._was_served:
            self._lasted_s += min(since_s, OWN_DELAY_S)
        self._was_served = is_served
        return self._lasted_s >= self._give_up_after_s
