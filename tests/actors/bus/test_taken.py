"""What a bus has taken comes, once and in order, when it was full and when it ends; whoever it takes nothing of waits."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

import pytest

from tests.support.buses.stage import KINDS, SHARED, Stage, staged
from tests.support.eventually import eventually
from wspulse.actors.values.errors import ShardUnavailableError

LARGE = b"." * 60_000

MOST_BYTES = 40_000_000
"""That a publisher may have under way while nothing comes back: what flow control allows, and some queues."""


@pytest.fixture
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Callers wait for a short time only."""
    monkeypatch.setattr("wspulse.actors.bus.publishing.publisher.ASK_TIMEOUT_S", 0.2)
    monkeypatch.setattr("wspulse.actors.bus.cluster.publisher.ACKNOWLEDGED_S", 0.2)


async def fill(stage: Stage, who: int, room: str) -> list[bytes]:
    """Publish until nothing more is taken."""
    taken: list[bytes] = []
    while stage[who].bus.publish(room, wire := b"taken %d" % len(taken) + LARGE):
        taken.append(wire)
        if len(taken) % 20 == 0:
            await asyncio.sleep(0)
        assert len(taken) * len(LARGE) < MOST_BYTES, "it is bounded"
    return taken


async def all_have(stage: Stage, count: int) -> None:
    await eventually(lambda: all(len(each.delivered) >= count for each in stage.endpoints), "all has come", 20)


@pytest.mark.parametrize("kind", SHARED)
async def test_what_was_taken_until_the_bus_was_full_comes_and_callers_behind_it(
    kind: str, tmp_path: Path, draw: Random
) -> None:
    async with staged(kind, tmp_path, draw) as stage:
        for each in stage.endpoints:
            await each.join("room", "other")
        stage.hold_back()
        taken = await fill(stage, 0, "room")
        waited = [b"waited %d" % number for number in range(20)]
        callers = [
            asyncio.create_task(
                stage[0].bus.publish_when_free("room", wire, frozenset({"ann"}) if number % 3 == 0 else frozenset())
            )
            for number, wire in enumerate(waited)
        ]
        await eventually(lambda: len(stage[0].shared._publisher._waiters) == len(callers), "all wait")
        assert not stage[0].bus.publish("room", b"not taken")
        for caller in callers[5:10]:
            caller.cancel()
        await asyncio.wait(callers[5:10])
        stage.let_go()
        async with asyncio.timeout(20):
            await asyncio.gather(*callers, return_exceptions=True)
        expected = taken + waited[:5] + waited[10:]
        await all_have(stage, len(expected))
        assert stage[0].bus.publish("room", b"last")
        await all_have(stage, len(expected) + 1)
        for each in stage.endpoints:
            assert each.of("room") == [*expected, b"last"]


@pytest.mark.usefixtures("impatience")
@pytest.mark.parametrize("kind", SHARED)
async def test_caller_that_waited_too_long_is_told_and_its_frame_does_not_come(
    kind: str, tmp_path: Path, draw: Random
) -> None:
    async with staged(kind, tmp_path, draw, 2) as stage:
        await stage[1].join("room")
        stage.hold_back()
        taken = await fill(stage, 0, "room")
        with pytest.raises(ShardUnavailableError):
            await stage[0].bus.publish_when_free("room", b"not taken")
        assert not stage[0].shared._publisher._waiters
        stage.let_go()
        await eventually(lambda: stage[0].bus.publish("room", b"last"), "it takes something again", 20)
        await eventually(lambda: stage[1].of("room")[-1:] == [b"last"], "all has come", 20)
        assert stage[1].of("room") == [*taken, b"last"]


@pytest.mark.parametrize("kind", SHARED)
async def test_what_was_taken_before_the_end_comes(kind: str, tmp_path: Path, draw: Random) -> None:
    async with staged(kind, tmp_path, draw) as stage:
        for each in stage.endpoints:
            await each.join("room", "other")
        leaver = stage[0]
        for number in range(300):
            assert leaver.bus.publish("room" if number % 3 else "other", b"%d" % number)
            if number == 200:
                await asyncio.sleep(0)
        leaver.stop()
        assert not leaver.bus.publish("room", b"too late")
        with pytest.raises(ShardUnavailableError):
            await leaver.bus.publish_when_free("room", b"too late")
        for each in stage.endpoints[1:]:
            await eventually(lambda each=each: len(each.delivered) >= 300, "all has come")  # type: ignore[misc]
            for room, rest in (("room", (1, 2)), ("other", (0,))):
                assert [int(wire) for wire in each.of(room)] == [n for n in range(300) if n % 3 in rest]


@pytest.mark.parametrize("kind", SHARED)
async def test_caller_that_waits_at_the_end_is_told(kind: str, tmp_path: Path, draw: Random) -> None:
    async with staged(kind, tmp_path, draw, 1) as stage:
        stage.hold_back()
        await fill(stage, 0, "room")
        caller = asyncio.create_task(stage[0].bus.publish_when_free("room", b"frame"))
        await eventually(lambda: stage[0].shared._publisher._waiters, "it waits")
        stage[0].stop()
        with pytest.raises(ShardUnavailableError):
            await caller
        stage.let_go()


@pytest.mark.parametrize("kind", KINDS)
async def test_publish_when_free_returns_when_the_bus_has_it(kind: str, tmp_path: Path, draw: Random) -> None:
    async with staged(kind, tmp_path, draw) as stage:
        await stage[-1].join("room")
        async with asyncio.timeout(10):
            await asyncio.gather(*(stage[0].bus.publish_when_free("room", b"%d" % number) for number in range(100)))
        await eventually(lambda: len(stage[-1].delivered) >= 100, "all has come")
        assert stage[-1].of("room") == [b"%d" % number for number in range(100)]
