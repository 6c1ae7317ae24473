"""Cuts: where one process stops and another one goes on, all over the rooms that both have joined."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from random import Random

import pytest

from tests.support.eventually import eventually
from tests.support.shards.plain_buses import PlainBus, plain_buses

ROOMS = [f"room{number}" for number in range(20)]


class Halves:
    """What the source delivers before each cut, and the target behind it, put together."""

    def __init__(self, source: PlainBus, target: PlainBus) -> None:
        self.before: list[tuple[str, bytes]] = []
        self.after: list[tuple[str, bytes]] = []
        self.passed: list[tuple[str, int]] = []
        self._source, self._target = source, target
        self.begin()

    def begin(self) -> None:
        self.before, self.after, self.passed = [], [], []
        self._source.deliver = lambda room_id, wire: self.before.append((room_id, wire))
        self._target.deliver = lambda _room_id, _wire: None

    def source_passed(self, number: int) -> None:
        self.passed.append(("source", number))
        self._source.deliver = lambda _room_id, _wire: None

    def target_passed(self, number: int) -> None:
        self.passed.append(("target", number))
        self._target.deliver = lambda room_id, wire: self.after.append((room_id, wire))


def publish(bus: PlainBus, draw: Random, kind: bytes, serial: int) -> bytes:
    """Of any size, alone or among others, for all or for all but one."""
    room, wire = draw.choice(ROOMS), b"%s %d %d" % (kind, bus.incarnation, serial)
    if draw.random() < 0.1:
        assert bus.bus.publish_but(room, wire, frozenset(["nobody"]))
    else:
        assert bus.bus.publish(room, wire)
    return wire


@pytest.mark.race
async def test_source_before_the_cut_and_target_behind_it_have_together_what_everybody_has(
    tmp_path: Path, draw: Random, race_rounds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The source has frames in this turn's batches and, with a socket that takes little, some that wait for the forwarder."""
    monkeypatch.setattr("wspulse.actors.bus.publishing.publisher._PUSH_HIGH_WATER", 1)
    monkeypatch.setattr("wspulse.actors.bus.publishing.publisher._RETRY_S", 0.001)
    async with plain_buses(tmp_path, 4) as buses:
        source, target, third, reference = buses
        for each in (source, target, reference):
            await each.join(*ROOMS)
        halves = Halves(source, target)
        await source.watch_cuts(source.incarnation, halves.source_passed)
        await target.watch_cuts(source.incarnation, halves.target_passed)
        waited = 0
        for turn in range(60 * race_rounds):
            halves.begin()
            reference.delivered.clear()
            cut_at = draw.randrange(60)
            for serial in range(60):
                for other in (target, third):
                    if draw.random() < 0.5 and not other.bus._publisher._unsent:
                        publish(other, draw, b"other", serial)
                if serial == cut_at:
                    source.bus.cut(turn)
                if not source.bus._publisher._unsent:
                    publish(source, draw, b"before" if serial < cut_at else b"behind", serial)
                if draw.random() < 0.02:
                    await asyncio.sleep(0)
                if draw.random() < 0.2:
                    source.bus._publisher._flush()
                waited += bool(source.bus._publisher._unsent)
            for each in (source, target, third):
                await each.bus.publish_when_free("room0", b"last")
            await eventually(lambda: reference.delivered.count(("room0", b"last")) == 3, "all have come")
            await eventually(lambda: len(halves.passed) == 2, "both have seen the cut")
            await eventually(
                lambda: len(halves.before) + len(halves.after) >= len(reference.delivered), "the target has the rest"
            )
            assert halves.before + halves.after == reference.delivered
            assert sorted(halves.passed) == [("source", turn), ("target", turn)]
            assert not [wire for _, wire in halves.before if wire.startswith(b"behind")]
            assert not [wire for _, wire in halves.after if wire.startswith(b"before")]
        assert waited > race_rounds


async def test_cut_lies_behind_what_waits_for_the_forwarder_and_ahead_of_callers_that_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wspulse.actors.bus.publishing.publisher._PUSH_HIGH_WATER", 1)
    async with plain_buses(tmp_path, 1) as (only,):
        await only.join("room")
        got: list[bytes] = []
        only.deliver = lambda _room_id, wire: got.append(wire)
        await only.watch_cuts(only.incarnation, lambda number: got.append(b"cut %d" % number))
        sent: list[bytes] = []
        while only.bus.publish("room", b"x%d" % len(sent)):
            sent.append(b"x%d" % len(sent))
            only.bus._publisher._flush()
        assert only.bus._publisher._unsent
        only.bus.flow.blocked = 1
        waiting = asyncio.create_task(only.bus.publish_when_free("room", b"waited"))
        await eventually(lambda: only.bus._publisher._waiters, "the caller waits")
        only.bus.cut(7)
        only.bus.flow.blocked = 0
        only.bus._publisher._let_waiters_go_on()
        await waiting
        await eventually(lambda: got[-1:] == [b"waited"] and len(got) == len(sent) + 2, "all has come")
        assert got == [*sent, b"cut 7", b"waited"]


async def test_cut_that_nobody_watches_comes_nowhere(tmp_path: Path) -> None:
    async with plain_buses(tmp_path, 2) as (source, other):
        passed: list[int] = []
        await source.join("room")
        await other.watch_cuts(99, passed.append)
        came: list[bytes] = []
        other.bus.echoed = came.append
        source.bus.cut(1)
        await source.bus.publish_when_free("room", b"frame")
        await eventually(lambda: source.delivered, "what is behind it has come")
        assert passed == []


async def test_source_that_is_watched_again_calls_who_watches_it_last(tmp_path: Path) -> None:
    async with plain_buses(tmp_path, 1) as (only,):
        first: list[int] = []
        second: list[int] = []
        await only.watch_cuts(1, first.append)
        await only.watch_cuts(1, second.append)
        only.bus.cut(1)
        await eventually(lambda: second == [1], "the cut has come")
        only.bus.unwatch_cuts(1)
        await only.join("room")  # the end of the subscription lies ahead of it
        only.bus.cut(2)
        await only.bus.publish_when_free("room", b"frame")
        await eventually(lambda: only.delivered, "what is behind it has come")
        assert (first, second) == ([], [1])


async def test_source_that_is_watched_and_left_in_one_turn_is_not_watched(tmp_path: Path) -> None:
    async with plain_buses(tmp_path, 1) as (only,):
        only.bus.watch_cuts(1, lambda _: pytest.fail("passed"), lambda: pytest.fail("watched"))
        only.bus.unwatch_cuts(1)
        await only.join("room")
        only.bus.cut(1)
        await only.bus.publish_when_free("room", b"frame")
        await eventually(lambda: only.delivered, "what is behind it has come")


async def test_cut_may_end_the_bus(tmp_path: Path) -> None:
    async with plain_buses(tmp_path, 1) as (only,):
        await only.join("room")
        await only.watch_cuts(1, lambda _: only.bus.stop())
        only.bus.cut(1)
        only.bus.publish("room", b"behind it")
        await eventually(partial(getattr, only.bus, "_stopped"), "the bus is stopped")
        only.bus.cut(2)
        assert only.delivered == []
