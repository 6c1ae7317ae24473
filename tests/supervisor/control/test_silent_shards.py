"""What lists are made of while a shard is alive and does not answer: the others, and its number."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.support.control.control_stage import PretendedShard, control_stage
from tests.support.control.dealers import dealers
from wspulse import AsyncControl, Control
from wspulse.actors.mesh.message import ConnectionList, ConnectionRecord, ListConnections, ListRooms


async def test_list_with_a_silent_shard_has_the_others_and_names_it_at_once(tmp_path: Path) -> None:
    async with control_stage(tmp_path, workers=3) as stage:
        for shard in stage.shards:
            shard.answers[ListConnections] = ConnectionList(
                [ConnectionRecord(f"c{shard.shard}", "den", shard.shard, shard.shard + 1, 1, "connected", 5.5, 0)]
            )
            shard.answers[ListRooms] = [["den", 1]]
        stage.pretended[1].silence_s = 3.0
        async with AsyncControl(stage.endpoint) as control, asyncio.timeout(2):
            connections, rooms = await control.connections(), await control.rooms()
        assert [each.id for each in connections] == ["c0", "c2"]
        assert [(each.id, each.connections) for each in rooms] == [("den", 2)]
        assert connections.missing_shards == rooms.missing_shards == (1,)
        assert stage.shards[1].asked == []


async def test_answer_over_all_shards_tells_of_no_missing_one(tmp_path: Path) -> None:
    async with control_stage(tmp_path) as stage:
        with dealers() as peers:
            dealer = peers.dial(stage.endpoint)
            assert await dealer.ask("rooms") == {"id": 1, "ok": True, "result": []}
            stage.pretended[0].silence_s = 60.0
            assert await dealer.ask("rooms") == {"id": 2, "ok": True, "result": [], "incomplete": [0]}
        with Control(stage.endpoint) as control:
            stage.pretended[0].silence_s = 0.0
            assert (await asyncio.to_thread(control.rooms)).missing_shards == ()
            stage.pretended[0].silence_s = 60.0
            assert (await asyncio.to_thread(control.connections)).missing_shards == (0,)
    await asyncio.get_running_loop().shutdown_default_executor()


async def test_shard_that_falls_silent_while_it_is_asked_is_waited_for_and_then_named(tmp_path: Path) -> None:
    async with control_stage(tmp_path) as stage, AsyncControl(stage.endpoint) as control:
        stage.shards[0].answers[ListRooms] = [["den", 2]]
        stage.shards[1].answers[ListRooms] = PretendedShard.SILENCE
        rooms = await control.rooms()
        assert [each.id for each in rooms] == ["den"]
        assert rooms.missing_shards == (1,)


async def test_shard_that_is_down_is_not_missing_since_its_sessions_are_gone(tmp_path: Path) -> None:
    async with control_stage(tmp_path, up=False) as stage, AsyncControl(stage.endpoint) as control:
        stage.pretended[0].silence_s = 60.0
        rooms = await control.rooms()
        assert rooms == []
        assert rooms.missing_shards == ()
