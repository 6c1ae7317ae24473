"""`CompanionWatch`: whether a companion process is heard, and what is done about one that is not. No I/O, no clock of its own.

Made for each start of one that says every second that it lives. The judgement is that about workers: one that
is silent for some seconds counts as down, and one that stays so for as long as --stall-timeout is killed, and replaced.
"""

from __future__ import annotations

import logging

from wspulse.supervisor.process.companions.presence import Presence
from wspulse.supervisor.process.watching.liveness import Decision, Liveness
from wspulse.supervisor.process.watching.silence import Silence

__all__ = ["CompanionWatch"]

_logger = logging.getLogger("wspulse.supervisor")


class CompanionWatch:
    """See the module. `name` is what the log calls it, `kind` what it is, and `pid` is for the operator."""

    def __init__(
        self, name: str, kind: str, number: int, pid: int, presence: Presence, stall_timeout_s: float, now: float
    ) -> None:
        self._kind = kind
        self._number = number
        self._presence = presence
        self._fields = {"companion": name, "pid": pid}
        self._liveness = Liveness(stall_timeout_s, now)
        self._silence = Silence(now)

    def heard(self, now: float) -> None:
        """It lives, and accepts clients."""
        self._liveness.heard(now)
        if (silence_s := self._silence.heard(now)) is not None:
            extra = {**self._fields, "silence_s": round(silence_s, 1)}
            _logger.warning(f"a {self._kind} that was silent is back", extra=extra)
        self._presence.up(self._number)

    def look(self, now: float) -> bool:
        """Called at least once a second. Returns whether it is to be killed."""
        if (silence_s := self._silence.look(now)) is not None:
            extra = {**self._fields, "silence_s": round(silence_s, 1)}
            _logger.warning(f"a {self._kind} is silent", extra=extra)
            self._presence.down(self._number)
        decision = self._liveness.tick(now)
        if decision is Decision.DUMP:
            # It has no stacks worth a look: none of the application's code runs there.
            extra = {**self._fields, "silence_s": round(self._liveness.silence_s(now), 1)}
            _logger.error(f"a {self._kind} is stuck and is killed", extra=extra)
        return decision is not Decision.WAIT
