"""`Drain`: closes sessions whose process ends, or which cannot move, so that their clients come back one after another.

Made by a departure for those that cannot move, and at the end of a shard for all that it has. Where only a process is replaced
the close frame says how long a client is to wait before it comes back.
"""

from __future__ import annotations

from functools import partial
from random import random

from wspulse.actors.sessions.session import Session
from wspulse.actors.sessions.shard import Shard
from wspulse.actors.sessions.state import SessionEvent, SessionState
from wspulse.actors.values.close_code import CloseReason, CloseRow
from wspulse.actors.values.errors import ServerClosedError

__all__ = ["Drain"]

_RETRY_S = 1.0
"""How long clients are to wait at most, drawn for each, before they come back."""


class Drain:
    """See the module. All are closed within `spread_s`, each at a moment that is drawn for it; `restarts`: the server goes on."""

    __slots__ = ("_restarts", "_shard", "_spread_s")

    def __init__(self, shard: Shard, *, spread_s: float = 0.0, restarts: bool = False) -> None:
        self._shard = shard
        self._spread_s = spread_s
        self._restarts = restarts

    def close(self, session: Session) -> None:
        """Close it when its moment comes; at once where nothing is spread."""
        if self._spread_s:
            self._shard.at(self._shard.clock() + random() * self._spread_s, partial(self._close, session))
        else:
            self._close(session, 0.0)

    def _close(self, session: Session, _now: float) -> None:
        if session.state is not SessionState.CLOSED:
            # Broadcasts of this loop turn are queued for it too, and what is queued is sent first.
            session.flush_rooms()
            session.apply(SessionEvent.SERVER_CLOSE, error=ServerClosedError(), close=self._row())

    def _row(self) -> CloseRow:
        if not self._restarts:
            return CloseReason.SERVER_CLOSE
        row = CloseReason.RESTART
        return row._replace(reason=f"{row.reason}; retry={round(random() * _RETRY_S * 1000)}")
