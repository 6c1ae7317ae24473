"""Several `Transit`s of one shard: sessions may move within their host while others go to another host.

Whoever moves sessions begins a transit with its first one and ends it with the last.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn, Protocol

from wspulse.actors.sessions.transfer.transit import Transit
from wspulse.actors.values.errors import ConnectionNotFoundError, InTransitError, SessionMovedError

__all__ = ["begin_transit", "end_transit"]


class TransitShard(Protocol):
    seat: int
    transit: Transit | None


def begin_transit(shard: TransitShard, transit: Transit) -> None:
    """Have the shard ask it too. It may have begun already."""
    known = shard.transit
    if known is None:
        shard.transit = transit
    elif isinstance(known, _Several):
        if transit not in known.transits:
            known.transits.append(transit)
    elif known is not transit:
        shard.transit = _Several(shard.seat, [known, transit])


def end_transit(shard: TransitShard, transit: Transit) -> None:
    """The shard asks it no more."""
    known = shard.transit
    if known is transit:
        shard.transit = None
    elif isinstance(known, _Several) and transit in known.transits:
        known.transits.remove(transit)
        if len(known.transits) == 1:
            shard.transit = known.transits[0]


class _Several:
    """Each knows only of its own sessions: of others it says that nobody has them."""

    __slots__ = ("_seat", "transits")

    def __init__(self, seat: int, transits: list[Transit]) -> None:
        self._seat = seat
        self.transits = transits

    def missing(self, connection_id: str, key: tuple[int, int] | None) -> NoReturn:
        moved: SessionMovedError | None = None
        for transit in self.transits:
            try:
                transit.missing(connection_id, key)
            except ConnectionNotFoundError:
                continue
            except SessionMovedError as error:
                # It is said of all that is not here, also of what is another transit's, and may come back.
                moved = error
        raise moved if moved is not None else ConnectionNotFoundError(connection_id)

    def newcomer_goes_to(self, connection_id: str) -> int:
        for transit in self.transits:
            try:
                transit.missing(connection_id, None)
            except InTransitError:
                # Whose the session is decides.
                return transit.newcomer_goes_to(connection_id)
            except (ConnectionNotFoundError, SessionMovedError):
                continue
        seats = [transit.newcomer_goes_to(connection_id) for transit in self.transits]
        return next((seat for seat in seats if seat != self._seat), self._seat)

    def wait_for(self, connection_id: str, call: Callable[[], object]) -> None:
        for transit in self.transits:
            call = partial(transit.wait_for, connection_id, call)
        call()

    def frozen(self, connection_id: str, key: tuple[int, int] | None) -> Any:
        return next((found for each in self.transits if (found := each.frozen(connection_id, key)) is not None), None)

    def between(self, room_id: str | None) -> list[Any]:
        return [session for transit in self.transits for session in transit.between(room_id)]

    def coming(self, room_id: str | None) -> list[Any]:
        return [session for transit in self.transits for session in transit.coming(room_id)]

    def gone_to(self) -> list[int]:
        return [seat for transit in self.transits for seat in transit.gone_to()]
