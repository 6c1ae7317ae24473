"""`Throttle`: how much one peer may still send, when it is read again, and when it has had enough patience.

One per throttled transport, which tells it what comes. It decides by the time that it is given, and touches no socket.
"""

from __future__ import annotations

from wspulse.actors.values.timing.allowance import Allowance

__all__ = ["PATIENCE_S", "Throttle"]

PATIENCE_S = 10.0
"""contract §3: who sends too much for so long is closed."""

_ONE = 1 - 1e-6
"""A frame, by what floating-point numbers make of the time until it is there."""

_MOMENT_S = 0.001

_CALM_S = 1.0
"""A peer that was never held up for so long sends too much no more."""


class Throttle:
    """See the module. A limit of 0 is none. `max_frames_per_second` and `max_bytes_per_second` each allow a second's worth at
    once."""

    __slots__ = ("_bytes", "_frames", "_held_until", "_over_since", "_wants_frame", "is_waiting")

    def __init__(self, max_frames_per_second: int, max_bytes_per_second: int, now: float) -> None:
        self._frames = Allowance(max_frames_per_second, now) if max_frames_per_second else None
        self._bytes = Allowance(max_bytes_per_second, now) if max_bytes_per_second else None
        self._wants_frame = False
        """Whether something was read that may not be handled yet."""
        self._over_since: float | None = None
        self._held_until = 0.0
        self.is_waiting = False
        """Whether the transport is to look at it again in a while."""

    def read(self, size_bytes: int, now: float) -> None:
        """So much has come from the network."""
        if self._bytes is not None:
            self._bytes.take(size_bytes, now)

    def owes_bytes(self, now: float) -> bool:
        """Whether more has come than may."""
        return self._bytes is not None and self._bytes.level(now) < -1e-6

    def may_handle(self, now: float) -> bool:
        """Whether a message may be handled. If not, the peer is to be held up."""
        self._wants_frame = self._frames is not None and self._frames.level(now) < _ONE
        return not self._wants_frame

    def handled(self, now: float) -> None:
        """A message was."""
        if self._frames is not None:
            self._frames.take(1, now)

    def hold_s(self, now: float) -> float:
        """How long the peer is not to be read; 0 where it is. It is never held up for longer than the rest of its patience;
        where that is over, as for a loop that comes late, a moment, behind which it is seen that it is exhausted."""
        wait_s = 0.0
        if self._bytes is not None:
            wait_s = self._bytes.wait_s(0, now)
        if self._wants_frame and self._frames is not None:
            wait_s = max(wait_s, self._frames.wait_s(1, now))
        if wait_s <= 1e-6:
            self._wants_frame = False
            return 0.0
        if self._over_since is None or now > self._held_until + _CALM_S:
            self._over_since = now
        wait_s = min(wait_s, max(_MOMENT_S, self._over_since + PATIENCE_S - now))
        self._held_until = now + wait_s
        return wait_s

    @property
    def began_s(self) -> float | None:
        """Since when it sends too much."""
        return self._over_since

    def is_exhausted(self, now: float) -> bool:
        """Whether it has sent too much for so long that it is to be closed: asked when it was held up."""
        return self._over_since is not None and now >= self._over_since + PATIENCE_S
