"""Who is listed while sessions move: each once, at any moment, by whichever process asks."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from tests.support.eventually import eventually
from tests.support.shards.moving import Listener, listening
from tests.support.shards.moving_stage import MovingStage, moving_stage
from tests.support.shards.pretended_target import PretendedTarget
from wspulse import Server
from wspulse.actors.mesh.lifecycle import MovedOut, MoveFailed
from wspulse.actors.mesh.message import ListConnections
from wspulse.actors.mesh.placement import SLOTS
from wspulse.actors.mesh.placing.moves import BatchSent
from wspulse.actors.moving import departure
from wspulse.actors.moving.arrival import codec_name


class Lists:
    """What is listed, looked at in each turn of the loop and by every process."""

    def __init__(self, stage: MovingStage, ids: list[str], servers: list[Server]) -> None:
        self.stage = stage
        self.ids = ids
        self.servers = servers
        self.wrong: list[Any] = []
        self.looks = 0
        self._over = False

    def _look(self, how: str, found: list[str]) -> None:
        self.looks += 1
        counted = Counter(found)
        wrong = {one: counted[one] for one in self.ids if counted[one] != 1}
        if wrong:
            self.wrong.append((how, len(wrong), sorted(set(wrong.values()))))

    async def in_each_turn(self) -> None:
        """What the processes would tell if all were asked at once, and what they have."""
        room = ListConnections("lobby")
        while not self._over:
            records = {
                (record.incarnation, record.serial): record
                for runtime in self.stage.shards.seats.values()
                for record in runtime._dispatch.listed(room).records
            }
            self._look("records of all", [record.id for record in records.values()])
            await asyncio.sleep(0)

    async def as_asked(self, server: Server, how: str) -> None:
        while not self._over:
            self._look(f"{how} connections", [each.id for each in await server.get_connections("lobby")])
            self._look(f"{how} presence", [each.id for each in await server.presence("lobby")])

    async def __aenter__(self) -> Lists:
        self._tasks = [
            asyncio.create_task(self.in_each_turn()),
            *(asyncio.create_task(self.as_asked(server, f"{seat}'s")) for seat, server in enumerate(self.servers)),
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._over = True
        await asyncio.gather(*self._tasks)


async def connected(stage: MovingStage, *listeners: Listener) -> None:
    await eventually(lambda: all(each.id in stage.connections for each in listeners), "they are connected")


async def test_each_session_is_listed_once_at_any_moment_of_moves() -> None:
    async with moving_stage(3) as stage:
        ids = stage.ids(70)
        async with listening(stage.shards.port, {one: f"/ws?id={one}" for one in ids}) as listeners:
            await connected(stage, *listeners)
            for listener in listeners[:5]:
                listener.peer.reset()
            await eventually(lambda: all(stage.of(one, "drop") for one in ids[:5]), "five wait for their clients")
            async with Lists(stage, ids, stage.shards.servers) as lists:
                for turn in range(4):
                    assert isinstance(await stage.move(back=bool(turn % 2)), MovedOut)
            assert lists.looks > 100
            assert lists.wrong == []


async def test_each_session_is_listed_once_at_any_moment_of_a_move_that_is_taken_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(departure, "_AGAIN_S", 0.01)
    async with moving_stage(3) as stage:
        ids = stage.ids(70)
        async with listening(stage.shards.port, {one: f"/ws?id={one}" for one in ids}) as listeners:
            await connected(stage, *listeners)
            target = PretendedTarget(stage.source, stage.shards.folder, codec_name(stage.source.shard))
            target.answer[BatchSent] = lambda stream, _envelope: stream.close()
            try:
                async with Lists(stage, ids, []) as lists:
                    outcome = await stage.conductor.move(
                        stage.source, dict.fromkeys(range(SLOTS), target.seat), 0.2, leaves=False
                    )
                assert isinstance(outcome, MoveFailed)
                assert lists.wrong == []
            finally:
                target.close()
