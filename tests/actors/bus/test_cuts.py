"""Cuts: where one process stops and another one goes on, all over the rooms that both have joined."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from random import Random

import pytest

from tests.support.buses.endpoint import Endpoint
from tests.support.buses.stage import SHARED, staged
from tests.support.eventually import eventually
from tests.support.shards.plain_buses import plain_buses

ROOMS = [f"room{number}" for number in range(20)]


class Halves:
    """What the source delivers before each cut, and the target behind it, put together."""

    def __init__(self, source: Endpoint, target: Endpoint) -> None:
        self._source, self._target = source, target
        self.cut_at: dict[str, int] = {}

    def begin(self) -> None:
        self._source.delivered.clear()
        self._target.delivered.clear()
        self.cut_at.clear()

    def source_passed(self, _number: int) -> None:
        assert "source" not in self.cut_at
        self.cut_at["source"] = len(self._source.delivered)

    def target_passed(self, _number: int) -> None:
        assert "target" not in self.cut_at
        self.cut_at["target"] = len(self._target.delivered)

    @property
    def before(self) -> list[tuple[str, bytes]]:
        return self._source.delivered[: self.cut_at["source"]]

    @property
    def after(self) -> list[tuple[str, bytes]]:
        return self._target.delivered[self.cut_at["target"] :]


def publish(endpoint: Endpoint, draw: Random, kind: bytes, serial: int) -> bytes:
    """Of any size, alone or among others, for all or for all but one."""
    room, wire = draw.choice(ROOMS), b"%s %d %d" % (kind, endpoint.incarnation, serial)
    if draw.random() < 0.1:
        assert endpoint.bus.publish_but(room, wire, frozenset(["nobody"]))
    else:
        assert endpoint.bus.publish(room, wire)
    return wire


@pytest.mark.race
@pytest.mark.parametrize("kind", SHARED)
async def test_source_before_the_cut_and_target_behind_it_have_together_what_everybody_has(
    kind: str, tmp_path: Path, draw: Random, race_rounds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The source has frames in this turn's batches and, with a socket that takes little, some that wait for the middle."""
    monkeypatch.setattr("wspulse.actors.bus.publishing.publisher._PUSH_HIGH_WATER", 1)
    monkeypatch.setattr("wspulse.actors.bus.publishing.publisher._RETRY_S", 0.001)
    async with staged(kind, tmp_path, draw, 5) as stage:
        source, target, *others = [*stage.of_host(0), *stage.of_host(1)]
        reference = others.pop(0)
        third = others[-1]
        for each in (source, target, reference):
            await each.join(*ROOMS)
        halves = Halves(source, target)
        await source.watch_cuts(source.incarnation, halves.source_passed)
        await target.watch_cuts(source.incarnation, halves.target_passed)
        for turn in range(20 * race_rounds):
            halves.begin()
            reference.delivered.clear()
            cut_at = draw.randrange(60)
            sent = 0
            for serial in range(60):
                for other in (target, third):
                    if draw.random() < 0.5 and not other.shared._publisher._unsent:
                        publish(other, draw, b"other", serial)
                        sent += 1
                if serial == cut_at:
                    source.shared.cut(turn)
                if not source.shared._publisher._unsent:
                    publish(source, draw, b"before" if serial < cut_at else b"behind", serial)
                    sent += 1
                if draw.random() < 0.02:
                    await asyncio.sleep(0)
                if draw.random() < 0.2:
                    source.shared._publisher._flush()
            for each in (source, target, reference):
                await eventually(lambda each=each: len(each.delivered) == sent, "all have come")  # type: ignore[misc]  # noqa: B023
            await eventually(lambda: len(halves.cut_at) == 2, "both have seen the cut")
            for room in ROOMS:
                both = [wire for half in (halves.before, halves.after) for each, wire in half if each == room]
                assert both == reference.of(room)
            assert not [wire for _, wire in halves.after if wire.startswith(b"before")]
            if not stage.waits_for_acknowledgement:
                assert not [wire for _, wire in halves.before if wire.startswith(b"behind")]


@pytest.mark.parametrize("kind", SHARED)
async def test_cut_that_nobody_watches_comes_nowhere(kind: str, tmp_path: Path, draw: Random) -> None:
    async with staged(kind, tmp_path, draw, 2) as stage:
        passed: list[int] = []
        await stage[0].join("room")
        await stage[0].watch_cuts(99, passed.append)
        stage[0].shared.cut(1)
        await stage[0].bus.publish_when_free("room", b"frame")
        await eventually(lambda: stage[0].delivered, "what is behind it has come")
        assert passed == []


@pytest.mark.parametrize("kind", SHARED)
async def test_source_that_is_watched_again_calls_who_watches_it_last(kind: str, tmp_path: Path, draw: Random) -> None:
    async with staged(kind, tmp_path, draw, 1) as stage:
        only = stage[0]
        first: list[int] = []
        second: list[int] = []
        await only.watch_cuts(1, first.append)
        await only.watch_cuts(1, second.append)
        only.shared.cut(1)
        await eventually(lambda: second == [1], "the cut has come")
        only.shared.unwatch_cuts(1)
        await only.join("room")  # the end of the subscription lies ahead of it
        only.shared.cut(2)
        await only.bus.publish_when_free("room", b"frame")
        await eventually(lambda: only.delivered, "what is behind it has come")
        assert (first, second) == ([], [1])


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
