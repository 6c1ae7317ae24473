"""`DrainSpread`: closes sessions that cannot move, so that their clients come back one after another.

Made by a departure, and by a shard that ends for a replacement without moving anything. The close frame says how long a client
is to wait before it comes back; those that are told a longer time are closed later, too.
"""

from __future__ import annotations

from functools import partial
from random import random

from wspulse.actors.sessions.session import Session
from wspulse.actors.sessions.shard import Shard
from wspulse.actors.sessions.state import SessionEvent, SessionState
from wspulse.actors.values.close_code import CloseReason
from wspulse.actors.values.errors import ServerClosedError

__all__ = ["DrainSpread"]

_RETRY_S = 1.0
"""How long clients are to wait at most, drawn for each, before they come back."""


class DrainSpread:
    """See the module. All are closed within `spread_s`."""

    __slots__ = ("_shard", "_spread_s")

    def __init__(self, shard: Shard, spread_s: float) -> None:
        self._shard = shard
        self._spread_s = spread_s

    def close(self, session: Session) -> None:
        """At a moment that is drawn for it; at once where nothing is spread."""
        if not self._spread_s:
            _close(session, 0.0)
            return
        self._shard.at(self._shard.clock() + random() * self._spread_s, partial(_close, session))


def _close(session: Session, _now: float) -> None:
    if session.state is SessionState.CLOSED:
        return
    retry_ms = round(random() * _RETRY_S * 1000)
    row = CloseReason.RESTART
    close = row._replace(reason=f"{row.reason}; retry={retry_ms}")
    session.flush_rooms()
    session.apply(SessionEvent.SERVER_CLOSE, error=ServerClosedError(), close=close)
