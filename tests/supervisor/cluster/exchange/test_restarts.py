"""A gateway that is killed and comes back: what was taken comes once and in order, everywhere, whatever was under way."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from pathlib import Path
from random import Random

import pytest

from tests.support.buses.endpoint import Endpoint
from tests.support.buses.stage import GatewayStage
from tests.support.eventually import eventually

ROOMS = [f"room{number}" for number in range(12)]


class Talk:
    """What was published to each room by whom, and what of it was acknowledged."""

    def __init__(self) -> None:
        self.taken: defaultdict[tuple[str, int], list[bytes]] = defaultdict(list)
        self.acknowledged: set[tuple[str, bytes]] = set()
        self.over = False

    async def wait(self, endpoint: Endpoint, room: str, draw: Random) -> None:
        """Of callers that wait."""
        while not self.over:
            wire = self._next(endpoint, room)
            await endpoint.bus.publish_when_free(room, wire)
            self.acknowledged.add((room, wire))
            await asyncio.sleep(draw.choice((0, 0.001, 0.02)))

    async def hurry(self, endpoint: Endpoint, rooms: list[str], draw: Random) -> None:
        """Of callers that do not."""
        while not self.over:
            room = draw.choice(rooms)
            assert endpoint.bus.publish(room, self._next(endpoint, room))
            await asyncio.sleep(draw.choice((0, 0, 0.001, 0.02)))

    def _next(self, endpoint: Endpoint, room: str) -> bytes:
        taken = self.taken[room, endpoint.incarnation]
        taken.append(b"%d %d" % (endpoint.incarnation, len(taken)))
        return taken[-1]

    def count(self, room: str) -> int:
        return sum(len(taken) for (each, _), taken in self.taken.items() if each == room)


async def come_and_go(endpoint: Endpoint, rooms: list[str], talk: Talk, draw: Random) -> None:
    """What is published once a room is joined comes, whatever gateway there is then."""
    while not talk.over:
        room = draw.choice(rooms)
        since: dict[int, int] = {}
        joined = asyncio.Event()

        def note(room: str = room, since: dict[int, int] = since, joined: asyncio.Event = joined) -> None:
            since.update({who: len(taken) for (each, who), taken in talk.taken.items() if each == room})
            joined.set()

        endpoint.bus.join(room, note)
        await joined.wait()
        first = len(endpoint.delivered)
        await asyncio.sleep(draw.random() * 0.3)
        until = {who: len(taken) for (each, who), taken in talk.taken.items() if each == room}

        def got(room: str = room, first: int = first) -> dict[int, list[int]]:
            numbers: dict[int, list[int]] = defaultdict(list)
            for each, wire in endpoint.delivered[first:]:
                if each == room:
                    numbers[int(wire.split()[0])].append(int(wire.split()[1]))
            return numbers

        def is_there(since: dict[int, int] = since, until: dict[int, int] = until) -> bool:
            numbers = got()
            return all(
                last <= since[who] or numbers[who][-1:] >= [last - 1] for who, last in until.items() if who in since
            )

        await eventually(is_there, "what was published since has come", 20)
        for who, numbers in got().items():
            begin = since.get(who, 0)
            later = [number for number in numbers if number >= begin]
            assert later == list(range(begin, begin + len(later))), (room, who)
            assert numbers == sorted(set(numbers)), (room, who)
        endpoint.bus.leave(room)
        await asyncio.sleep(draw.choice((0, 0, 0.01)))


@pytest.mark.race
@pytest.mark.parametrize("hosts", [1, 2])
async def test_nothing_is_lost_doubled_or_out_of_order_when_gateways_are_killed(
    hosts: int, tmp_path: Path, draw: Random, race_rounds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wspulse.supervisor.cluster.exchange.exchange._TICK_S", 0.2)
    stage = GatewayStage(tmp_path, hosts, Random(draw.random()), fails=0.02)
    try:
        constant = [stage.add() for _ in range(2 * hosts)]
        passing = [stage.add() for _ in range(hosts)]
        for each in constant:
            await each.join(*ROOMS)
        talk = Talk()
        async with asyncio.TaskGroup() as tasks:
            for endpoint in constant:
                for room in ROOMS[:6]:
                    tasks.create_task(talk.wait(endpoint, room, Random(draw.random())))
                tasks.create_task(talk.hurry(endpoint, ROOMS[4:], Random(draw.random())))
            for endpoint in passing:
                tasks.create_task(come_and_go(endpoint, ROOMS, talk, Random(draw.random())))
            for _ in range(2 * race_rounds):
                await asyncio.sleep(draw.random() * 0.4)
                host = draw.choice(stage.hosts)
                host.kill()
                await asyncio.sleep(draw.choice((0, 0, 0.15)))
                host.start()
            talk.over = True
        for room in ROOMS:
            assert all(each.bus.publish(room, b"%d last" % each.incarnation) for each in constant)
        for each in constant:
            await eventually(
                lambda each=each: all(len(each.of(room)) >= talk.count(room) + len(constant) for room in ROOMS),  # type: ignore[misc]
                "all has come",
                20,
            )
            assert each.metrics.bus_gaps == 0
        for room in ROOMS:
            order = constant[0].of(room)
            assert all(each.of(room) == order for each in constant)
            for each in constant:
                own = [wire for wire in order if wire.startswith(b"%d " % each.incarnation)]
                assert own == [*talk.taken[room, each.incarnation], b"%d last" % each.incarnation]
        assert len(talk.acknowledged) > 50 * race_rounds
    finally:
        stage.close()
