"""Open means joined: everything that is published once a room is joined is delivered, however often rooms come and go."""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import partial
from pathlib import Path
from random import Random

import pytest

from tests.support.buses.endpoint import Endpoint
from tests.support.buses.stage import KINDS, SHARED, Stage, staged
from tests.support.eventually import eventually

ROOMS = [f"room{number}" for number in range(6)]


class Talkers:
    """Every endpoint but the last numbers what it publishes to each room."""

    def __init__(self, stage: Stage) -> None:
        self.published: Counter[tuple[int, str]] = Counter()
        self._stage = stage

    def publish(self, who: int, room: str) -> bytes:
        wire = b"%d %d" % (who, self.published[who, room])
        assert self._stage[who].bus.publish(room, wire)
        self.published[who, room] += 1
        return wire

    async def talk(self, draw: Random) -> None:
        while True:
            for who in range(len(self._stage.endpoints) - 1):
                self.publish(who, draw.choice(ROOMS))
            await asyncio.sleep(draw.choice((0, 0, 0.001)))


def assert_complete(endpoint: Endpoint, room: str, since: dict[int, int], until: dict[int, int]) -> None:
    """All that was published to a room since it was joined has come, once and in order."""
    for who, first in since.items():
        numbers = [int(wire.split()[1]) for wire in endpoint.of(room) if wire.startswith(b"%d " % who)]
        numbers = [number for number in numbers if number >= first]
        assert numbers == list(range(first, first + len(numbers))), (room, who)
        assert numbers[-1:] == [until[who]], (room, who)


@pytest.mark.race
@pytest.mark.parametrize("kind", SHARED)
async def test_who_joins_in_the_midst_of_broadcasts_misses_none(
    kind: str, tmp_path: Path, draw: Random, race_rounds: int
) -> None:
    async with staged(kind, tmp_path, draw, 4) as stage:
        talkers = Talkers(stage)
        newcomer = stage[3]
        talking = asyncio.create_task(talkers.talk(Random(draw.random())))

        async def come_and_go(room: str, draw: Random) -> None:
            for _ in range(8 * race_rounds):
                joined = asyncio.Event()
                since: dict[int, int] = {}

                def note(joined: asyncio.Event = joined, since: dict[int, int] = since) -> None:
                    since.update({who: talkers.published[who, room] for who in range(3)})
                    joined.set()

                newcomer.delivered = [each for each in newcomer.delivered if each[0] != room]
                newcomer.bus.join(room, note)
                async with asyncio.timeout(20):
                    await joined.wait()
                await asyncio.sleep(draw.choice((0, 0.002)))
                last = {who: talkers.publish(who, room) for who in range(3)}
                until = {who: int(wire.split()[1]) for who, wire in last.items()}

                def have_come(last: dict[int, bytes] = last) -> bool:
                    return set(last.values()) <= set(newcomer.of(room))

                await eventually(have_come, "the last ones have come")
                got = newcomer.delivered
                newcomer.delivered = [
                    (each, wire)
                    for each, wire in got
                    if each != room or int(wire.split()[1]) <= until[int(wire.split()[0])]
                ]
                assert_complete(newcomer, room, since, until)
                newcomer.bus.leave(room)
                await asyncio.sleep(draw.choice((0, 0, 0.001)))

        try:
            await asyncio.gather(*(come_and_go(room, Random(draw.random())) for room in ROOMS))
        finally:
            talking.cancel()
            await asyncio.wait({talking})
        assert newcomer.metrics.bus_gaps == 0


@pytest.mark.parametrize("kind", KINDS)
async def test_many_rooms_that_are_joined_in_one_turn_are_all_joined(kind: str, tmp_path: Path, draw: Random) -> None:
    """More than ZeroMQ lets wait of subscriptions, unless told otherwise; it drops the rest and says nothing."""
    async with staged(kind, tmp_path, draw, 2) as stage:
        rooms = [f"room{number}" for number in range(3000)]
        joined: list[str] = []
        for room in rooms:
            stage[0].bus.join(room, partial(joined.append, room))
        await eventually(lambda: len(joined) == len(rooms), "all are joined", 20)
        for room in rooms:
            assert stage[-1].bus.publish(room, room.encode())
        await eventually(lambda: len(stage[0].delivered) >= len(rooms), "a frame of each room has come", 20)
        assert sorted(stage[0].delivered) == sorted((room, room.encode()) for room in rooms)


@pytest.mark.parametrize("kind", SHARED)
async def test_room_that_is_left_before_it_is_joined_never_is(kind: str, tmp_path: Path, draw: Random) -> None:
    async with staged(kind, tmp_path, draw, 1) as stage:
        stage[0].bus.join("room", lambda: pytest.fail("joined"))
        stage[0].bus.leave("room")
        await stage[0].join("other")
        stage[0].bus.join("room", lambda: pytest.fail("joined"))
        await asyncio.sleep(0)
        stage[0].bus.leave("room")
        await stage[0].join("another")
