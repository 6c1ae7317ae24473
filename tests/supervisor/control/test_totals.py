"""The totals of `stats`: counters that go on when workers end, gauges of those that are there, and each room once."""

from __future__ import annotations

from pathlib import Path

from tests.support.control.control_stage import ControlStage, PretendedShard, control_stage
from tests.support.control.dealers import dealers
from tests.support.eventually import eventually
from wspulse import AsyncControl
from wspulse.actors.mesh.message import GetStats, ListRooms
from wspulse.supervisor.process.child import ChildState


def tells(stage: ControlStage, shard: int, connections: int, **counters: object) -> None:
    """What a shard answers from now on."""
    stage.shards[shard].answers[GetStats] = {"connections": connections, "counters": counters}


async def test_room_counts_once_on_however_many_shards_it_has_members(tmp_path: Path) -> None:
    async with control_stage(tmp_path, workers=3) as stage, AsyncControl(stage.endpoint) as control:
        for shard, rooms in enumerate((["den", "hall"], ["den"], ["den", "attic"])):
            stage.shards[shard].answers[ListRooms] = [[room, 1] for room in rooms]
            stage.shards[shard].answers[GetStats] = {"connections": 2, "rooms": len(rooms), "counters": {}}
        stats = await control.stats()
        assert stats.totals.rooms == 3
        assert [worker.rooms for worker in stats.workers] == [2, 1, 2]
        stage.pretended[2].silence_s = 60.0
        assert (await control.stats()).totals.rooms == 2


async def test_counters_go_on_from_what_a_worker_told_last_and_gauges_do_not(tmp_path: Path) -> None:
    async with control_stage(tmp_path) as stage, AsyncControl(stage.endpoint) as control:
        tells(stage, 0, 3, frames_in=100, frames_out=7)
        tells(stage, 1, 4, frames_in=20, frames_out=1)
        totals = (await control.stats()).totals
        assert (totals.connections, totals.frames_in, totals.frames_out) == (7, 120, 8)
        child = stage.pretended[1]
        child.incarnation, child.state = None, ChildState.WAITING
        stage.shards[1].stop()
        await until_down(stage)
        totals = (await control.stats()).totals
        assert (totals.connections, totals.frames_in, totals.frames_out) == (3, 120, 8)
        tells(stage, 1, 1, frames_in=5, frames_out=0)
        child.incarnation, child.state = 2, ChildState.READY
        stage.shards[1].start()
        await stage.links_up()
        stats = await control.stats()
        assert (stats.totals.connections, stats.totals.frames_in, stats.totals.frames_out) == (4, 125, 8)
        assert [worker.frames_in for worker in stats.workers] == [100, 5]


async def until_down(stage: ControlStage) -> None:
    links = stage.plane._links
    await eventually(lambda: not links.is_up(1), "the end of its stream was seen")


async def test_silent_worker_is_shown_with_what_it_told_last(tmp_path: Path) -> None:
    async with control_stage(tmp_path) as stage, AsyncControl(stage.endpoint) as control:
        tells(stage, 0, 3, frames_in=100)
        tells(stage, 1, 4, frames_in=20)
        stage.pretended[1].tally.heard(1, {"frames_in": 18})
        stage.pretended[1].silence_s, stage.pretended[1].connections = 60.0, 4
        stats = await control.stats()
        assert (stats.totals.connections, stats.totals.frames_in) == (7, 118)
        worker = stats.workers[1]
        assert (worker.state, worker.connections, worker.frames_in) == ("silent", 4, 18)
        stage.pretended[1].silence_s = 0.0
        stage.shards[1].answers[GetStats] = PretendedShard.SILENCE
        assert (await control.stats()).totals.frames_in == 118


async def test_counters_of_any_name_and_by_kind_are_summed(tmp_path: Path) -> None:
    async with control_stage(tmp_path) as stage:
        tells(stage, 0, 1, of_a_later_version=3, refused={"401": 1})
        tells(stage, 1, 1, of_a_later_version=4, refused={"401": 2, "503": 1})
        with dealers() as peers:
            result = (await peers.dial(stage.endpoint).ask("stats"))["result"]
        assert result["totals"]["of_a_later_version"] == 7
        assert result["totals"]["refused"] == {"401": 3, "503": 1}
        assert [worker["of_a_later_version"] for worker in result["workers"]] == [3, 4]
        assert "counters" not in result["totals"] | result["workers"][0]
