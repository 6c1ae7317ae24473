"""The target of a move whose source's stream ends at an odd moment."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from tests.support.eventually import eventually
from tests.support.shards.moving import FrozenBatch, listening
from tests.support.shards.moving_stage import moving_stage
from wspulse import Frame
from wspulse.actors.mesh.lifecycle import MovedOut
from wspulse.actors.mesh.message import Kick
from wspulse.actors.mesh.placing.moves import (
    BatchBuilt,
    BatchComing,
    BatchCommitted,
    BatchJoined,
    BatchSent,
    MoveBegins,
    MoveReady,
)
from wspulse.actors.mesh.stream import Stream
from wspulse.actors.sessions.transfer.record import FORMAT
from wspulse.actors.values.errors import ConnectionNotFoundError, InTransitError


class Said:
    """In the place of a stream to a source: what it is told."""

    def __init__(self) -> None:
        self.said: list[Any] = []

    def send(self, envelope: Any) -> None:
        self.said.append(envelope)

    async def last(self, kind: type[Any]) -> Any:
        return await eventually(lambda: self.said and isinstance(self.said[-1], kind), f"it says {kind.__name__}")


async def test_source_whose_stream_ends_behind_the_commit_has_given_its_sessions_away() -> None:
    async with moving_stage() as stage:
        (one,) = stage.ids(1)
        async with listening(stage.shards.port, {one: f"/ws?id={one}"}) as (listener,):
            await eventually(lambda: one in stage.connections, "it is connected")
            assert stage.target.movement is not None
            moving, shard = stage.target.movement.moving, stage.target.shard
            take = moving.take
            waited: list[bool] = []
            errors: list[BaseException] = []

            def take_and_end(stream: Stream, envelope: Any, fd: int | None) -> None:
                take(stream, envelope, fd)
                if isinstance(envelope, BatchCommitted):
                    moving.stream_ended(stream)
                    try:
                        shard.find(one)
                    except Exception as error:
                        errors.append(error)
                    assert shard.transit is not None
                    shard.transit.wait_for(one, lambda: waited.append(one in shard.sessions))

            moving.take = take_and_end  # type: ignore[method-assign]
            assert isinstance(await stage.move(), MovedOut)
            await eventually(lambda: waited, "it has landed")
            assert [type(error) for error in errors] == [InTransitError]
            assert waited == [True]
            await asyncio.sleep(0)
            await eventually(lambda: shard.transit is None, "nothing is between any more")
            listener.say("n", 1)
            await listener.until(lambda: listener.got(1), "it is served")


async def test_cuts_are_heard_of_a_source_that_begins_anew_before_the_end_of_its_former_stream_is_seen() -> None:
    async with moving_stage() as stage:
        assert stage.target.movement is not None
        moving, source = stage.target.movement.moving, stage.source.shard
        former, present = Said(), Said()
        begins = MoveBegins(1, source.seat, source.incarnation, FORMAT, [])
        moving.take(cast("Stream", former), begins, None)
        await former.last(MoveReady)
        moving.take(cast("Stream", former), BatchComing(1, ["lobby"], [("ann", [0])]), None)
        await former.last(BatchJoined)
        moving.take(cast("Stream", present), begins, None)
        moving.stream_ended(cast("Stream", former))
        await present.last(MoveReady)
        moving.take(cast("Stream", present), BatchComing(2, ["lobby"], [("ann", [0])]), None)
        await present.last(BatchJoined)
        moving.take(cast("Stream", present), BatchSent(2, 0), None)
        source.bus.cut(2)  # type: ignore[attr-defined]
        await present.last(BatchBuilt)
        moving.take(cast("Stream", present), BatchCommitted(2, {}), None)
        moving.stream_ended(cast("Stream", present))
        stage.assert_nothing_is_left(sessions=0)
        assert stage.target.shard.transit is None


@pytest.mark.parametrize("step", ["coming", "cut", "sent", "built"])
async def test_source_that_dies_before_the_commit_leaves_nothing_in_the_target(step: str) -> None:
    """Its sessions are gone with it, and who waits for them hears that."""
    async with moving_stage() as stage:
        ids = stage.ids(3)
        async with listening(stage.shards.port, {one: f"/ws?id={one}&room=new" for one in ids}) as listeners:
            await eventually(lambda: len(stage.connections) == 3, "they are connected")
            assert stage.target.movement is not None
            moving, shard = stage.target.movement.moving, stage.target.shard
            take = moving.take
            ended = asyncio.Event()

            def take_until(stream: Stream, envelope: Any, fd: int | None) -> None:
                take(stream, envelope, fd)
                is_it = isinstance(envelope, BatchComing if step in ("coming", "cut") else BatchSent)
                if is_it and not ended.is_set():
                    if step in ("cut", "built"):
                        number = envelope.batch
                        next(iter(moving._arrivals.values()))._cut(number)
                    ended.set()
                    stream.close()
                    moving.stream_ended(stream)
                    for one in ids:
                        with pytest.raises(ConnectionNotFoundError):
                            shard.find(one)

            moving.take = take_until  # type: ignore[method-assign]
            moved = stage.move()
            await asyncio.wait_for(ended.wait(), 5)
            # The source is alive in truth, and tries again.
            assert isinstance(await moved, MovedOut)
            for listener in listeners:
                listener.say("n", 1)
                await listener.until(listener.has_an_answer, "it is served")
                assert stage.of(listener.id)[-1][0] == 1
            await stage.shards.servers[0].broadcast("new", Frame("n", 2, room="new"))
            for listener in listeners:
                await listener.until(lambda: listener.has("new", 1), "it hears its room")  # noqa: B023
            stage.assert_nothing_is_left(sessions=3)


async def test_freeze_is_seen_by_nobody_who_asks_the_target_too_early() -> None:
    async with moving_stage() as stage:
        (one,) = stage.ids(1)
        async with listening(stage.shards.port, {one: f"/ws?id={one}"}):
            await eventually(lambda: one in stage.connections, "it is connected")
            held = FrozenBatch(stage.source)
            moving = stage.move()
            await held.frozen()
            kick = asyncio.create_task(stage.target.ask(stage.target.shard.seat, Kick(one, 1000, "kicked")))
            await asyncio.sleep(0.02)
            assert not kick.done()
            held.go_on()
            assert isinstance(await moving, MovedOut)
            await kick
            await eventually(lambda: stage.of(one, "disconnect"), "it has ended")
            assert stage.of(one, "disconnect") == [(1, "disconnect", None)]
