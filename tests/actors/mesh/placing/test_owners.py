"""Whoever asks by connection id finds the owner, in the order of the calls, wherever sessions go meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from tests.actors.mesh.placing.moving_world import World
from tests.support.eventually import eventually
from wspulse.actors.mesh.lifecycle import SlotTable
from wspulse.actors.mesh.message import GetStats, Message, SendFrame, WatchClosed
from wspulse.actors.mesh.placement import SETTLING, Placement
from wspulse.actors.mesh.placing.owners import Owners
from wspulse.actors.values.errors import ConnectionNotFoundError, SessionMovedError, ShardUnavailableError

MOST_CALLS = 300
"""Under way at once. Each has 5 s, in which a busy machine comes to many, but not to any number."""


@pytest.mark.race
async def test_frames_keep_their_order_through_holds_redirects_and_flips(draw: Random, race_rounds: int) -> None:
    for _ in range(race_rounds):
        await play(draw)


async def play(draw: Random) -> None:
    names = [f"user-{number}" for number in range(draw.choice((1, 3, 12)))]
    world = World(draw, names)
    calls: list[asyncio.Task[None]] = []
    over = asyncio.Event()

    async def caller() -> None:
        while not over.is_set():
            if sum(world.asked.values()) - sum(map(len, world.got.values())) < MOST_CALLS:
                calls.extend(asyncio.create_task(world.send(draw.choice(names))) for _ in range(draw.randrange(4)))
            await world.turns(4)
            await asyncio.sleep(0)

    callers = [asyncio.create_task(caller()) for _ in range(3)]
    try:
        source, target = draw.sample(range(4), 2)
        for _ in range(4):
            await world.move(source, target)
            # Back again, or on.
            source, target = (target, source) if draw.random() < 0.5 else draw.sample(range(4), 2)
        over.set()
        await asyncio.gather(*callers)
        async with asyncio.timeout(10):
            await asyncio.gather(*calls)
        for name in names:
            assert world.got[name] == list(range(world.asked[name])), name
        assert not world.owners._last
        assert not world.owners._settling
        assert not world.owners._waiting
        assert -1 not in world.owners.placement._table
    finally:
        over.set()
        await asyncio.gather(*callers, *calls, return_exceptions=True)
        await world.stop()


class Actor:
    """A process that answers as it is told, and remembers what it was asked."""

    def __init__(self, answer: Callable[[Message], Any] = lambda _message: "done") -> None:
        self.asked: list[Message] = []
        self.answer = answer

    def tell(self, message: Message) -> None:
        self.asked.append(message)

    async def ask(self, message: Message, *, timeout_s: float | None = None) -> Any:
        self.asked.append(message)
        result = self.answer(message)
        if isinstance(result, asyncio.Future):
            async with asyncio.timeout(timeout_s):
                return await result
        if isinstance(result, Exception):
            raise result
        return result


def moved_to(seat: int) -> Callable[[Message], Any]:
    return lambda _message: SessionMovedError(seat)


def owners_of(*actors: Actor, workers: int = 2) -> Owners:
    return Owners(Placement(workers), dict(enumerate(actors)))


def name_at(owners: Owners, seat: int) -> str:
    return owners.placement.new_id(seat)


def table(version: int, owner: int) -> SlotTable:
    """All slots at one seat."""
    return SlotTable(version, 1, owner.to_bytes(2, "little") * 1024)


def message(name: str, number: int = 0) -> SendFrame:
    return SendFrame(name, str(number).encode())


async def test_ask_follows_a_session_that_has_moved() -> None:
    source, target = Actor(moved_to(1)), Actor()
    owners = owners_of(source, target)
    name = name_at(owners, 0)
    assert await owners.ask(name, message(name)) == "done"
    assert await owners.ask(name, WatchClosed(name, (1, 1)), timeout_s=None) == "done"
    assert source.asked == target.asked


async def test_ask_for_a_seat_that_is_not_known_yet_waits_for_it_until_its_deadline() -> None:
    owners = owners_of(Actor(moved_to(7)), Actor())
    name = name_at(owners, 0)
    with pytest.raises(ShardUnavailableError, match="there is no process at seat 7"):
        await owners.ask(name, message(name), timeout_s=0.05)
    asking = asyncio.create_task(owners.ask(name, message(name), timeout_s=5))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    refs = owners._refs
    assert isinstance(refs, dict)
    refs[7] = Actor()
    owners.seats_changed()
    assert await asyncio.wait_for(asking, 1) == "done"
    assert await owners.ask_at(7, GetStats()) == "done"


async def test_ask_that_was_sent_to_one_that_has_died_since_is_asked_anew_of_whoever_named_it() -> None:
    source = Actor(moved_to(7))
    owners = owners_of(source, Actor())
    name = name_at(owners, 0)
    asking = asyncio.create_task(owners.ask(name, message(name), timeout_s=5))
    await eventually(lambda: len(source.asked) > 1, "it is asked again")
    source.answer = lambda _message: "done"
    assert await asyncio.wait_for(asking, 1) == "done"
    assert not owners._for_seats


async def test_processes_that_name_each_other_keep_no_loop_busy() -> None:
    owners = owners_of(Actor(moved_to(1)), Actor(moved_to(0)))
    name = name_at(owners, 0)
    with pytest.raises(ShardUnavailableError):
        await owners.ask(name, message(name), timeout_s=0.1)
    first, second = owners._refs.values()
    assert isinstance(first, Actor)
    assert isinstance(second, Actor)
    assert len(first.asked) + len(second.asked) <= 16


async def test_slot_that_changes_hands_settles_when_the_former_owner_has_answered() -> None:
    loop = asyncio.get_running_loop()
    answers = [loop.create_future() for _ in range(2)]
    waiting = iter(answers)
    source, target = Actor(lambda _message: next(waiting)), Actor()
    owners = owners_of(source, target)
    name, other = name_at(owners, 0), name_at(owners, 0)
    while owners.placement.slot_of(name) == owners.placement.slot_of(other):
        other = name_at(owners, 0)
    asking = [asyncio.create_task(owners.ask(name, message(name, number))) for number in range(2)]
    await asyncio.sleep(0)
    assert owners.adopt(table(1, 1)) == {0}
    assert owners.placement.shard_of(name) == SETTLING
    assert owners.placement.final_owner(name) == 1
    assert owners.placement.shard_of(other) == 1, "of which nothing is under way"
    later = asyncio.create_task(owners.ask(name, message(name, 2)))
    assert await owners.ask(other, message(other)) == "done"
    answers[0].set_result("done")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert owners.placement.shard_of(name) == SETTLING
    assert len(target.asked) == 1, "what is new waits for both"
    answers[1].set_exception(SessionMovedError(1))
    await asyncio.gather(*asking, later)
    assert [each.wire for each in target.asked if isinstance(each, SendFrame)] == [b"0", b"1", b"2"]
    assert len(source.asked) == 2
    assert owners.placement.shard_of(name) == 1


async def test_wait_without_a_deadline_holds_no_slot_up() -> None:
    loop = asyncio.get_running_loop()
    answer = loop.create_future()
    owners = owners_of(Actor(lambda _message: answer), Actor())
    name = name_at(owners, 0)
    watching = asyncio.create_task(owners.ask(name, WatchClosed(name, (1, 1)), timeout_s=None))
    await asyncio.sleep(0)
    owners.adopt(table(1, 1))
    assert owners.placement.shard_of(name) == 1
    answer.set_exception(SessionMovedError(1))
    assert await watching == "done"


async def test_caller_that_gives_up_holds_no_slot_up() -> None:
    loop = asyncio.get_running_loop()
    owners = owners_of(Actor(lambda _message: loop.create_future()), Actor())
    name = name_at(owners, 0)
    asking = asyncio.create_task(owners.ask(name, message(name)))
    await asyncio.sleep(0)
    owners.adopt(table(1, 1))
    waiting = [asyncio.create_task(owners.ask(name, message(name, number), timeout_s=5)) for number in (1, 2)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    asking.cancel()
    assert await asyncio.wait_for(waiting[1], 1) == "done"
    assert owners.placement.shard_of(name) == 1
    assert not owners._last


async def test_table_of_a_lower_version_is_void() -> None:
    owners = owners_of(Actor(), Actor())
    assert owners.adopt(table(2, 1)) == {0}
    assert owners.adopt(table(1, 0)) == set()
    assert owners.adopt(table(2, 0)) == set()
    assert set(owners.placement._table) == {1}


async def test_tell_is_done_behind_what_was_asked_and_tells_nobody_that_it_failed() -> None:
    source, target = Actor(moved_to(1)), Actor()
    owners = owners_of(source, target)
    name = name_at(owners, 0)
    first = asyncio.create_task(owners.ask(name, message(name, 0)))
    await asyncio.sleep(0)
    owners.tell(name, message(name, 1))
    later = asyncio.create_task(owners.ask(name, message(name, 2)))
    await asyncio.gather(first, later)
    await asyncio.sleep(0)
    assert [each.wire for each in target.asked if isinstance(each, SendFrame)] == [b"0", b"1", b"2"]
    target.answer = lambda _message: ConnectionNotFoundError(name)
    owners.tell(name, message(name, 3))
    await eventually(lambda: not owners._tells, "it is done")


async def test_ask_whose_time_passed_while_another_was_asked_is_not_done() -> None:
    def late(_message: Message) -> SessionMovedError:
        time.sleep(0.06)  # the loop stood still
        return SessionMovedError(1)

    source, target = Actor(late), Actor()
    owners = owners_of(source, target)
    name = name_at(owners, 0)
    with pytest.raises(ShardUnavailableError):
        await owners.ask(name, message(name), timeout_s=0.05)
    assert target.asked == []
