"""Several transits of one shard, each of which knows of its own sessions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn, cast

import pytest

from wspulse.actors.cluster.between import Between
from wspulse.actors.sessions.shard import Shard
from wspulse.actors.sessions.transfer.transit import Transit
from wspulse.actors.sessions.transfer.transits import begin_transit, end_transit
from wspulse.actors.values.errors import ConnectionNotFoundError, InTransitError, SessionMovedError

OWN_SEAT = 3


class NotedShard:
    seat = OWN_SEAT
    transit: Transit | None = None

    @property
    def asked(self) -> Transit:
        assert self.transit is not None
        return self.transit


class OneTransit:
    """It knows of one id: a session that is between two processes, or one that is at a seat."""

    def __init__(self, connection_id: str, seat: int | None) -> None:
        self.id = connection_id
        self.seat = seat
        self.waiting: list[Callable[[], object]] = []

    def missing(self, connection_id: str, _key: tuple[int, int] | None) -> NoReturn:
        if connection_id != self.id:
            raise ConnectionNotFoundError(connection_id)
        if self.seat is None:
            raise InTransitError(self.waiting.append)
        raise SessionMovedError(self.seat)

    def newcomer_goes_to(self, connection_id: str) -> int:
        if connection_id != self.id:
            return OWN_SEAT
        if self.seat is None:
            raise InTransitError(self.waiting.append)
        return self.seat

    def wait_for(self, connection_id: str, call: Callable[[], object]) -> None:
        if connection_id == self.id:
            self.waiting.append(call)
        else:
            call()

    def frozen(self, connection_id: str, _key: tuple[int, int] | None) -> Any:
        return self if connection_id == self.id else None

    def between(self, _room_id: str | None) -> list[Any]:
        return [self.id]

    def coming(self, _room_id: str | None) -> list[Any]:
        return [self.id]

    def gone_to(self) -> list[int]:
        return [] if self.seat is None else [self.seat]


def two() -> tuple[NotedShard, OneTransit, OneTransit]:
    shard, first, second = NotedShard(), OneTransit("ada", None), OneTransit("bob", 7)
    for transit in (first, second, first, second):
        begin_transit(shard, transit)
    return shard, first, second


def test_shard_asks_all_that_have_begun_and_have_not_ended() -> None:
    shard, first, second = two()
    assert shard.asked.between(None) == shard.asked.coming(None) == ["ada", "bob"]
    assert shard.asked.gone_to() == [7]
    end_transit(shard, first)
    assert shard.asked.between(None) == ["bob"]
    end_transit(shard, first)
    end_transit(shard, second)
    assert shard.transit is None
    end_transit(shard, second)


def test_each_answers_for_its_own_session() -> None:
    shard, first, second = two()
    with pytest.raises(InTransitError):
        shard.asked.missing("ada", None)
    with pytest.raises(SessionMovedError):
        shard.asked.missing("bob", None)
    with pytest.raises(ConnectionNotFoundError):
        shard.asked.missing("eve", None)
    assert shard.asked.frozen("ada", None) is first
    assert shard.asked.frozen("bob", None) is second
    assert shard.asked.frozen("eve", None) is None


def test_newcomer_goes_where_one_of_them_sends_it() -> None:
    shard, _, _ = two()
    with pytest.raises(InTransitError):
        shard.asked.newcomer_goes_to("ada")
    assert shard.asked.newcomer_goes_to("bob") == 7
    assert shard.asked.newcomer_goes_to("eve") == OWN_SEAT


class LeavingTransit(OneTransit):
    """As of a process that is replaced: whatever is not here is another's."""

    def missing(self, _connection_id: str, _key: tuple[int, int] | None) -> NoReturn:
        raise SessionMovedError(7)

    def newcomer_goes_to(self, _connection_id: str) -> int:
        return 7


@pytest.mark.parametrize("is_first", [True, False])
def test_session_on_its_way_to_another_host_is_not_taken_for_one_of_the_process_that_follows(is_first: bool) -> None:
    shard = NotedShard()
    between = Between(cast("Shard", shard), list)
    if is_first:
        begin_transit(shard, LeavingTransit("", None))
    between.add("ada")
    if not is_first:
        begin_transit(shard, LeavingTransit("", None))
    with pytest.raises(InTransitError):
        shard.asked.missing("ada", None)
    with pytest.raises(SessionMovedError):
        shard.asked.missing("eve", None)
    assert shard.asked.newcomer_goes_to("ada") == OWN_SEAT
    assert shard.asked.newcomer_goes_to("eve") == 7
    between.remove("ada")
    assert shard.asked.newcomer_goes_to("ada") == 7


def test_call_that_waits_is_made_once() -> None:
    shard, first, _ = two()
    calls: list[str] = []
    shard.asked.wait_for("eve", lambda: calls.append("eve"))
    assert calls == ["eve"]
    shard.asked.wait_for("ada", lambda: calls.append("ada"))
    assert calls == ["eve"]
    for call in first.waiting:
        call()
    assert calls == ["eve", "ada"]
