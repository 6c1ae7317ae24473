"""What is done to sessions that are between two processes: it waits, and is done where they are then, once and in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tests.support.eventually import eventually
from tests.support.shards.moving import FrozenBatch, listening
from tests.support.shards.moving_stage import moving_stage
from wspulse import Connection, Frame
from wspulse.actors.mesh.lifecycle import MovedOut, MoveFailed
from wspulse.actors.moving import batch, landing
from wspulse.actors.sessions.session import Session
from wspulse.actors.sessions.transfer.frozen import receiver
from wspulse.actors.values.errors import ConnectionClosedError, ConnectionNotFoundError, SendBufferFullError


async def test_frames_for_a_session_come_in_the_order_of_the_calls_whoever_sends_them_while_it_is_between() -> None:
    async with moving_stage(3) as stage:
        (one,) = stage.ids(1)
        source, target, third = stage.shards.servers
        async with listening(stage.shards.port, {one: f"/ws?id={one}"}) as (listener,):
            await eventually(lambda: one in stage.connections, "it is connected")
            held = FrozenBatch(stage.source)
            moving = stage.move()
            await held.frozen()
            connection = stage.connections[one]
            await connection.send(Frame("n", 0))
            sent = [asyncio.create_task(source.send(one, Frame("n", 1)))]
            await asyncio.sleep(0)
            connection.send_nowait(Frame("n", 2))
            sent.append(asyncio.create_task(connection.send_wait(Frame("n", 3))))
            await asyncio.sleep(0)
            sent.append(asyncio.create_task(source.send(one, Frame("n", 4))))
            sent.append(asyncio.create_task(target.send(one, Frame("other", 5))))
            sent.append(asyncio.create_task(third.send(one, Frame("other", 6))))
            await asyncio.sleep(0.01)
            held.go_on()
            assert isinstance(await moving, MovedOut)
            await asyncio.gather(*sent)
            connection.send_nowait(Frame("n", 7))
            await connection.send(Frame("n", 8))
            await source.send(one, Frame("n", 9))
            await listener.until(lambda: len(listener.direct) == 10, "it has got all")
            assert [each for each in listener.direct if each not in (5, 6)] == [0, 1, 2, 3, 4, 7, 8, 9]


@pytest.mark.parametrize("by", ["connection", "source", "target", "third"])
async def test_kick_or_close_of_a_session_between_two_processes_ends_it_in_the_target(by: str) -> None:
    async with moving_stage(3) as stage:
        (one,) = stage.ids(1)
        servers = dict(zip(["source", "target", "third"], stage.shards.servers, strict=True))
        async with listening(stage.shards.port, {one: f"/ws?id={one}"}) as (listener,):
            await eventually(lambda: one in stage.connections, "it is connected")
            held = FrozenBatch(stage.source)
            moving = stage.move()
            await held.frozen()
            connection = stage.connections[one]
            ending = asyncio.create_task(
                connection.close(4000, "bye") if by == "connection" else servers[by].kick(one, 4000, "bye")
            )
            await asyncio.sleep(0.01)
            assert not ending.done()
            held.go_on()
            assert isinstance(await moving, MovedOut)
            await ending
            await listener.until(lambda: listener.closed == (4000, "bye"), "it is told")
            await eventually(lambda: stage.of(one, "disconnect"), "the application is told")
            assert stage.of(one, "disconnect") == [(1, "disconnect", None)]
            with pytest.raises(ConnectionNotFoundError):
                await servers["source"].kick(one)
            stage.assert_nothing_is_left(sessions=0)


async def test_wait_closed_goes_on_where_the_session_goes() -> None:
    async with moving_stage(3) as stage:
        (one,) = stage.ids(1)
        third = stage.shards.servers[2]
        async with listening(stage.shards.port, {one: f"/ws?id={one}"}) as (listener,):
            await eventually(lambda: one in stage.connections, "it is connected")
            (remote,) = await third.get_connections("lobby")
            connection = stage.connections[one]
            waiting = [asyncio.create_task(each.wait_closed()) for each in (connection, remote)]
            held = FrozenBatch(stage.source)
            moving = stage.move()
            await held.frozen()
            waiting += [asyncio.create_task(each.wait_closed()) for each in (connection, remote)]
            await asyncio.sleep(0.01)
            held.go_on()
            assert isinstance(await moving, MovedOut)
            waiting += [asyncio.create_task(each.wait_closed()) for each in (connection, remote)]
            assert isinstance(await stage.move(back=True), MovedOut)
            await asyncio.sleep(0.05)
            assert not any(each.done() for each in waiting)
            await stage.shards.servers[0].kick(one)
            async with asyncio.timeout(5):
                await asyncio.gather(*waiting)
            await listener.until(lambda: listener.closed is not None, "it has ended")
            assert connection.closed


async def test_room_that_a_session_leaves_before_it_is_cut_out_says_nothing_to_it_any_more() -> None:
    async with moving_stage(3) as stage:
        (one,) = stage.ids(1)
        third = stage.shards.servers[2]
        async with listening(stage.shards.port, {one: f"/ws?id={one}"}) as (listener,):
            listener.say("join", "kitchen")
            await listener.until(lambda: listener.direct == ["kitchen"], "it has joined")
            bus = stage.source.shard.bus
            cut = bus.cut  # type: ignore[attr-defined]
            left: list[asyncio.Task[None]] = []

            def leave_and_cut(number: int) -> None:
                if not left:
                    left.append(asyncio.create_task(stage.connections[one].leave("kitchen")))
                    asyncio.get_running_loop().call_later(0.01, cut, number)
                else:
                    cut(number)

            bus.cut = leave_and_cut  # type: ignore[attr-defined]
            held = FrozenBatch(stage.source)
            moving = stage.move()
            await held.frozen()
            assert left[0].done()
            await third.broadcast("kitchen", Frame("n", 1, room="kitchen"))
            await third.broadcast("lobby", Frame("n", 2, room="lobby"))
            await asyncio.sleep(0.05)
            held.go_on()
            assert isinstance(await moving, MovedOut)
            await listener.until(lambda: "lobby" in listener.rooms, "it has heard the lobby")
            await third.broadcast("lobby", Frame("n", 3, room="lobby"))
            await listener.until(lambda: len(listener.rooms["lobby"]) == 2, "it hears the lobby")
            assert listener.rooms == {"lobby": [2, 3]}


async def test_session_that_waits_for_its_client_keeps_its_window_over_a_move() -> None:
    async with moving_stage(3) as stage:
        (one,) = stage.ids(1)
        async with listening(stage.shards.port, {one: f"/ws?id={one}"}) as (listener,):
            await eventually(lambda: one in stage.connections, "it is connected")
            listener.peer.reset()
        await eventually(lambda: stage.of(one, "drop"), "its transport is lost")
        await stage.shards.servers[0].send(one, Frame("n", 1))
        assert isinstance(await stage.move(), MovedOut)
        await stage.shards.servers[2].send(one, Frame("n", 2))
        await asyncio.sleep(0.1)
        assert stage.shards.connections == 1
        async with listening(stage.shards.port, {one: f"/ws?id={one}"}) as (listener,):
            await listener.until(lambda: listener.direct == [1, 2], "it has got what was buffered")
            await eventually(lambda: stage.of(one, "restore"), "it is back")
            assert stage.of(one, "restore", "connect", "disconnect") == [(0, "connect", None), (1, "restore", None)]


async def test_window_that_ends_during_a_move_or_after_it_ends_the_session_once_in_the_target() -> None:
    async with moving_stage(2, options=lambda _seat: {"resume_window": 0.3}) as stage:
        ids = stage.ids(6)
        async with listening(stage.shards.port, {one: f"/ws?id={one}" for one in ids}) as listeners:
            await eventually(lambda: len(stage.connections) == 6, "they are connected")
            for listener in listeners:
                listener.peer.reset()
        await eventually(lambda: all(stage.of(one, "drop") for one in ids), "their transports are lost")
        held = FrozenBatch(stage.source)
        moving = stage.move()
        await held.frozen()
        await asyncio.sleep(0.5)
        assert not any(stage.of(one, "disconnect") for one in ids)
        held.go_on()
        assert isinstance(await moving, MovedOut)
        await eventually(lambda: all(stage.of(one, "disconnect") for one in ids), "they have ended")
        for one in ids:
            ((seat, _, error),) = stage.of(one, "disconnect")
            assert seat == 1
            assert type(error).__name__ == "ConnectionLostError"


CALLS: dict[str, Callable[[Connection], Coroutine[Any, Any, object]]] = {
    "send": lambda connection: connection.send(Frame("n", 1)),
    "send_wait": lambda connection: connection.send_wait(Frame("n", 1)),
    "call": lambda connection: connection.call(Frame("n", 1)),
    "join": lambda connection: connection.join("kitchen"),
    "leave": lambda connection: connection.leave("porch"),
    "close": lambda connection: connection.close(4000, "bye"),
    "wait_closed": lambda connection: connection.wait_closed(),
}


@pytest.mark.parametrize("begins", ["between", "elsewhere"])
@pytest.mark.parametrize("name", CALLS)
async def test_call_that_is_made_before_a_move_and_begins_in_it_is_done_where_the_session_is(
    name: str, begins: str
) -> None:
    async with moving_stage() as stage:
        (one,) = stage.ids(1)
        async with listening(stage.shards.port, {one: f"/ws?id={one}"}) as (listener,):
            await eventually(lambda: one in stage.connections, "it is connected")
            connection = stage.connections[one]
            await connection.join("porch")
            # As asyncio.gather and create_task have it: the body begins when the loop says so.
            call, send_nowait = CALLS[name](connection), connection.send_nowait
            held = FrozenBatch(stage.source)
            moving = stage.move()
            await held.frozen()
            task = asyncio.create_task(call) if begins == "between" else None
            await asyncio.sleep(0.01)
            held.go_on()
            assert isinstance(await moving, MovedOut)
            task = task or asyncio.create_task(call)
            if name.startswith("send"):
                send_nowait(Frame("n", 2))
            if name == "call":
                await listener.until(lambda: listener.calls, "it is called")
                listener.answer(listener.calls[0], 3)
            if name == "wait_closed":
                await connection.close()
            async with asyncio.timeout(5):
                await task
            match name:
                case "send" | "send_wait":
                    await listener.until(lambda: sorted(listener.direct) == [1, 2], "it has got both")
                case "join" | "leave":
                    (here,) = stage.shards.servers[1].local_connections()
                    assert here.rooms == (("lobby", "porch", "kitchen") if name == "join" else ("lobby",))
                case "close":
                    await listener.until(lambda: listener.closed == (4000, "bye"), "it is told")
            assert not any(len(room) for room in stage.source.shard.rooms.values())


async def test_frame_for_one_that_has_ended_leads_none_past_the_session_that_has_its_id_by_now() -> None:
    async with moving_stage(3) as stage:
        (one,) = stage.ids(1)
        third = stage.shards.servers[2]
        async with listening(stage.shards.port, {one: f"/ws?id={one}"}) as (listener,):
            await eventually(lambda: one in stage.connections, "it is connected")
            (ended,) = await third.get_connections("lobby")
            await listener.close()
            await eventually(lambda: stage.of(one, "disconnect"), "it has ended")
        async with listening(stage.shards.port, {one: f"/ws?id={one}"}) as (listener,):
            gate = stage.gates["gate"] = asyncio.Event()
            listener.say("wait", "gate")
            await eventually(lambda: stage.of(one, "wait"), "a handler of it runs")
            moving = stage.move()
            await eventually(lambda: stage.source.shard.halting is not None, "the move has begun")
            of_the_ended = asyncio.create_task(ended.send(Frame("ended", 0)))
            asked = stage.shards.runtimes[2].owners._last
            while not of_the_ended.done() and (one not in asked or asked[one].seat != 1):  # noqa: ASYNC110 - a turn or two
                await asyncio.sleep(0)
            answers = await asyncio.gather(of_the_ended, third.send(one, Frame("n", 1)), return_exceptions=True)
            gate.set()
            assert isinstance(answers[0], ConnectionClosedError)
            assert answers[1] is None
            assert isinstance(await moving, MovedOut)
            await listener.until(lambda: listener.direct == [1, "gate"], "it has got both")


async def test_frames_for_a_session_that_comes_back_keep_their_order_until_its_socket_is_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with moving_stage() as stage:
        (one,) = stage.ids(1)
        async with listening(stage.shards.port, {one: f"/ws?id={one}"}) as (listener,):
            await eventually(lambda: one in stage.connections, "it is connected")
            connection = stage.connections[one]
            takers: list[Session] = []

            def land_and_send(shard: Any, lander: Any) -> None:
                landing.land(shard, lander)
                if not takers:
                    connection.send_nowait(Frame("n", 2))
                    takers.append(receiver(shard, one))

            monkeypatch.setattr(batch, "land", land_and_send)
            held = FrozenBatch(stage.source)
            moving = stage.move(0.2)
            await held.frozen()
            connection.send_nowait(Frame("n", 1))
            assert isinstance(await moving, MoveFailed)
            held.go_on()
            await connection.send(Frame("n", 3))
            await listener.until(lambda: len(listener.direct) >= 3, "it has got all")
            assert listener.direct == [1, 2, 3]
            assert takers == [stage.source.shard.sessions[one]]


async def test_who_sends_more_than_a_buffer_to_a_session_that_is_between_waits_until_it_is_somewhere() -> None:
    async with moving_stage(options=lambda _seat: {"send_buffer_size": 3}) as stage:
        (one,) = stage.ids(1)
        async with listening(stage.shards.port, {one: f"/ws?id={one}"}) as (listener,):
            await eventually(lambda: one in stage.connections, "it is connected")
            held = FrozenBatch(stage.source)
            moving = stage.move()
            await held.frozen()
            connection = stage.connections[one]

            async def send_all() -> None:
                for number in range(9):
                    await connection.send_wait(Frame("n", number))

            sending = asyncio.create_task(send_all())
            await asyncio.sleep(0.01)
            assert not sending.done()
            with pytest.raises(SendBufferFullError):
                connection.send_nowait(Frame("n", 9))
            with pytest.raises(SendBufferFullError):
                await stage.shards.servers[1].send(one, Frame("n", 10))
            held.go_on()
            assert isinstance(await moving, MovedOut)
            await sending
            await listener.until(lambda: len(listener.direct) >= 9, "it has got all")
            assert listener.direct == list(range(9))


async def test_stream_that_carries_a_commit_is_not_closed_before_the_kernel_has_that() -> None:
    async with moving_stage(2, options=lambda _seat: {"send_buffer_size": 64, "send_buffer_bytes": 1 << 28}) as stage:
        (one,) = stage.ids(1)
        async with listening(stage.shards.port, {one: f"/ws?id={one}"}) as (listener,):
            await eventually(lambda: one in stage.connections, "it is connected")
            held = FrozenBatch(stage.source)
            moving = stage.move()
            await held.frozen()
            # More than the kernel takes at once stands in the commit.
            for number in range(16):
                stage.connections[one].send_nowait(Frame("n", [number, "x" * 500_000]))
            held.go_on()
            assert isinstance(await moving, MovedOut)
            await listener.until(lambda: len(listener.direct) >= 16, "it has got all")
            assert [number for number, _ in listener.direct] == list(range(16))
