"""The bus of a process that is alone, and then is not, and then is again, under broadcasts all the time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest

from tests.support.eventually import eventually
from tests.support.shards.bus_host import SwitchedHost
from tests.support.shards.plain_buses import PlainBus
from wspulse.actors.bus.local import LocalBus
from wspulse.actors.bus.sharing.keeping import KeepingBus
from wspulse.actors.bus.sharing.opening import OpeningBus
from wspulse.actors.bus.watch import STALLED
from wspulse.actors.bus.zmq import ZmqBus
from wspulse.supervisor.process.bus_forwarder import BusForwarder

ROOMS = [f"room{number}" for number in range(20)]


class Stage:
    def __init__(self, folder: Path) -> None:
        self.forwarder = BusForwarder(f"{folder}/push", f"{folder}/publish")
        self.host = SwitchedHost(self.forwarder)
        self._incarnation = 1

    def another(self) -> PlainBus:
        """Another process, at the seat 1."""
        self._incarnation += 1
        return PlainBus(self.forwarder, 1, self._incarnation)

    def stop(self) -> None:
        self.host.switch.close()
        self.forwarder.stop()


@asynccontextmanager
async def staged(folder: Path) -> AsyncIterator[Stage]:
    stage = Stage(folder)
    try:
        yield stage
    finally:
        stage.stop()


async def is_local(host: SwitchedHost) -> None:
    await eventually(lambda: isinstance(host.bus, LocalBus), "it keeps what it publishes")


async def test_frames_before_and_behind_the_change_come_once_and_in_order(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        host = stage.host
        rooms = [host.enter(room_id) for room_id in ROOMS]
        shared = host.share()
        assert isinstance(host.bus, OpeningBus)
        while not shared.done():
            for room_id in ROOMS:
                assert host.publish(room_id)
            await asyncio.sleep(0)
        assert host.is_shared
        other = stage.another()
        await other.join(*ROOMS)
        before = {room_id: len(wires) for room_id, wires in host.published.items()}
        for number in range(100):
            assert host.publish(ROOMS[number % 20], but=number % 7 == 0)
        await eventually(host.is_up_to_date, "all has come")
        host.check()
        assert all(len(room.got) == len(host.published[room_id]) for room_id, room in zip(ROOMS, rooms, strict=True))
        await eventually(lambda: len(other.delivered) == 100, "the other one has what was published to both")
        for room_id in ROOMS:
            assert [wire for room, wire in other.delivered if room == room_id] == host.published[room_id][
                before[room_id] :
            ]
        other.bus.stop()


async def test_last_broadcasts_of_a_process_that_has_ended_come_before_the_bus_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They wait for the forwarder when it ends, and are on their way when its end is told."""
    monkeypatch.setattr("wspulse.actors.bus.sharing.switch.LAST_WORD_S", 60)
    monkeypatch.setattr("wspulse.actors.bus.publishing.publisher._PUSH_HIGH_WATER", 1)
    async with staged(tmp_path) as stage:
        host = stage.host
        host.enter("room")
        for round_number in range(20):
            await host.share()
            other = stage.another()
            await other.join("room")
            host.others.clear()
            last = [b"last %d %d" % (round_number, number) for number in range(200)]
            host.switch.process_ended(other.incarnation)
            host.switch.keep()
            assert host.publish("room")
            await eventually(host.is_up_to_date, "the bus has answered")
            for wire in last:
                other.bus._publisher._take("room", wire)
                other.bus._publisher._flush()
            assert other.bus._publisher._unsent
            other.bus.stop()
            await is_local(host)
            assert [wire for _, wire in host.others] == last
            assert host.publish("room")
        host.check()


async def test_process_that_was_killed_is_waited_for_no_longer_than_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with staged(tmp_path) as stage:
        monkeypatch.setattr("wspulse.actors.bus.sharing.switch.LAST_WORD_S", 0.1)
        host = stage.host
        await host.share()
        host.switch.process_ended(99)
        host.switch.keep()
        host.switch.keep()
        assert host.is_shared, "it waits"
        await is_local(host)
        await host.share()
        host.switch.keep()
        await is_local(host)


@pytest.mark.race
async def test_nothing_is_lost_doubled_or_out_of_order_however_often_the_bus_changes(
    tmp_path: Path, draw: Random, race_rounds: int
) -> None:
    """Each change may meet another one on its way; rooms are entered and left all the time, callers wait."""
    async with staged(tmp_path) as stage:
        host = stage.host
        for room_id in ROOMS[:10]:
            host.enter(room_id)
        seen: set[type] = set()
        for _ in range(100 * race_rounds):
            for _ in range(draw.randrange(3)):
                assert host.publish(draw.choice(ROOMS))
            host.share() if draw.random() < 0.5 else host.switch.keep()
            for _ in range(draw.randrange(30)):
                seen.add(type(host.bus))
                for _ in range(draw.randrange(4)):
                    assert host.publish(draw.choice(ROOMS), but=draw.random() < 0.1)
                if draw.random() < 0.2:
                    room_id = draw.choice(ROOMS[10:])
                    if room_id not in host.rooms:
                        host.enter(room_id)
                    elif host.rooms[room_id].joined_at is None or draw.random() < 0.5:
                        host.leave(room_id)
                await asyncio.sleep(0 if draw.random() < 0.8 else 0.001)
            host.check()
        assert seen == {LocalBus, OpeningBus, ZmqBus, KeepingBus}
        for end in (host.share, host.switch.keep):
            end()
            await eventually(
                lambda: isinstance(host.bus, ZmqBus if end == host.share else LocalBus),  # noqa: B023
                "the last change is through",
            )
            for room_id in ROOMS:
                assert host.publish(room_id)
            await eventually(host.is_up_to_date, "all has come")
            await eventually(
                lambda: all(room.joined_at is not None for room in host.rooms.values()), "every room is joined"
            )
            host.check()
        assert all(len(host.rooms[room_id].got) == len(host.published[room_id]) for room_id in ROOMS[:10])
        assert host.metrics.bus_gaps == 0


async def test_callers_that_wait_when_the_bus_is_kept_come_in_their_order(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        host = stage.host
        room = host.enter("room")
        await host.share()
        shared = host.bus
        assert isinstance(shared, ZmqBus)
        shared.flow.blocked = 1
        wires = [b"own room %d" % number for number in range(6)]
        callers = [asyncio.create_task(shared.publish_when_free("room", wire)) for wire in wires[:3]]
        await eventually(lambda: len(shared._publisher._waiters) == 3, "all wait")
        late = shared.publish_when_free("room", wires[3])  # called, and not awaited yet
        host.switch.keep()
        async with asyncio.timeout(5):
            await asyncio.gather(*callers)
            await late
        assert host.bus.publish("room", wires[4])
        await is_local(host)
        later = shared.publish_when_free("room", wires[5])
        await later
        assert room.got == wires


async def test_bus_that_does_not_answer_stays_and_gets_what_was_gathered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with staged(tmp_path) as stage:
        monkeypatch.setattr("wspulse.actors.bus.sharing.keeping._PATIENCE_S", 0.05)
        host = stage.host
        host.enter("room")
        await host.share()
        shared = host.bus
        assert isinstance(shared, ZmqBus)
        late: list[Callable[[], None]] = []
        monkeypatch.setattr(shared, "fence", late.append)
        host.switch.keep()
        await eventually(lambda: isinstance(host.bus, KeepingBus), "it gathers")
        kept_by = host.bus
        for _ in range(5):
            assert host.publish("room")
        assert host.rooms["room"].got == []
        await eventually(lambda: host.bus is shared, "the bus stays")
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        late[0]()
        assert kept_by.publish("room", b"own room 5")
        host.published["room"].append(b"own room 5")
        await eventually(host.is_up_to_date, "all has come")
        host.check()
        assert len(host.rooms["room"].got) == 6


async def test_bus_stays_when_more_is_gathered_than_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with staged(tmp_path) as stage:
        monkeypatch.setattr("wspulse.actors.bus.sharing.keeping._MOST_GATHERED_BYTES", 100)
        host = stage.host
        host.enter("room")
        await host.share()
        host.switch.keep()
        await eventually(lambda: isinstance(host.bus, KeepingBus) or not host.is_shared, "it gathers")
        for _ in range(50):
            assert host.publish("room")
        await eventually(host.is_up_to_date, "all has come")
        host.check()


async def test_room_that_is_entered_on_the_way_is_joined_and_gets_what_follows(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        host = stage.host
        host.enter("first")
        shared = host.share()
        host.enter("second")
        assert host.rooms["second"].joined_at is None
        await shared
        await eventually(lambda: host.rooms["second"].joined_at == 0, "it is joined")
        host.switch.keep()
        await eventually(lambda: not host.is_shared, "it is on its way back")
        host.enter("third")
        await is_local(host)
        assert host.rooms["third"].joined_at == 0
        host.share()
        host.enter("fourth")
        host.switch.keep()
        assert isinstance(host.bus, LocalBus)
        assert host.rooms["fourth"].joined_at == 0
        for room_id in ("first", "second", "third", "fourth"):
            assert host.publish(room_id)
        assert host.is_up_to_date()
        host.check()


async def test_share_and_keep_that_are_said_again_change_nothing(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        host = stage.host
        host.switch.keep()
        assert isinstance(host.bus, LocalBus)
        host.enter("room")
        waiting = [host.share(), host.share()]
        async with asyncio.timeout(5):
            await asyncio.gather(*waiting)
        bus = host.bus
        assert host.share().done()
        assert host.bus is bus


async def test_bus_is_not_kept_while_another_process_is_up(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        host = stage.host
        host.enter("room")
        await host.share()
        host.alone = False
        host.switch.keep()
        await eventually(lambda: host.switch._last_words is None, "it has looked")
        assert host.is_shared
        host.alone = True
        host.switch.keep()
        await eventually(lambda: isinstance(host.bus, KeepingBus), "it gathers")
        host.switch.process_began()
        assert host.is_shared


async def test_watch_of_a_bus_that_stood_still_ends_with_it(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        host = stage.host
        await host.share()
        watch = host.switch._watch
        assert watch is not None
        host.health.fail(STALLED)
        host.switch.keep()
        await is_local(host)
        assert host.health.ok
        assert watch._timer is not None
        assert watch._timer.cancelled()
        assert host.switch.shared is None
