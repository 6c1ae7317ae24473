"""Rooms beside the first one: who waits for the barrier, who gives up, and what is left then. The bus is the simulation's."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest

from tests.support.simulation.outside.small import server_options
from tests.support.simulation.world import World
from wspulse.actors.sessions.connections.connection import Connection
from wspulse.actors.values.errors import ConnectionClosedError, ShardUnavailableError


class Stage:
    """One session in front of a bus on which joins take effect only when the test says so."""

    def __init__(self) -> None:
        self.world = world = World(1, server_options(0.0, True, "kick", 4, 30.0, 6.0), frozenset(), 0.5)
        assert world.bus is not None
        self.bus = world.bus
        world.connect("a", "first")
        self.step()
        self.step()
        self.connection: Connection = world.shard.sessions["a"].connection

    def step(self) -> None:
        """A join takes effect, or is reported."""
        self.turn()
        self.bus.join_step()
        self.turn()

    def turn(self) -> None:
        self.world.loop.run_until_idle()

    def start(self, room: str) -> asyncio.Task[None]:
        task = self.world.loop.create_task(self.connection.join(room))
        self.turn()
        return task

    def run(self, call: Coroutine[Any, Any, None]) -> None:
        """What is done at once."""
        task = self.world.loop.create_task(call)
        self.turn()
        assert task.done()
        task.result()

    @property
    def rooms(self) -> dict[str, int]:
        """Those of the shard, with how many are on their way into them."""
        return {room.id: room.joiners for room in self.world.shard.rooms.values() if room.id != "first"}

    def pass_time(self, seconds: float) -> None:
        loop = self.world.loop
        until = loop.now + seconds
        while (due := loop.next_timer()) <= until:
            loop.now = max(due, loop.now)
            loop.turn()
            self.turn()
        loop.now = until
        self.turn()


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage()
    with stage.world.loop:
        yield stage


def test_join_returns_when_the_barrier_has_passed_and_not_before(stage: Stage) -> None:
    join = stage.start("second")
    assert (join.done(), stage.connection.rooms) == (False, ("first",))
    stage.step()
    assert (join.done(), stage.connection.rooms) == (False, ("first",))
    stage.step()
    assert (join.done(), stage.connection.rooms) == (True, ("first", "second"))
    assert stage.rooms == {"second": 0}
    assert stage.start("second").done()


def test_joins_of_one_room_wait_for_one_barrier(stage: Stage) -> None:
    joins = [stage.start("second") for _ in range(3)]
    assert stage.rooms == {"second": 1}
    stage.step()
    stage.step()
    assert [join.done() for join in joins] == [True] * 3


def test_join_that_is_cancelled_takes_its_wish_back_unless_another_waits(stage: Stage) -> None:
    one, other = stage.start("second"), stage.start("second")
    one.cancel()
    stage.turn()
    assert stage.rooms == {"second": 1}
    other.cancel()
    stage.turn()
    assert stage.rooms == {"second": 0}
    stage.step()
    stage.step()
    assert stage.connection.rooms == ("first",)
    stage.pass_time(1)
    assert stage.rooms == {}


@pytest.mark.parametrize("how", ["cancel", "leave", "time"])
def test_joins_that_are_given_up_leave_nothing_with_the_room(stage: Stage, how: str) -> None:
    # Somebody else's, that keeps waiting.
    stage.world.shard.room_table.enter("second")
    deadlines = stage.world.shard._ticker._deadlines
    for _ in range(100):
        join = stage.start("second")
        match how:
            case "cancel":
                join.cancel()
            case "leave":
                stage.world.loop.create_task(stage.connection.leave("second"))
            case _:
                stage.pass_time(5.1)
                assert join.exception() is not None
        stage.turn()
    room = stage.world.shard.rooms["second"]
    assert (room.joiners, room.waiting) == (1, {})
    assert len(deadlines) <= 3


def test_room_that_is_joined_and_left_again_and_again_is_looked_after_once(stage: Stage) -> None:
    stage.start("second")
    stage.step()
    stage.step()
    before = len(stage.world.shard._ticker._deadlines)
    for _ in range(100):
        stage.world.loop.create_task(stage.connection.leave("second"))
        stage.turn()
        assert stage.start("second").done()
    stage.world.loop.create_task(stage.connection.leave("second"))
    stage.turn()
    assert len(stage.world.shard._ticker._deadlines) <= before + 1
    stage.pass_time(1)
    assert stage.rooms == {}


def test_empty_room_is_kept_for_a_while_after_whoever_left_it_last(stage: Stage) -> None:
    stage.start("second")
    stage.step()
    stage.step()
    stage.world.loop.create_task(stage.connection.leave("second"))
    clock = stage.world.shard.clock
    gone_at = clock()
    while clock() < gone_at + 0.4:
        stage.pass_time(0.05)
    assert stage.start("second").done()
    stage.world.loop.create_task(stage.connection.leave("second"))
    while clock() < gone_at + 0.7:
        stage.pass_time(0.05)
    assert stage.rooms == {"second": 0}
    stage.pass_time(1)
    assert stage.rooms == {}


def test_join_that_takes_5_s_raises_and_never_takes_effect(stage: Stage) -> None:
    join = stage.start("second")
    stage.pass_time(4.9)
    assert not join.done()
    stage.pass_time(0.2)
    assert isinstance(join.exception(), ShardUnavailableError)
    stage.step()
    stage.step()
    assert stage.connection.rooms == ("first",)


def test_join_that_is_over_when_the_barrier_passes_in_the_same_moment_has_not_joined(stage: Stage) -> None:
    join = stage.start("second")
    join.cancel()
    # Its end is not told yet: that takes a turn of the loop.
    for joined in (stage.world.shard.rooms["second"].waiting or {}).values():
        joined()
    stage.turn()
    assert join.cancelled()
    assert (stage.connection.rooms, stage.rooms) == (("first",), {"second": 0})


def test_leave_while_a_join_waits_comes_after_it(stage: Stage) -> None:
    join = stage.start("second")
    leave = stage.world.loop.create_task(stage.connection.leave("second"))
    stage.turn()
    assert (leave.done(), join.done(), join.exception()) == (True, True, None)
    assert (stage.connection.rooms, stage.rooms) == (("first",), {"second": 0})
    stage.step()
    stage.step()
    assert stage.connection.rooms == ("first",)


def test_room_that_is_joined_and_left_again_and_again_is_kept_from_its_last_leave_and_has_one_deadline(
    stage: Stage,
) -> None:
    task = stage.start("den")
    stage.step()
    stage.step()
    assert task.done()
    waiting = len(stage.world.shard._ticker)
    for _ in range(20):
        stage.run(stage.connection.leave("den"))
        stage.pass_time(0.01)
        stage.run(stage.connection.join("den"))
    stage.run(stage.connection.leave("den"))
    assert len(stage.world.shard._ticker) == waiting + 1
    stage.pass_time(0.4)
    assert stage.rooms == {"den": 0}, "its first leave is longer ago than the 0.5 s of this bus"
    stage.pass_time(0.2)
    assert stage.rooms == {}
    assert len(stage.world.shard._ticker) == waiting


def test_join_that_waits_when_the_session_ends_raises(stage: Stage) -> None:
    join = stage.start("second")
    stage.world.shard.kick("a")
    stage.turn()
    assert isinstance(join.exception(), ConnectionClosedError)
    assert stage.rooms == {"second": 0}
    assert stage.connection.rooms == ("first",)
    with pytest.raises(ConnectionClosedError):
        stage.start("third").result()


def test_ended_session_names_the_rooms_that_it_was_in_and_is_in_none(stage: Stage) -> None:
    for room in ("second", "third", "fourth"):
        joined = stage.start(room)
        while not joined.done():
            stage.step()
    stage.world.loop.create_task(stage.connection.leave("third"))
    stage.start("fifth")
    stage.world.shard.kick("a")
    stage.turn()
    assert list(stage.connection.rooms) == ["first", "second", "fourth"]
    assert not any(len(room) for room in stage.world.shard.rooms.values())
    stage.world.loop.create_task(stage.connection.leave("second"))
    stage.turn()
    assert list(stage.connection.rooms) == ["first", "fourth"]


def test_rooms_that_wait_count_for_the_limit(stage: Stage) -> None:
    joins = [stage.start(f"room {number}") for number in range(128)]
    with pytest.raises(ValueError, match=r"^wspulse: a connection may be in at most 128 rooms besides its first one$"):
        stage.start("one more").result()
    joins[0].cancel()
    stage.turn()
    assert not stage.start("one more").done()


def test_member_of_one_room_has_nothing_of_the_others(stage: Stage) -> None:
    session = stage.world.shard.sessions["a"]
    assert session.further is None
    leave = stage.world.loop.create_task(stage.connection.leave("nowhere"))
    stage.turn()
    assert (leave.exception(), session.further) == (None, None)
