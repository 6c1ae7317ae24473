"""Sessions that move on and on: to one process after another, to several at once, and only some of them."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from functools import partial
from typing import Any

import pytest

from tests.support.eventually import eventually
from tests.support.shards.moving import Listener, listening
from tests.support.shards.moving_stage import MovingStage, moving_stage
from wspulse import Frame, Server
from wspulse.actors.mesh.lifecycle import MovedOut, MoveFailed
from wspulse.actors.mesh.placement import SLOTS


async def connected(stage: MovingStage, *listeners: Listener) -> None:
    await eventually(lambda: all(each.id in stage.connections for each in listeners), "they are connected")


class Talk:
    """All the time: numbered frames to each client, to its room, and from it."""

    def __init__(self, stage: MovingStage, listeners: list[Listener], servers: list[Server] | None = None) -> None:
        self.stage = stage
        self.listeners = listeners
        self.servers = stage.shards.servers if servers is None else servers
        self.said = 0
        self._over = False

    async def _talk(self) -> None:
        servers = self.servers
        while not self._over:
            server = servers[self.said % len(servers)]
            await asyncio.gather(
                *(server.send(each.id, Frame("direct", ["direct", self.said])) for each in self.listeners)
            )
            for each in self.listeners:
                each.say("n", ["echo", self.said])
            await server.broadcast("lobby", Frame("all", self.said, room="lobby"))
            self.said += 1
            await asyncio.sleep(0.003)

    async def __aenter__(self) -> Talk:
        self._task = asyncio.create_task(self._talk())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._over = True
        await self._task
        numbers = list(range(self.said))
        for each in self.listeners:
            await each.until(partial(each.got_many, 2 * self.said), "it has got all")
            await each.until(partial(each.has, "lobby", self.said), "it has heard all")
            # Those of one server keep their order, and all hear one; between two servers none is promised.
            heard = each.rooms["lobby"]
            assert heard == self.listeners[0].rooms["lobby"]
            assert sorted(heard) == numbers
            several = len(self.servers)
            for first in range(several):
                assert [number for number in heard if number % several == first] == numbers[first::several]
            assert [number for kind, number in each.direct if kind == "direct"] == numbers
            assert [number for kind, number in each.direct if kind == "echo"] == numbers
            assert [given[1] for _, _, given in self.stage.of(each.id, "n")] == numbers
            assert [callback for _, callback, _ in self.stage.of(each.id) if callback != "n"] == ["connect"]


async def test_sessions_go_round_all_processes_and_their_clients_notice_nothing() -> None:
    async with moving_stage(3) as stage:
        ids = stage.ids(10)
        async with listening(stage.shards.port, {one: f"/ws?id={one}" for one in ids}) as listeners:
            await connected(stage, *listeners)
            runtimes = stage.shards.runtimes
            async with Talk(stage, listeners):
                for turn in range(9):
                    source, target = runtimes[turn % 3], runtimes[(turn + 1) % 3]
                    targets = dict.fromkeys(range(SLOTS), target.shard.seat)
                    outcome = await stage.conductor.move(source, targets, leaves=False)
                    assert isinstance(outcome, MovedOut)
                    assert (outcome.moved, outcome.drained) == (10, 0)
                    assert [len(runtime.shard.sessions) for runtime in runtimes].count(10) == 1
                    assert len(target.shard.sessions) == 10
            stage.assert_nothing_is_left(sessions=10)
            # The connections that the first process has kept reach their sessions wherever they are.
            for listener in listeners:
                await stage.connections[listener.id].send(Frame("n", "kept"))
                await listener.until(lambda: "kept" in listener.direct, "it has got it")  # noqa: B023


async def test_workers_are_replaced_again_and_again_and_their_clients_notice_nothing() -> None:
    async with moving_stage(3) as stage:
        ids = stage.ids(8)
        async with listening(stage.shards.port, {one: f"/ws?id={one}" for one in ids}) as listeners:
            await connected(stage, *listeners)
            # A server that is closed says nothing more.
            async with Talk(stage, listeners, stage.shards.servers[2:]):
                for turn in range(6):
                    outcome = await stage.conductor.reload(turn % 2)
                    assert isinstance(outcome, MovedOut)
                    assert (outcome.moved, outcome.drained) == ((8, 0) if turn % 2 == 0 else (0, 0))
            stage.assert_nothing_is_left(sessions=8)
            assert len(stage.shards.seats) == 3


async def test_some_slots_go_to_two_targets_at_once_and_the_others_stay() -> None:
    async with moving_stage(3) as stage:
        ids = stage.ids(30)
        async with listening(stage.shards.port, {one: f"/ws?id={one}" for one in ids}) as listeners:
            await connected(stage, *listeners)
            placement = stage.source.placement
            seats = {slot: slot % 3 for slot in range(SLOTS)}
            targets = {slot: seat for slot, seat in seats.items() if seat}
            expected = {one: seats[placement.slot_of(one)] for one in ids}
            async with Talk(stage, listeners):
                outcome = await stage.conductor.move(stage.source, targets, leaves=False)
                assert isinstance(outcome, MovedOut)
                assert outcome.moved == sum(1 for seat in expected.values() if seat)
                await asyncio.sleep(0.05)
            for one, seat in expected.items():
                assert one in stage.shards.seats[seat].shard.sessions
            assert {seat for seat, _, _, _ in stage.log} == {0, 1, 2}
            stage.assert_nothing_is_left(sessions=30)


async def test_two_sources_move_to_each_other_at_the_same_time() -> None:
    async with moving_stage(3) as stage:
        mine, yours = stage.ids(12, 0), stage.ids(12, 1)
        async with listening(stage.shards.port, {one: f"/ws?id={one}" for one in mine + yours}) as listeners:
            await connected(stage, *listeners)
            async with Talk(stage, listeners):
                both = []
                for source, target in ((stage.source, stage.target), (stage.target, stage.source)):
                    stage.conductor.order(source, dict.fromkeys(range(SLOTS), target.shard.seat), leaves=False)
                    both.append(stage.conductor.plan)
                outcomes = [await stage.conductor.outcome(plan) for plan in both]
                assert [type(each) for each in outcomes] == [MovedOut, MovedOut]
                assert [each.moved for each in outcomes] == [12, 12]
                stage.shards.flip(lambda seat: {0: 1, 1: 0}.get(seat, seat))
                await asyncio.sleep(0.05)
            assert set(mine) == set(stage.target.shard.sessions)
            assert set(yours) == set(stage.source.shard.sessions)


@pytest.mark.parametrize("options", [{"resume_window": 0}, {"resume_window": 0.2}])
async def test_sessions_that_wait_for_their_clients_wait_as_long_as_the_target_lets_them(
    options: dict[str, Any],
) -> None:
    async with moving_stage(2, options=lambda seat: options if seat == 1 else {"resume_window": 30}) as stage:
        ids = stage.ids(4)
        async with listening(stage.shards.port, {one: f"/ws?id={one}" for one in ids}) as listeners:
            await connected(stage, *listeners)
            listeners[0].peer.reset()
            await eventually(lambda: stage.of(ids[0], "drop"), "its transport is lost")
            assert isinstance(await stage.move(), MovedOut)
            await eventually(lambda: stage.of(ids[0], "disconnect"), "it has ended", 2)
            ((seat, _, error),) = stage.of(ids[0], "disconnect")
            assert seat == 1
            assert type(error).__name__ == "ConnectionLostError"
            # One that loses its transport in the target is as any other of it.
            listeners[1].peer.reset()
            await eventually(lambda: stage.of(ids[1], "disconnect"), "it has ended", 2)
            listeners[2].say("n", 1)
            await listeners[2].until(listeners[2].has_an_answer, "it is served")


async def test_plan_that_comes_while_one_is_under_way_is_refused() -> None:
    async with moving_stage(2) as stage:
        (one,) = stage.ids(1)
        stage.gates["it"] = asyncio.Event()
        async with listening(stage.shards.port, {one: f"/ws?id={one}"}) as (listener,):
            await connected(stage, listener)
            listener.say("wait", "it")
            await eventually(lambda: stage.of(one, "wait"), "it is being handled")
            moving = stage.move()
            await asyncio.sleep(0.02)
            first = stage.conductor.plan
            stage.conductor.order(stage.source, dict.fromkeys(range(SLOTS), 1), leaves=False)
            refused = await stage.conductor.outcome()
            assert isinstance(refused, MoveFailed)
            assert refused.reason == "another move is in progress"
            stage.conductor.plan = first
            stage.gates["it"].set()
            assert isinstance(await moving, MovedOut)


KINDS = ("Session", "ExactSession", "Inbox", "Transport", "Keeper", "Lander", "Arrival", "FurtherRooms")


def alive() -> Counter[str]:
    gc.collect()
    return Counter(
        name
        for each in gc.get_objects()
        if (name := type(each).__name__.removeprefix("_")) in (*KINDS, "DepartedSession")
    )


async def test_nothing_is_kept_of_sessions_that_have_gone() -> None:
    async with moving_stage(2) as stage:
        ids = stage.ids(10)
        async with listening(stage.shards.port, {one: f"/ws?id={one}" for one in ids}) as listeners:
            await connected(stage, *listeners)
            for listener in listeners[:3]:
                listener.say("join", "kitchen")
                await listener.until(listener.has_an_answer, "it has joined")
            stage.connections.clear()
            counted: list[Counter[str]] = []
            for turn in range(8):
                assert isinstance(await stage.move(back=bool(turn % 2)), MovedOut)
                for listener in listeners:
                    listener.say("n", turn)
                    await listener.until(partial(lambda given, each: given in each.direct, turn, listener), "answered")
                await asyncio.sleep(0.05)
                counted.append(alive())
            assert counted[-1] == counted[1]
            for server in stage.shards.servers:
                assert not server.local_connections() or len(server.local_connections()) == 10


async def test_sessions_that_wait_for_their_clients_leave_nothing_heavy_behind() -> None:
    async with moving_stage(2, options=lambda _seat: {"resume_window": 30}) as stage:
        ids = stage.ids(3)
        async with listening(stage.shards.port, {one: f"/ws?id={one}" for one in ids}) as listeners:
            await connected(stage, *listeners)
            for listener in listeners:
                listener.peer.reset()
        await eventually(lambda: all(stage.of(one, "drop") for one in ids), "their transports are lost")
        stage.connections.clear()
        for one in ids:
            await stage.shards.servers[0].send(one, Frame("n", "x" * 100_000))
        for turn in range(4):
            assert isinstance(await stage.move(back=bool(turn % 2)), MovedOut)
        gc.collect()
        buffers = [each for each in gc.get_objects() if type(each).__name__ == "SendBuffer"]
        assert len(buffers) == 3
