"""Sessions whose handlers run, or wait, when they are to move: each frame is handled once, in order, in one process at a time."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from msgspec import Raw

from tests.support.eventually import eventually
from tests.support.shards.moving import FrozenBatch, Listener, listening
from tests.support.shards.moving_stage import MovingStage, moving_stage
from tests.support.wire.raw_peer import masked
from wspulse import Connection, Frame, Server
from wspulse.actors.mesh.lifecycle import MovedOut
from wspulse.actors.wire.frames import CONTINUATION, TEXT


class Transfers:
    """What the transfer callbacks are called for, by (seat, which, id); they run for a turn."""

    def __init__(self, raises: type[BaseException] | None = None) -> None:
        self.called: list[tuple[int, str, str]] = []
        self.raises = raises

    def note(self, server: Server, seat: int) -> None:
        async def out(connection: Connection) -> None:
            await asyncio.sleep(0)
            self.called.append((seat, "out", connection.id))
            connection.state["out"] = seat
            if self.raises is not None:
                raise self.raises

        def into(connection: Connection) -> None:
            assert connection.state["out"] != seat
            self.called.append((seat, "in", connection.id))
            if self.raises is not None:
                raise self.raises

        server.on_transfer_out(out)
        server.on_transfer_in(into)


async def connected(stage: MovingStage, *listeners: Listener) -> None:
    await eventually(lambda: all(each.id in stage.connections for each in listeners), "they are connected")


def numbers(stage: MovingStage, connection_id: str, event: str = "n") -> list[Any]:
    return [given for _, _, given in stage.of(connection_id, event)]


@pytest.mark.parametrize("is_told", [False, True])
async def test_session_whose_handler_runs_moves_when_that_ends_and_takes_what_waits_with_it(is_told: bool) -> None:
    transfers = Transfers()
    async with moving_stage(2, transfers.note if is_told else lambda *_: None) as stage:
        (one,) = stage.ids(1)
        async with listening(stage.shards.port, {one: f"/ws?id={one}"}) as (listener,):
            await connected(stage, listener)
            times_s = [0.3, 0.3, *(0.03 + number / 1000 for number in range(15))]
            for time_s in times_s:
                listener.say("sleep", time_s)
            await eventually(lambda: stage.of(one, "sleep"), "the first is being handled")
            begun = time.monotonic()
            assert isinstance(await stage.move(), MovedOut)
            assert time.monotonic() - begun < 0.55
            await eventually(lambda: len(stage.of(one, "sleep")) == 2, "the second is being handled")
            # Those that wait are no hindrance to the next move either.
            assert isinstance(await stage.move(back=True), MovedOut)
            assert [seat for seat, _, _ in stage.of(one, "sleep")][:2] == [0, 1]
            await listener.until(lambda: len(listener.direct) == 17, "all are answered")
            assert listener.direct == numbers(stage, one, "sleep") == times_s
            if is_told:
                assert [each[:2] for each in transfers.called] == [(0, "out"), (1, "in"), (1, "out"), (0, "in")]


async def test_frames_of_a_client_that_never_stops_are_handled_once_and_in_order_through_ten_moves() -> None:
    async with moving_stage(2) as stage:
        ids = stage.ids(4)
        async with listening(stage.shards.port, {one: f"/ws?id={one}" for one in ids}) as listeners:
            await connected(stage, *listeners)
            said = 0

            async def talk() -> None:
                nonlocal said
                while True:
                    for number, listener in enumerate(listeners):
                        # Nobody waits for the first; the handlers of the others take a while.
                        listener.say(("n", "sleep", "n", "sleep")[number], 0 if number % 2 else said)
                    said += 1
                    await asyncio.sleep(0.001)

            talking = asyncio.create_task(talk())
            for turn in range(10):
                assert isinstance(await stage.move(back=bool(turn % 2)), MovedOut)
            talking.cancel()
            for number, listener in enumerate(listeners):
                event = "sleep" if number % 2 else "n"
                await eventually(partial(lambda one, of: len(stage.of(one, of)) >= said, listener.id, event), "handled")
                assert numbers(stage, listener.id, event) == ([0] * said if number % 2 else list(range(said)))
                assert {seat for seat, _, _ in stage.of(listener.id)} == {0, 1}
                await listener.until(partial(listener.got_many, said), "it is answered")
                assert listener.direct == numbers(stage, listener.id, event)


async def test_half_received_messages_move_with_what_was_read_of_them() -> None:
    async with moving_stage(2) as stage:
        ids = stage.ids(3)
        async with listening(stage.shards.port, {one: f"/ws?id={one}" for one in ids}) as listeners:
            await connected(stage, *listeners)
            text = json.dumps({"event": "n", "payload": "äöü€😀" * 50}, ensure_ascii=False).encode()
            whole = masked(TEXT, text)
            parts = (
                masked(TEXT, text[:100])[1:],
                masked(CONTINUATION, text[100:201])[1:],
                masked(CONTINUATION, text[201:]),
            )
            fragmented = b"\x01" + parts[0] + b"\x00" + parts[1] + parts[2]
            for turn, cut in enumerate((1, 7, 150, 201, 350)):
                for listener, wire in zip(listeners, (whole, fragmented, whole + fragmented), strict=True):
                    listener.peer.writer.write(wire[:cut])
                await asyncio.sleep(0.02)
                assert isinstance(await stage.move(back=bool(turn % 2)), MovedOut)
                for listener, wire in zip(listeners, (whole, fragmented, whole + fragmented), strict=True):
                    listener.peer.writer.write(wire[cut:])
                for number, listener in enumerate(listeners):
                    expected = (2 if number == 2 else 1) * (turn + 1)
                    await listener.until(partial(listener.got_many, expected), "it is answered")
                    assert listener.direct == ["äöü€😀" * 50] * expected


@pytest.mark.parametrize("by", ["task", "third"])
async def test_call_under_way_ends_with_its_answer_and_then_its_session_moves(by: str) -> None:
    async with moving_stage(3) as stage:
        (one,) = stage.ids(1)
        async with listening(stage.shards.port, {one: f"/ws?id={one}"}) as (listener,):
            await connected(stage, listener)
            connection = stage.connections[one]
            if by == "third":
                (connection,) = await stage.shards.servers[2].get_connections("lobby")
            calling = asyncio.create_task(connection.call(Frame("what", 1), timeout_s=3))
            await listener.until(lambda: listener.calls, "it is asked")
            moving = stage.move()
            await asyncio.sleep(0.05)
            assert not moving.done()
            listener.answer(listener.calls[0], "this")
            assert (await calling).decode() == "this"
            assert isinstance(await moving, MovedOut)
            calling = asyncio.create_task(connection.call(Frame("what", 2), timeout_s=3))
            await listener.until(lambda: len(listener.calls) == 2, "it is asked again")
            listener.answer(listener.calls[1], "that")
            assert (await calling).decode() == "that"


async def test_session_that_is_about_to_be_in_a_room_moves_when_it_is() -> None:
    async with moving_stage(2) as stage:
        (one,) = stage.ids(1)
        async with listening(stage.shards.port, {one: f"/ws?id={one}"}) as (listener,):
            await connected(stage, listener)
            bus = stage.source.shard.bus
            join = bus.join
            joins: list[Callable[[], None]] = []
            bus.join = lambda room_id, joined: joins.append(partial(join, room_id, joined))  # type: ignore[method-assign]
            joining = asyncio.create_task(stage.connections[one].join("kitchen"))
            await eventually(lambda: joins, "it joins")
            moving = stage.move()
            await asyncio.sleep(0.05)
            assert not moving.done()
            joins[0]()
            await joining
            assert isinstance(await moving, MovedOut)
            await stage.shards.servers[0].broadcast("kitchen", Frame("n", 1, room="kitchen"))
            await listener.until(partial(listener.has, "kitchen", 1), "it hears its room")


async def test_call_and_join_of_a_frozen_session_are_done_where_it_is_then() -> None:
    async with moving_stage(3) as stage:
        (one,) = stage.ids(1)
        async with listening(stage.shards.port, {one: f"/ws?id={one}"}) as (listener,):
            await connected(stage, listener)
            local = stage.connections[one]
            (remote,) = await stage.shards.servers[2].get_connections("lobby")
            listener.say("join", "left")
            await listener.until(lambda: listener.direct == ["left"], "it has joined")
            held = FrozenBatch(stage.source)
            moving = stage.move()
            await held.frozen()
            calls = [asyncio.create_task(each.call(Frame("what", 1), timeout_s=3)) for each in (local, remote)]
            changes = [asyncio.create_task(local.join("right")), asyncio.create_task(remote.join("up"))]
            changes.append(asyncio.create_task(local.leave("left")))
            await asyncio.sleep(0.02)
            assert not any(each.done() for each in (*calls, *changes))
            held.go_on()
            assert isinstance(await moving, MovedOut)
            await asyncio.gather(*changes)
            await listener.until(lambda: len(listener.calls) == 2, "it is asked")
            for call in listener.calls:
                listener.answer(call, "this")
            assert [(await each).decode() for each in calls] == ["this", "this"]
            (here,) = stage.shards.servers[1].local_connections()
            assert sorted(here.rooms) == ["lobby", "right", "up"]
            for room in ("lobby", "right", "up", "left"):
                await stage.shards.servers[0].broadcast(room, Frame("n", 1, room=room))
            await listener.until(lambda: len(listener.rooms) == 3, "it hears its rooms")
            assert sorted(listener.rooms) == ["lobby", "right", "up"]
            stage.assert_nothing_is_left(sessions=1)


async def test_session_whose_handler_does_not_end_is_closed_in_time_and_ends_once_in_the_source() -> None:
    async with moving_stage(2) as stage:
        busy, idle = stage.ids(2)
        stage.gates["for long"] = asyncio.Event()
        async with listening(stage.shards.port, {one: f"/ws?id={one}" for one in (busy, idle)}) as listeners:
            await connected(stage, *listeners)
            listeners[0].say("wait", "for long")
            listeners[0].say("n", 1)
            await eventually(lambda: stage.of(busy, "wait"), "it is being handled")
            outcome = await stage.move(0.3)
            assert isinstance(outcome, MovedOut)
            assert (outcome.moved, outcome.drained) == (1, 1)
            await listeners[0].until(listeners[0].is_closed, "it is closed")
            assert listeners[0].closed is not None
            code, reason = listeners[0].closed
            assert code == 1012
            assert reason.startswith("service restart; retry=")
            assert 0 <= int(reason.partition("retry=")[2]) <= 1000
            assert not stage.of(busy, "disconnect")
            stage.gates["for long"].set()
            await eventually(lambda: stage.of(busy, "disconnect"), "the application is told")
            assert [(seat, which) for seat, which, _ in stage.of(busy)] == [
                (0, "connect"),
                (0, "wait"),
                (0, "disconnect"),
            ]
            listeners[1].say("n", 2)
            await listeners[1].until(lambda: listeners[1].direct == [2], "the other one is served")
            stage.assert_nothing_is_left(sessions=1)


@pytest.mark.parametrize("raises", [None, LookupError])
async def test_transfer_callbacks_are_called_once_each_way_whatever_they_raise(raises: Any) -> None:
    transfers = Transfers(raises)
    async with moving_stage(2, transfers.note) as stage:
        ids = stage.ids(5)
        async with listening(stage.shards.port, {one: f"/ws?id={one}" for one in ids}) as listeners:
            await connected(stage, *listeners)
            for turn in range(4):
                assert isinstance(await stage.move(back=bool(turn % 2)), MovedOut)
            for listener in listeners:
                listener.say("n", 1)
                await listener.until(partial(listener.got, 1), "it is answered")
                assert [each[:2] for each in transfers.called if each[2] == listener.id] == [
                    (0, "out"),
                    (1, "in"),
                    (1, "out"),
                    (0, "in"),
                ] * 2


async def test_state_travels_and_what_msgpack_cannot_express_is_dropped_and_named_in_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with moving_stage(2) as stage:
        (one,) = stage.ids(1)
        async with listening(stage.shards.port, {one: f"/ws?id={one}"}) as (listener,):
            await connected(stage, listener)
            state = {"name": "ann", "seen": [1, 2.5, None, {"a": b"\xff"}], 7: "seven"}
            connection = stage.connections[one]
            connection.state.update(state)  # type: ignore[arg-type]
            connection.state.update(task=object(), inner={"file": object()}, pair=(1, 2))
            # What came of a client is JSON, and none of msgpack's.
            connection.state.update(payload=Raw(b'{"n":1}'), frames=[Frame("n", Raw(b"5"))])
            with caplog.at_level(logging.WARNING, "wspulse"):
                assert isinstance(await stage.move(), MovedOut)
            (here,) = stage.shards.servers[1].local_connections()
            assert here.state == {**state, "pair": [1, 2]}
            warnings = [record for record in caplog.records if record.name == "wspulse.moving"]
            keys = [sorted(getattr(record, "keys")) for record in warnings]  # noqa: B009 - which a LogRecord does not know of
            assert keys == [["frames", "inner", "payload", "task"], ["pair"]]
            assert warnings[0].connection_id == one  # type: ignore[attr-defined]
            # What the source kept is a snapshot.
            here.state["name"] = "bob"
            assert connection.state["name"] == "ann"
