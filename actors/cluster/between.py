"""`Between`: ids whose sessions are between this host and another, and who waits until it is known where they are.

One per shard, and its `Transit` meanwhile. What is asked about such an id waits; so does a newcomer, which the shard takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NoReturn

from wspulse.actors.moving.waiting import Waiting
from wspulse.actors.sessions.rooms.membership import rooms_of
from wspulse.actors.sessions.session import Session
from wspulse.actors.sessions.shard import Shard
from wspulse.actors.sessions.transfer.transits import begin_transit, end_transit
from wspulse.actors.values.errors import ConnectionNotFoundError, InTransitError

__all__ = ["Between"]


class Between(Waiting):
    """See the module. `leaving()` are the sessions that are in no table here, and may come back."""

    __slots__ = ("_leaving", "_shard")

    def __init__(self, shard: Shard, leaving: Callable[[], Iterable[Session]]) -> None:
        super().__init__()
        self._shard = shard
        self._leaving = leaving

    def add(self, connection_id: str) -> None:
        begin_transit(self._shard, self)
        super().add(connection_id)

    def remove(self, connection_id: str) -> None:
        super().remove(connection_id)
        if not self:
            end_transit(self._shard, self)

    # What the shard asks: see `Transit`.

    def missing(self, connection_id: str, _key: tuple[int, int] | None) -> NoReturn:
        if connection_id in self:
            raise InTransitError(partial(self.wait, connection_id))
        raise ConnectionNotFoundError(connection_id)

    def newcomer_goes_to(self, _connection_id: str) -> int:
        return self._shard.seat

    def wait_for(self, connection_id: str, call: Callable[[], object]) -> None:
        self.wait(connection_id, call)

    def frozen(self, _connection_id: str, _key: tuple[int, int] | None) -> Any:
        """Who sends waits: nothing is kept here for a session that goes to another host but what its own connection sends."""
        return None

    def between(self, room_id: str | None) -> list[Any]:
        return [session for session in self._leaving() if room_id is None or room_id in rooms_of(session)]

    def coming(self, _room_id: str | None) -> list[Any]:
        return []

    def gone_to(self) -> list[int]:
        return []
