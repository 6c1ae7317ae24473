"""`Silence`: decides that a worker has not been heard for longer than a healthy loop ever is, and that it is back. No I/O, no
clock of its own.

One per started worker, owned by its `Child`. It is about telling people; what is done about a worker that stays silent decides
`Liveness`, much later.
"""

from __future__ import annotations

__all__ = ["SILENT_S", "Silence"]

SILENT_S = 3.0
"""Workers say every second that they live."""

OWN_DELAY_S = 1.5
"""Between two looks, of which there is one a second or more. Where it was longer, it was the supervisor that stood still, and
what the workers said meanwhile is still unread."""


class Silence:
    """See the module. It is armed by the worker's first message, and looked at once the worker serves: one that loads its
    application says nothing."""

    __slots__ = ("_heard_at", "_looked_at", "is_told")

    def __init__(self, now: float) -> None:
        self.is_told = False
        """Whether somebody was told that it is silent, and not yet that it is back."""
        self._heard_at: float | None = None
        self._looked_at = now

    def heard(self, now: float) -> float | None:
        """Returns for how many seconds the worker was silent, if that was told; else None."""
        silence_s = self.silence_s(now)
        self._heard_at = now
        if not self.is_told:
            return None
        self.is_told = False
        return silence_s

    def look(self, now: float) -> float | None:
        """Returns for how many seconds the worker has been silent, when it is time to tell that, once; else None."""
        since_look_s = now - self._looked_at
        self._looked_at = now
        if self._heard_at is None:
            return None
        if since_look_s > OWN_DELAY_S:
            self._heard_at = min(now, self._heard_at + since_look_s)
            return None
        if self.is_told or now - self._heard_at < SILENT_S:
            return None
        self.is_told = True
        return now - self._heard_at

    def silence_s(self, now: float) -> float:
        """How long ago the worker was heard, but for the time in which the supervisor stood still; 0 before its first message."""
        return 0.0 if self._heard_at is None else now - self._heard_at
