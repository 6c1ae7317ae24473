"""A move that fails at any step: everything goes on in the source as if nothing had been, and nothing is left of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from unittest.mock import AsyncMock

import pytest

from tests.support.eventually import eventually
from tests.support.shards.moving import FrozenBatch, Listener, listening
from tests.support.shards.moving_stage import MovingStage, moving_stage
from tests.support.shards.pretended_target import PretendedTarget
from tests.support.wire.raw_peer import RawPeer
from wspulse import Connection, Frame, Server
from wspulse.actors.mesh.lifecycle import MovedOut, MoveFailed, ShardDown
from wspulse.actors.mesh.placement import SLOTS
from wspulse.actors.mesh.placing.moves import (
    BatchBuilt,
    BatchComing,
    BatchCommitted,
    BatchJoined,
    BatchSent,
    MoveBegins,
    MoveRefused,
    SocketComes,
)
from wspulse.actors.mesh.stream import Stream
from wspulse.actors.moving import arrival, batch, departure
from wspulse.actors.moving.arrival import codec_name
from wspulse.actors.sessions.transfer.recording import record_of, session_of
from wspulse.actors.transport.client import copy_of
from wspulse.actors.transport.transfer import movable


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for seconds."""
    monkeypatch.setattr(departure, "_ANSWER_S", 0.3)
    monkeypatch.setattr(departure, "_FREEZE_S", 0.3)
    monkeypatch.setattr(departure, "_AGAIN_S", 0.01)


TRANSFERS: list[tuple[int, str, str]] = []


def noting(server: Server, seat: int) -> None:
    @server.on_transfer_out
    def on_transfer_out(connection: Connection) -> None:
        TRANSFERS.append((seat, "out", connection.id))

    @server.on_transfer_in
    def on_transfer_in(connection: Connection) -> None:
        TRANSFERS.append((seat, "in", connection.id))


@asynccontextmanager
async def crowd(number: int = 8, count: int = 2) -> AsyncIterator[tuple[MovingStage, list[Listener]]]:
    """Clients in two rooms, one of them that waits for nobody and one that is suspended beside them."""
    TRANSFERS.clear()
    async with moving_stage(count, noting) as stage:
        ids = stage.ids(number + 1)
        async with listening(stage.shards.port, {one: f"/ws?id={one}" for one in ids}) as listeners:
            for listener in listeners[:2]:
                listener.say("join", "kitchen")
                await listener.until(partial(listener.got, "kitchen"), "it has joined")
                listener.direct.clear()
            await eventually(lambda: len(stage.connections) == number + 1, "they are connected")
            suspended = listeners.pop()
            suspended.peer.reset()
            await eventually(lambda: stage.of(suspended.id, "drop"), "its transport is lost")
            await suspended.close()
            yield stage, listeners


async def assert_it_goes_on(stage: MovingStage, listeners: list[Listener], seat: int = 0) -> None:
    """In the process at that seat, one after another."""
    before = len(stage.log)
    for number, listener in enumerate(listeners):
        listener.say("hello", number)
        await stage.shards.servers[1].send(listener.id, Frame("n", "direct"))
    for server in stage.shards.servers:
        await server.broadcast("lobby", Frame("n", 1, room="lobby"))
        await server.broadcast("kitchen", Frame("n", 2, room="kitchen"))
    for number, listener in enumerate(listeners):
        await listener.until(partial(listener.got_many, 2), "it is answered")
        assert sorted(map(str, listener.direct)) == [str(number), "direct"]
        await listener.until(partial(listener.has, "lobby", len(stage.shards.servers)), "the room is heard")
        assert len(listener.rooms["lobby"]) == len(stage.shards.servers)
        assert listener.closed is None
    await listeners[0].until(partial(listeners[0].has, "kitchen", len(stage.shards.servers)), "its other room is heard")
    assert listeners[0].rooms["kitchen"] == [2] * len(stage.shards.servers)
    assert {each[0] for each in stage.log[before:]} == {seat}
    assert not any(callback in ("disconnect", "restore") for _, callback, _, _ in stage.log)
    for listener in listeners:
        listener.direct.clear()
        listener.rooms.clear()
    stage.assert_nothing_is_left(sessions=len(listeners) + 1)
    # Everybody who was told that they leave was told that they are here.
    for one in {one for _, _, one in TRANSFERS}:
        told = [which for _, which, found in TRANSFERS if found == one]
        assert told == ["out", "in"] * (len(told) // 2), told


def ends(stream: Stream, _envelope: Any) -> None:
    stream.close()


def stalls(_stream: Stream, _envelope: Any) -> None:
    pass


def answers_wrong(stream: Stream, envelope: Any) -> None:
    stream.send(BatchBuilt(4711, []) if not isinstance(envelope, BatchSent) else BatchJoined(envelope.batch))


@pytest.mark.parametrize(
    ("envelope", "what"),
    [
        (envelope, what)
        for envelope in (MoveBegins, BatchComing, SocketComes, BatchSent)
        for what in (ends, stalls, answers_wrong)
        # To a socket nobody answers anything.
        if (envelope, what) != (SocketComes, stalls)
    ],
)
async def test_target_that_fails_at_an_envelope_leaves_all_as_it_was(envelope: type[Any], what: Any) -> None:
    async with crowd() as (stage, listeners):
        target = PretendedTarget(stage.source, stage.shards.folder, codec_name(stage.source.shard))
        target.answer[envelope] = what
        try:
            outcome = await stage.conductor.move(
                stage.source, dict.fromkeys(range(SLOTS), target.seat), 0.2, leaves=False
            )
            assert isinstance(outcome, MoveFailed), outcome
            assert (outcome.moved, outcome.drained) == (0, 0)
            await assert_it_goes_on(stage, listeners)
            assert stage.source.shard.transit is None
            target.close()
            assert isinstance(await stage.move(), MovedOut)
            await assert_it_goes_on(stage, listeners, 1)
        finally:
            target.close()


async def test_target_that_is_only_slow_gets_them_when_it_answers_again() -> None:
    async with crowd() as (stage, _listeners):
        target = PretendedTarget(stage.source, stage.shards.folder, codec_name(stage.source.shard))
        try:
            target.answer[BatchComing] = stalls
            moving = asyncio.create_task(
                stage.conductor.move(stage.source, dict.fromkeys(range(SLOTS), target.seat), 10, leaves=False)
            )
            await eventually(lambda: BatchComing in map(type, target.told), "it was asked")
            target.answer[MoveBegins] = stalls
            await eventually(lambda: [*map(type, target.told)].count(MoveBegins) >= 4, "it was asked again, in vain")
            assert not moving.done()
            target.answer.clear()
            await eventually(lambda: BatchCommitted in map(type, target.told), "it has got them")
        finally:
            target.close()
            moving.cancel()


async def test_target_that_is_gone_for_good_leaves_all_as_it_was() -> None:
    async with crowd() as (stage, listeners):
        target = PretendedTarget(stage.source, stage.shards.folder, codec_name(stage.source.shard))
        target.close()
        outcome = await stage.conductor.move(stage.source, dict.fromkeys(range(SLOTS), target.seat), 0.2, leaves=False)
        assert isinstance(outcome, MoveFailed), outcome
        await assert_it_goes_on(stage, listeners)
        assert stage.source.shard.transit is None


@pytest.mark.parametrize("fault", [None, RuntimeError("a fault of ours")], ids=["gone", "fault"])
async def test_process_that_was_to_leave_and_stays_lets_newcomers_in_again(
    fault: Exception | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with crowd() as (stage, listeners):
        # From here on nobody else lets anybody in.
        stage.target._acceptor.listen_no_more()
        target = PretendedTarget(stage.source, stage.shards.folder, codec_name(stage.source.shard))
        target.close()
        if fault is not None:
            monkeypatch.setattr(departure.Departure, "_run", AsyncMock(side_effect=fault))
        outcome = await stage.conductor.move(stage.source, dict.fromkeys(range(SLOTS), target.seat), 0.2)
        assert isinstance(outcome, MoveFailed), outcome
        await assert_it_goes_on(stage, listeners)
        async with asyncio.timeout(5):
            newcomer = await RawPeer.upgraded(stage.shards.port, f"/ws?id={stage.ids(1)[0]}")
        await newcomer.close()


async def test_target_whose_seat_is_not_known_leaves_all_as_it_was() -> None:
    async with crowd() as (stage, listeners):
        outcome = await stage.conductor.move(stage.source, dict.fromkeys(range(SLOTS), 7), 0.2, leaves=False)
        assert isinstance(outcome, MoveFailed), outcome
        await assert_it_goes_on(stage, listeners)
        assert stage.source.shard.transit is None


async def test_target_that_knows_no_sessions_of_our_format_is_told_of_none(monkeypatch: pytest.MonkeyPatch) -> None:
    async with crowd() as (stage, listeners):
        monkeypatch.setattr(departure, "FORMAT", 99)
        outcome = await stage.move(0.2)
        assert isinstance(outcome, MoveFailed), outcome
        assert outcome.reason == "it reads sessions of format 2, but these have format 99"
        monkeypatch.undo()
        await assert_it_goes_on(stage, listeners)
        assert isinstance(await stage.move(), MovedOut)
        await assert_it_goes_on(stage, listeners, 1)


@pytest.mark.parametrize("where", ["recorded", "built"])
async def test_session_that_cannot_be_recorded_or_built_is_closed_and_the_others_move(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with crowd() as (stage, listeners):
        bad = listeners.pop()

        def record(session: Any, transport: Any, of: Any = record_of) -> Any:
            if session.id == bad.id:
                raise LookupError
            return of(session, transport)

        def build(shard: Any, record: Any, room: Any, of: Any = session_of) -> Any:
            if record.connection_id == bad.id:
                raise LookupError
            return of(shard, record, room)

        if where == "recorded":
            monkeypatch.setattr(batch, "record_of", record)
        else:
            monkeypatch.setattr(arrival, "session_of", build)
        outcome = await stage.move()
        assert isinstance(outcome, MovedOut), outcome
        assert (outcome.moved, outcome.drained) == (len(listeners) + 1, 1)
        await bad.until(bad.is_closed, "it is closed")
        assert bad.closed is not None
        code, reason = bad.closed
        assert (code, reason.split("=")[0]) == (1012, "service restart; retry")
        await bad.close()
        await eventually(lambda: stage.of(bad.id, "disconnect"), "the application is told")
        ((seat, _, _),) = stage.of(bad.id, "disconnect")
        assert seat == 0
        stage.log.clear()
        TRANSFERS[:] = [each for each in TRANSFERS if each[2] != bad.id]
        await assert_it_goes_on(stage, listeners, 1)


async def test_sessions_for_which_no_descriptor_is_left_go_later(monkeypatch: pytest.MonkeyPatch) -> None:
    async with crowd() as (stage, listeners):
        refused = 0

        def copy(client: Any, of: Any = copy_of) -> int:
            nonlocal refused
            if refused < 20:
                refused += 1
                raise OSError(24, "Too many open files")
            return int(of(client))

        monkeypatch.setattr(movable, "copy_of", copy)
        outcome = await stage.move()
        assert isinstance(outcome, MovedOut), outcome
        assert (outcome.moved, outcome.drained, refused) == (len(listeners) + 1, 0, 20)
        await assert_it_goes_on(stage, listeners, 1)


async def test_cut_that_never_comes_back_leaves_all_as_it_was() -> None:
    async with crowd() as (stage, listeners):
        bus = stage.source.shard.bus
        cut = bus.cut  # type: ignore[attr-defined]
        bus.cut = lambda _number: None  # type: ignore[attr-defined]
        outcome = await stage.move(0.2)
        assert isinstance(outcome, MoveFailed), outcome
        bus.cut = cut  # type: ignore[attr-defined]
        await assert_it_goes_on(stage, listeners)
        assert isinstance(await stage.move(), MovedOut)
        await assert_it_goes_on(stage, listeners, 1)


async def test_rooms_that_say_too_much_while_a_batch_is_frozen_have_it_taken_back_with_all_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(departure, "_FREEZE_BYTES", 100_000)
    monkeypatch.setattr(departure, "_FREEZE_S", 5.0)
    async with crowd() as (stage, listeners):
        held = FrozenBatch(stage.source)
        moving = stage.move()
        await held.frozen()
        for number in range(30):
            await stage.shards.servers[1].broadcast("lobby", Frame("n", [number, "x" * 10_000], room="lobby"))
        for listener in listeners:
            await listener.until(partial(listener.has, "lobby", 30), "it has all")
            assert [number for number, _ in listener.rooms.pop("lobby")] == list(range(30))
        held.go_on()
        assert isinstance(await moving, MovedOut)
        await assert_it_goes_on(stage, listeners, 1)


async def test_events_that_are_never_published_leave_all_as_it_was() -> None:
    async with crowd() as (stage, listeners):
        held = FrozenBatch(stage.source)
        outcome = await stage.move(0.2)
        assert isinstance(outcome, MoveFailed), outcome
        held.go_on()
        await assert_it_goes_on(stage, listeners)


@pytest.mark.parametrize("step", ["cut", "envelopes", "late"])
async def test_fault_of_ours_at_any_step_before_the_commit_leaves_all_as_it_was(
    step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with crowd() as (stage, listeners):

        def fail(*_: Any) -> Any:
            raise LookupError("a fault")

        if step == "cut":
            monkeypatch.setattr(stage.source.shard.bus, "cut", fail)
        elif step == "envelopes":
            monkeypatch.setattr(batch.Batch, "envelopes", fail)
        else:
            monkeypatch.setattr(batch.Batch, "late", fail)
        outcome = await stage.move(0.2)
        monkeypatch.undo()
        assert isinstance(outcome, MoveFailed), outcome
        await assert_it_goes_on(stage, listeners)


async def test_target_refuses_and_source_says_why() -> None:
    async with crowd() as (stage, listeners):
        target = PretendedTarget(stage.source, stage.shards.folder, codec_name(stage.source.shard))
        target.answer[MoveBegins] = lambda stream, envelope: stream.send(MoveRefused(envelope.plan, "it will not"))
        try:
            outcome = await stage.conductor.move(
                stage.source, dict.fromkeys(range(SLOTS), target.seat), 0.2, leaves=False
            )
            assert isinstance(outcome, MoveFailed)
            assert outcome.reason == "it will not"
            await assert_it_goes_on(stage, listeners)
        finally:
            target.close()


@pytest.mark.parametrize("spread_s", [0.0, 0.2])
async def test_target_of_another_codec_gets_nobody_and_all_are_closed(spread_s: float) -> None:
    async with crowd() as (stage, listeners):
        target = PretendedTarget(stage.source, stage.shards.folder, "another.Codec")
        try:
            stage.source.handle(ShardDown(target.seat, 99))
            stage.conductor.order(
                stage.source, dict.fromkeys(range(SLOTS), target.seat), leaves=False, drain_spread_s=spread_s
            )
            outcome = await stage.conductor.outcome()
            assert isinstance(outcome, MovedOut)
            assert (outcome.moved, outcome.drained) == (0, len(listeners) + 1)
            for listener in listeners:
                await listener.until(listener.is_closed, "it is closed")
                assert listener.closed is not None
                code, reason = listener.closed
                assert (code, reason.split("=")[0]) == (1012, "service restart; retry")
            assert not any(isinstance(each, BatchComing) for each in target.told)
            await eventually(
                lambda: len([each for each in stage.log if each[1] == "disconnect"]) == len(listeners) + 1, "told"
            )
        finally:
            target.close()
