"""A server, or a process, that ends while sessions move: nothing is committed any more, and each session ends once."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from tests.support.eventually import eventually
from tests.support.shards.moving import FrozenBatch, Listener, listening
from tests.support.shards.moving_stage import MovingStage, moving_stage
from tests.support.shards.pretended_target import PretendedTarget
from wspulse import Frame
from wspulse.actors.mesh.lifecycle import MovedOut, MoveFailed
from wspulse.actors.mesh.placement import SLOTS
from wspulse.actors.mesh.placing.moves import BatchComing, BatchSent, MoveBegins
from wspulse.actors.moving.arrival import codec_name


async def connected(stage: MovingStage, *listeners: Listener) -> None:
    await eventually(lambda: all(each.id in stage.connections for each in listeners), "they are connected")


async def assert_all_are_here(stage: MovingStage, listeners: list[Listener]) -> None:
    """In the source, which goes on."""
    stage.assert_nothing_is_left(sessions=len(listeners))
    for number, listener in enumerate(listeners):
        listener.say("n", number)
        await listener.until(lambda: number in listener.direct, "it is answered")  # noqa: B023
        assert stage.of(listener.id)[-1] == (0, "n", number)


@pytest.mark.parametrize("envelope", [MoveBegins, BatchComing, BatchSent])
async def test_stop_ends_a_plan_whose_target_says_nothing_at_once(envelope: type[Any]) -> None:
    async with moving_stage() as stage:
        ids = stage.ids(5)
        async with listening(stage.shards.port, {one: f"/ws?id={one}" for one in ids}) as listeners:
            await connected(stage, *listeners)
            target = PretendedTarget(stage.source, stage.shards.folder, codec_name(stage.source.shard))
            target.answer[envelope] = lambda *_: None
            try:
                stage.conductor.order(stage.source, dict.fromkeys(range(SLOTS), target.seat), leaves=False)
                await eventually(lambda: any(isinstance(each, envelope) for each in target.told), "it is asked")
                begun = time.monotonic()
                assert stage.source.movement is not None
                await stage.source.movement.stop()
                assert time.monotonic() - begun < 0.5
                assert isinstance(await stage.conductor.outcome(), MoveFailed)
                await assert_all_are_here(stage, listeners)
            finally:
                target.close()


@pytest.mark.parametrize("step", ["watch", "cut"])
async def test_stop_ends_a_plan_whose_bus_is_silent_at_once(step: str) -> None:
    async with moving_stage() as stage:
        ids = stage.ids(5)
        async with listening(stage.shards.port, {one: f"/ws?id={one}" for one in ids}) as listeners:
            await connected(stage, *listeners)
            bus = stage.source.shard.bus
            asked = asyncio.Event()
            if step == "watch":
                bus.watch_cuts = lambda *_: asked.set()  # type: ignore[attr-defined]
            else:
                bus.cut = lambda _number: asked.set()  # type: ignore[attr-defined]
            moving = stage.move()
            await asked.wait()
            begun = time.monotonic()
            assert stage.source.movement is not None
            await stage.source.movement.stop()
            assert time.monotonic() - begun < 0.5
            assert isinstance(await moving, MoveFailed)
            await assert_all_are_here(stage, listeners)


async def test_stop_of_a_source_whose_batch_is_frozen_takes_it_back() -> None:
    async with moving_stage() as stage:
        ids = stage.ids(5)
        async with listening(stage.shards.port, {one: f"/ws?id={one}" for one in ids}) as listeners:
            await connected(stage, *listeners)
            held = FrozenBatch(stage.source)
            moving = stage.move()
            await held.frozen()
            begun = time.monotonic()
            assert stage.source.movement is not None
            await stage.source.movement.stop()
            assert time.monotonic() - begun < 0.5
            held.go_on()
            assert isinstance(await moving, MoveFailed)
            await assert_all_are_here(stage, listeners)


async def test_stop_while_others_have_yet_to_hear_where_sessions_are_does_not_wait_for_them() -> None:
    async with moving_stage() as stage:
        ids = stage.ids(5)
        async with listening(stage.shards.port, {one: f"/ws?id={one}" for one in ids}) as listeners:
            await connected(stage, *listeners)
            stage.conductor.order(stage.source, dict.fromkeys(range(SLOTS), stage.target.shard.seat), leaves=True)
            assert isinstance(await stage.conductor.outcome(), MovedOut)
            begun = time.monotonic()
            assert stage.source.movement is not None
            await stage.source.movement.stop()
            assert time.monotonic() - begun < 0.5
            for listener in listeners:
                listener.say("n", 1)
                await listener.until(listener.has_an_answer, "it is answered")


@pytest.mark.parametrize("which", ["source", "target", "both"])
async def test_process_that_drains_while_a_batch_is_frozen_ends_each_session_once(which: str) -> None:
    async with moving_stage(3) as stage:
        ids = stage.ids(5)
        async with listening(stage.shards.port, {one: f"/ws?id={one}" for one in ids}) as listeners:
            await connected(stage, *listeners)
            held = FrozenBatch(stage.source)
            moving = stage.move(1.0)
            await held.frozen()
            both = stage.source.shard.metrics, stage.target.shard.metrics
            before = [metrics.bus_messages_in for metrics in both]
            await stage.shards.servers[2].broadcast("lobby", Frame("n", 1, room="lobby"))
            await eventually(
                lambda: all(m.bus_messages_in > n for m, n in zip(both, before, strict=True)), "it is there"
            )
            ends = {"source": (stage.source,), "target": (stage.target,), "both": (stage.source, stage.target)}[which]
            drains = [asyncio.create_task(runtime.drain()) for runtime in ends]
            await asyncio.sleep(0.05)
            held.go_on()
            outcome = await moving
            if which == "source":
                assert isinstance(outcome, MoveFailed)
            async with asyncio.timeout(8):
                await asyncio.gather(*drains)
            if which == "target" and isinstance(outcome, MoveFailed):
                await stage.source.drain()
            for listener in listeners:
                await listener.until(listener.is_closed, "it is closed")
                assert listener.closed is not None
                assert listener.closed[0] == 1001
                assert listener.rooms["lobby"] == [1]
                assert [which for _, which, _ in stage.of(listener.id)] == ["connect", "disconnect"]
            assert stage.shards.connections == 0
