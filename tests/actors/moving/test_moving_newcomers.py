"""Who connects while sessions move: with the id of one that moves, with another, and with a token alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, cast

import pytest

from tests.support.contract.exact_client import ExactClient
from tests.support.eventually import eventually
from tests.support.shards.moving import FrozenBatch, Listener, listening, said
from tests.support.shards.moving_stage import MovingStage, moving_stage
from tests.support.wire.raw_peer import RawPeer, head
from wspulse import Accept, Frame, Request, Server
from wspulse.actors.mesh.lifecycle import MovedOut
from wspulse.actors.mesh.placing.moves import BatchComing, MoveBegins
from wspulse.actors.sessions.transfer.record import FORMAT
from wspulse.actors.values.errors import ConnectionNotFoundError, InTransitError, SessionMovedError


async def connected(stage: MovingStage, *listeners: Listener) -> None:
    await eventually(lambda: all(each.id in stage.connections for each in listeners), "they are connected")


class Said:
    """In the place of a stream to a source."""

    def send(self, _envelope: object) -> None:
        """Nobody hears it."""


async def newcomer(port: int, connection_id: str) -> tuple[RawPeer, asyncio.Task[bytes]]:
    peer = await RawPeer.dial(port)
    peer.writer.write(head(f"/ws?id={connection_id}"))
    return peer, asyncio.create_task(peer.head())


@pytest.mark.parametrize("mode", ["kick", "resume", "reject"])
async def test_second_connection_of_a_frozen_id_waits_and_is_decided_about_in_the_target(mode: str) -> None:
    async with moving_stage(2, options=lambda _seat: {"on_duplicate": mode}) as stage:
        (one,) = stage.ids(1)
        async with listening(stage.shards.port, {one: f"/ws?id={one}"}) as (listener,):
            await connected(stage, listener)
            held = FrozenBatch(stage.source)
            moving = stage.move()
            await held.frozen()
            # Whichever process accepts them.
            second, answer = await newcomer(stage.shards.port, one)
            await asyncio.sleep(0.05)
            assert not answer.done()
            held.go_on()
            assert isinstance(await moving, MovedOut)
            status = (await answer).split(b" ")[1]
            assert status == (b"409" if mode == "reject" else b"101")
            if mode == "reject":
                listener.say("n", 1)
                await listener.until(partial(listener.got, 1), "it lives")
            else:
                reason = "duplicate connection id" if mode == "kick" else "replaced"
                await listener.until(listener.is_closed, "it is closed")
                assert listener.closed == (1000, reason)
                second.writer.write(said("n", 2))
                assert await second.expect("done") == 2
            await second.close()
            expected = {
                "kick": [(0, "connect"), (1, "disconnect"), (1, "connect"), (1, "n")],
                "resume": [(0, "connect"), (1, "drop"), (1, "restore"), (1, "n")],
                "reject": [(0, "connect"), (1, "n")],
            }
            assert [each[:2] for each in stage.of(one)][: len(expected[mode])] == expected[mode]


async def test_client_that_comes_back_while_its_suspended_session_is_frozen_gets_it_with_all_that_was_sent() -> None:
    async with moving_stage(3) as stage:
        (one,) = stage.ids(1)
        async with listening(stage.shards.port, {one: f"/ws?id={one}"}) as (listener,):
            await connected(stage, listener)
            listener.peer.reset()
        await eventually(lambda: stage.of(one, "drop"), "its transport is lost")
        servers = stage.shards.servers
        for number in range(3):
            await servers[number].send(one, _frame(number))
        held = FrozenBatch(stage.source)
        moving = stage.move()
        await held.frozen()
        sent = [asyncio.create_task(server.send(one, _frame(3))) for server in servers]
        back, answer = await newcomer(stage.shards.port, one)
        await asyncio.sleep(0.05)
        held.go_on()
        assert isinstance(await moving, MovedOut)
        assert (await answer).startswith(b"HTTP/1.1 101")
        assert [await back.expect("n") for _ in range(6)] == [0, 1, 2, 3, 3, 3]
        await asyncio.gather(*sent)
        assert [each[:2] for each in stage.of(one)] == [(0, "connect"), (0, "drop"), (1, "restore")]
        await back.close()


def _frame(number: int) -> Frame:
    return Frame("n", number)


async def test_new_ids_are_let_in_at_each_moment_of_a_move_and_reached_by_everybody() -> None:
    async with moving_stage(3) as stage:
        old = stage.ids(20)
        async with listening(stage.shards.port, {one: f"/ws?id={one}" for one in old}) as listeners:
            await connected(stage, *listeners)
            new = iter(stage.ids(400))
            peers: dict[str, RawPeer] = {}
            is_over = False

            async def come() -> None:
                while not is_over:
                    one = next(new)
                    peers[one] = await RawPeer.upgraded(stage.shards.port, f"/ws?id={one}")
                    await asyncio.sleep(0.002)

            coming = [asyncio.create_task(come()) for _ in range(2)]
            for turn in range(6):
                held = FrozenBatch(stage.target if turn % 2 else stage.source)
                moving = stage.move(back=bool(turn % 2))
                await held.frozen()
                await asyncio.sleep(0.01)
                held.go_on()
                outcome = await moving
                assert isinstance(outcome, MovedOut)
                assert outcome.drained == 0
            is_over = True
            await asyncio.gather(*coming)
            assert len(peers) > 20
            assert isinstance(await stage.move(), MovedOut)
            for one, peer in peers.items():
                for number, server in enumerate(stage.shards.servers):
                    await server.send(one, _frame(number))
                assert [await peer.expect("n") for _ in range(3)] == [0, 1, 2]
                peer.writer.write(said("n", one))
                assert await peer.expect("done") == one
                assert [each[1] for each in stage.of(one)] == ["connect", "n"]
                assert stage.of(one)[1][0] == 1
            for peer in peers.values():
                await peer.close()


def assert_one_after_another(called: list[str], mode: str) -> None:
    """The life of each session of an id, one behind the other."""
    state = "ended"
    for callback in called:
        match callback:
            case "connect":
                assert state == "ended", called
                state = "open"
            case "disconnect":
                assert state in ("open", "dropped"), called
                state = "ended"
            case "drop":
                assert state == "open", called
                state = "dropped"
            case "restore":
                assert state == "dropped", called
                state = "open"
            case "n":
                # What a transport had brought is handled after it was lost, and before the next one's.
                assert state != "ended", called


@pytest.mark.parametrize("mode", ["kick", "resume", "reject"])
async def test_clients_that_come_again_and_again_are_served_while_their_sessions_move(mode: str, draw: Any) -> None:
    async with moving_stage(2, options=lambda _seat: {"on_duplicate": mode, "resume_window": 2}) as stage:
        ids = stage.ids(6)
        is_over = False
        answered = 0

        async def come_and_go(one: str) -> None:
            nonlocal answered
            former: RawPeer | None = None
            while not is_over:
                peer = await RawPeer.dial(stage.shards.port)
                peer.writer.write(head(f"/ws?id={one}"))
                status = (await peer.head()).split(b" ")[1]
                assert status in ((b"101",) if mode != "reject" else (b"101", b"409")), status
                if status == b"101":
                    peer.writer.write(said("n", answered))
                    with suppress(asyncio.IncompleteReadError):
                        await peer.expect("done")
                    answered += 1
                    if former is not None:
                        await former.close()
                    former = peer
                else:
                    await peer.close()
                if former is not None and draw.random() < 0.5:
                    former.reset() if draw.random() < 0.7 else await former.close()
                    former = None
                await asyncio.sleep(draw.random() * 0.01)
            if former is not None:
                await former.close()

        clients = [asyncio.create_task(come_and_go(one)) for one in ids]
        for turn in range(12):
            outcome = await stage.move(back=bool(turn % 2))
            assert isinstance(outcome, MovedOut), outcome
            assert outcome.drained == 0
            await asyncio.sleep(0.02)
        is_over = True
        await asyncio.gather(*clients)
        assert answered > 50
        for one in ids:
            assert_one_after_another([which for _, which, _ in stage.of(one)], mode)
        stage.assert_nothing_is_left()
        for seat, server in enumerate(stage.shards.servers):
            for one in ids:
                with suppress(Exception):
                    await server.kick(one)
                assert not [each.id for each in server.local_connections() if each.id == one], seat


def nameless(server: Server, _seat: int) -> None:
    def connect(request: Request) -> Accept:
        return Accept("lobby", request.query.get("id", ""))

    server.connect(connect)


@pytest.mark.parametrize("when", ["before", "frozen", "after"])
@pytest.mark.parametrize("is_named", [True, False])
async def test_exact_client_finds_its_session_wherever_it_is_by_then(when: str, is_named: bool) -> None:
    make: Callable[[Server, int], object] = (lambda *_: None) if is_named else nameless
    async with moving_stage(2, make) as stage:
        (one,) = stage.ids(1)
        client = ExactClient(f"{stage.shards.url}?id={one}" if is_named else stage.shards.url)
        async with client:
            (here,) = [each for server in stage.shards.servers for each in server.local_connections()]
            # Of those that have no name, one at either.
            back = here in stage.shards.servers[1].local_connections()
            await here.send(_frame(1))
            assert await client.expect("n") == 1
            await client.send("n", 2)
            assert await client.expect("done") == 2
            client.drop()
            await eventually(lambda: stage.of(here.id, "drop"), "its transport is lost")
            await here.send(_frame(3))
            held = FrozenBatch(stage.target if back else stage.source)
            if when == "before":
                held.go_on()
                await client.dial()
                assert isinstance(await stage.move(back=back), MovedOut)
            elif when == "frozen":
                moving = stage.move(back=back)
                await held.frozen()
                await here.send(_frame(4))
                coming = asyncio.create_task(client.dial())
                await asyncio.sleep(0.05)
                held.go_on()
                assert isinstance(await moving, MovedOut)
                await coming
            else:
                held.go_on()
                assert isinstance(await stage.move(back=back), MovedOut)
                await client.dial()
            assert await client.expect("n") == 3
            if when == "frozen":
                assert await client.expect("n") == 4
            await client.send("n", 5)
            assert await client.expect("done") == 5
            assert [given for _, _, given in stage.of(here.id, "n")] == [2, 5]
            assert not stage.of(here.id, "disconnect")


async def test_nobody_is_sent_to_a_target_that_does_not_know_yet_that_it_decides() -> None:
    """It would send them back, and go by the table in the midst of what a stream carries: the later before the earlier."""
    async with moving_stage() as stage:
        (one,) = stage.ids(1)
        assert stage.target.movement is not None
        source, taking = stage.source.shard, stage.target.movement.moving
        take, begun, known = taking.take, asyncio.Event(), list[bool]()

        def take_first(stream: Any, envelope: Any, fd: int | None) -> None:
            take(stream, envelope, fd)
            known.append(stage.target.shard.transit is taking)

        def take_later(stream: Any, envelope: Any, fd: int | None) -> None:
            if begun.is_set():
                take(stream, envelope, fd)
            else:
                begun.set()
                asyncio.get_running_loop().call_later(0.05, take_first, stream, envelope, fd)

        taking.take = take_later  # type: ignore[method-assign]
        moving = stage.move()
        await asyncio.wait_for(begun.wait(), 5)
        assert source.transit is not None
        with pytest.raises(ConnectionNotFoundError):
            source.find(one)
        assert source.transit.newcomer_goes_to(one) == source.seat
        assert not moving.done()
        assert isinstance(await moving, MovedOut)
        assert known == [True]
        with pytest.raises(ConnectionNotFoundError):
            stage.target.shard.find(one)


async def test_id_whose_session_has_left_is_the_targets_though_a_last_callback_of_an_earlier_one_runs() -> None:
    async with moving_stage() as stage:
        (one,) = stage.ids(1)
        async with listening(stage.shards.port, {one: f"/ws?id={one}"}) as (listener,):
            await connected(stage, listener)
            shard = stage.source.shard
            shard.finishing[one] = cast("Any", object())
            moving = stage.move(0.5)
            await eventually(lambda: one in stage.target.shard.sessions, "it has left")
            assert not moving.done()
            assert shard.transit is not None
            assert shard.transit.newcomer_goes_to(one) == stage.target.shard.seat
            with pytest.raises(SessionMovedError):
                shard.find(one)
            del shard.finishing[one]
            assert isinstance(await moving, MovedOut)


async def test_session_that_was_let_in_here_is_not_waited_for_since_one_of_its_id_was_to_come() -> None:
    """The source had chosen that one, and it ended there before it left."""
    async with moving_stage() as stage:
        (one,) = stage.ids(1, seat=1)
        async with listening(stage.shards.port, {one: f"/ws?id={one}"}) as (listener,):
            await connected(stage, listener)
            assert stage.target.movement is not None
            moving, source = stage.target.movement.moving, stage.source.shard
            stream = cast("Any", Said())
            moving.take(stream, MoveBegins(1, source.seat, source.incarnation, FORMAT, []), None)
            moving.take(stream, BatchComing(1, ["lobby"], [(one, [0]), ("another", [0])]), None)
            assert moving.newcomer_goes_to(one) == stage.target.shard.seat
            with pytest.raises(InTransitError):
                moving.newcomer_goes_to("another")
            moving.stream_ended(stream)
