"""What is left where it should not be when a move fails: it is closed, or lost, alone."""

from __future__ import annotations

from typing import Any

import pytest

from tests.actors.moving.test_moving_fails import assert_it_goes_on, crowd
from tests.support.eventually import eventually
from tests.support.shards.moving import FrozenBatch
from wspulse.actors.mesh.lifecycle import CloseStrays, MovedOut, MoveFailed
from wspulse.actors.mesh.placement import SLOTS
from wspulse.actors.moving import batch, landing


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
        await assert_it_goes_on(stage, listeners)
