"""`Clocks`: when what another host sent was sent, on this host's clock, though the clocks of hosts have nothing in common.

What was asked for, and came, was sent after it was asked for: that bounds how far the clocks are apart. NATS may have held up
everything else, or this process have stood still while it waited.
"""

from __future__ import annotations

from wspulse.actors.cluster.lease import lease_clock

__all__ = ["Clocks", "clock"]

clock = lease_clock

_KNOWN_FOR_S = 600.0
"""Two clocks drift apart by some hundredths of a second in that time."""

_KNOWN = 1000


class Clocks:
    """See the module. An asker is whoever numbers its messages' replies; times are of `clock`, here or there."""

    def __init__(self) -> None:
        self._ahead: dict[str, tuple[float, float]] = {}
        """By asker, the least that this clock can be ahead of its own, and when that was found out."""

    def confirm(self, asker: str, sent_at: float, after: float) -> None:
        """What it sent at `sent_at` was sent after `after`, here."""
        least, now = after - sent_at, clock()
        known = self._ahead.pop(asker, None)
        if known is not None and known[0] > least and now < known[1] + _KNOWN_FOR_S:
            self._ahead[asker] = known
            return
        while len(self._ahead) >= _KNOWN:
            del self._ahead[next(iter(self._ahead))]
        self._ahead[asker] = (least, now)

    def earliest(self, asker: str, sent_at: float) -> float | None:
        """When that was here, or later; None where it is not known."""
        now = clock()
        least, found_at = self._ahead.get(asker, (0.0, -_KNOWN_FOR_S))
        if now >= found_at + _KNOWN_FOR_S:
            return None
        if sent_at + least > now:  # it would not have been sent yet: that clock was set back, or stood still
            del self._ahead[asker]
            return None
        return sent_at + least
