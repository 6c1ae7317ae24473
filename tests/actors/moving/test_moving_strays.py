"""What is left where it should not be when a move fails: it is closed, or lost, alone."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from tests.actors.moving.test_moving_fails import TRANSFERS, assert_it_goes_on, crowd, hasty
from tests.support.eventually import eventually
from tests.support.shards.moving import FrozenBatch, listening
from wspulse import Frame
from wspulse.actors.mesh.lifecycle import CloseStrays, MovedOut, MoveFailed
from wspulse.actors.mesh.placement import SLOTS
from wspulse.actors.moving import batch, landing
from wspulse.actors.transport.transfer.opening import close_for_good, open_transport

__all__ = ["hasty"]


async def test_sessions_that_have_moved_where_nobody_looks_for_them_are_closed_there() -> None:
    async with crowd() as (stage, listeners):
        stage.conductor.order(stage.source, dict.fromkeys(range(SLOTS), stage.target.shard.seat))
        assert isinstance(await stage.conductor.outcome(), MovedOut)
        stage.target.handle(CloseStrays(0.0))
        for listener in listeners:
            await listener.until(listener.is_closed, "it is closed")
            assert listener.closed is not None
            assert listener.closed[0] == 1012
        await eventually(lambda: not stage.target.shard.sessions, "the one that is away has ended, too")
        ended = [each for each in stage.log if each[1] == "disconnect"]
        assert len(ended) == len(listeners) + 1
        assert {each[0] for each in ended} == {1}


async def test_sessions_of_our_own_slots_stay_when_those_of_others_are_closed() -> None:
    async with crowd() as (stage, listeners):
        assert isinstance(await stage.move(), MovedOut)
        stage.target.handle(CloseStrays(0.0))
        await assert_it_goes_on(stage, listeners, 1)


async def test_session_that_cannot_come_back_is_lost_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    async with crowd() as (stage, listeners):
        lost = listeners.pop()

        def land(shard: Any, lander: Any, of: Any = landing.land) -> None:
            if lander.session.id == lost.id:
                raise LookupError("planted")
            of(shard, lander)

        monkeypatch.setattr(batch, "land", land)
        held = FrozenBatch(stage.source)
        assert isinstance(await stage.move(0.2), MoveFailed)
        held.go_on()
        monkeypatch.undo()
        await lost.close()
        # It was told that it leaves, and is nowhere.
        TRANSFERS[:] = [each for each in TRANSFERS if each[2] != lost.id]
        await assert_it_goes_on(stage, listeners)


@pytest.mark.parametrize("where", ["target", "source"])
async def test_socket_that_no_loop_takes_is_a_transport_that_was_lost(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with crowd() as (stage, listeners):
        lost = listeners[0]

        def refuse(loop: Any, client: Any, protocol: Any, of: Any = open_transport) -> bool:
            if client.getpeername() != lost.peer.writer.get_extra_info("sockname"):
                return bool(of(loop, client, protocol))
            close_for_good(client)
            return False

        monkeypatch.setattr(landing, "open_transport", refuse)
        held = FrozenBatch(stage.source)
        moving = stage.move(0.2 if where == "source" else 10)
        await held.frozen()
        lost.say("early", 5)
        before = stage.target.shard.metrics.bus_messages_in
        await stage.shards.servers[1].broadcast("lobby", Frame("n", 1, room="lobby"))
        await eventually(lambda: stage.target.shard.metrics.bus_messages_in > before, "it is there")
        await stage.shards.servers[0].send(lost.id, Frame("n", 2))
        if where == "target":
            held.go_on()
            assert isinstance(await moving, MovedOut)
        else:
            assert isinstance(await moving, MoveFailed)
            held.go_on()
        monkeypatch.undo()
        await eventually(lambda: stage.of(lost.id, "drop"), "it is missed")
        here = int(where == "target")
        assert stage.of(lost.id, "early") == [(here, "early", 5)]
        assert [each[:2] for each in stage.of(lost.id, "drop")] == [(here, "drop")]
        async with listening(stage.shards.port, {lost.id: f"/ws?id={lost.id}"}) as (back,):
            await back.until(partial(back.has, "lobby", 1), "it has heard its room")
            await back.until(partial(back.got, 2, 5), "it has got what was sent to it, and the answer")
            back.direct.clear()
            stage.log.clear()
            for listener in (*listeners[1:], back):
                listener.say("hello", 3)
                await listener.until(partial(listener.got_many, 1), "it is served")
