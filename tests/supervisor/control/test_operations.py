"""What each operation does: the whole control plane, in front of shards that are only pretended."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.control.control_stage import ControlStage, PretendedShard, control_stage
from tests.support.control.dealers import Dealer, dealers
from wspulse import AsyncControl, ControlError
from wspulse.actors.mesh.message import (
    BroadcastPayload,
    ConnectionList,
    ConnectionRecord,
    GetStats,
    JoinRoom,
    Kick,
    LeaveRoom,
    ListConnections,
    ListRooms,
    Message,
    SendPayload,
)
from wspulse.actors.mesh.placement import Placement
from wspulse.actors.values.errors import (
    BadRequestError,
    ConnectionNotFoundError,
    SendBufferFullError,
    ServerClosedError,
)
from wspulse.supervisor.moving.scaling import Scaled
from wspulse.supervisor.moving.turn import Moved
from wspulse.supervisor.process.child import ChildState
from wspulse.supervisor.process.restart.failure import MoveFailedError, RestartFailedError
from wspulse.supervisor.protocol.calls import Call


def asked_of(stage: ControlStage) -> list[list[Message]]:
    return [shard.asked for shard in stage.shards]


async def test_ping_tells_version_workers_and_events(tmp_path: Path) -> None:
    async with control_stage(tmp_path, workers=3) as stage, AsyncControl(stage.endpoint) as control:
        info = await control.ping()
        assert (info.workers, info.events) == (3, f"ipc://{stage.runtime_dir.socket_path('events')}")
        assert info.version


async def test_send_and_kick_go_to_the_shard_that_owns_the_id_as_they_came(tmp_path: Path) -> None:
    async with control_stage(tmp_path) as stage:
        with dealers() as peers:
            dealer = peers.dial(stage.endpoint)
            name = Placement(2).new_id(1)
            frame = '{"payload": {"a": 1.50}}'
            dealer.socket.send(
                b'{"id":1,"op":"send","args":{"connection":"%s","frame":%s}}' % (name.encode(), frame.encode())
            )
            assert await dealer.answer() == {"id": 1, "ok": True, "result": None}
            assert asked_of(stage) == [[], [SendPayload(name, frame.encode(), "json")]]
            async with AsyncControl(stage.endpoint) as control:
                await control.kick(name)
            assert asked_of(stage)[1][1:] == [Kick(name)]


async def test_broadcasts_to_one_room_go_by_one_shard(tmp_path: Path) -> None:
    async with control_stage(tmp_path) as stage, AsyncControl(stage.endpoint) as control:
        for number in range(3):
            await control.broadcast("den", {"payload": number})
        (by,) = [asked for asked in asked_of(stage) if asked]
        assert [type(message) for message in by] == [BroadcastPayload] * 3
        assert all(isinstance(message, BroadcastPayload) and message.room_id == "den" for message in by)


async def test_broadcast_takes_along_whom_it_leaves_out(tmp_path: Path) -> None:
    async with control_stage(tmp_path, workers=1) as stage, AsyncControl(stage.endpoint) as control:
        await control.broadcast("den", {"payload": 1}, exclude=["bob", "ann"])
        (broadcast,) = stage.shards[0].asked
        assert isinstance(broadcast, BroadcastPayload)
        assert broadcast.exclude == ("ann", "bob")
        with pytest.raises(TypeError):
            await control.broadcast("den", {}, exclude="ann")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConnectionNotFoundError("ada"), "connection_not_found"),
        (SendBufferFullError("ada"), "send_buffer_full"),
        (BadRequestError("no frame"), "bad_request"),
    ],
)
async def test_refusal_of_the_shard_is_the_answer(error: Exception, code: str, tmp_path: Path) -> None:
    async with control_stage(tmp_path, workers=1) as stage, AsyncControl(stage.endpoint) as control:
        stage.shards[0].answers[SendPayload] = error
        with pytest.raises(ControlError) as refused:
            await control.send("ada", {})
        assert (refused.value.error_code, str(refused.value)) == (code, str(error))


async def test_join_and_leave_are_asked_of_the_owner_with_a_deadline(tmp_path: Path) -> None:
    async with control_stage(tmp_path, workers=1) as stage, AsyncControl(stage.endpoint) as control:
        await control.join("ada", "den")
        await control.leave("ada", "den")
        join, leave = stage.shards[0].asked
        assert isinstance(join, JoinRoom)
        assert (join.connection_id, join.room_id, join.key) == ("ada", "den", None)
        assert 0 < join.deadline - time.monotonic() <= 5
        assert leave == LeaveRoom("ada", "den")


@pytest.mark.parametrize("room", ["x" * 257, "\ud83d"])
async def test_join_of_what_is_no_room_id_is_refused_by_client_and_server(room: str, tmp_path: Path) -> None:
    async with control_stage(tmp_path, workers=1) as stage, AsyncControl(stage.endpoint) as control:
        with pytest.raises(ValueError, match="room id"):
            await control.join("ada", room)
        if room.isascii():
            with pytest.raises(ControlError) as refused:
                await control.call(Call("join", {"connection": "ada", "room": room}, type(None)))
            assert refused.value.error_code == "bad_request"
        assert stage.shards[0].asked == []


def record(name: str, shard: int, serial: int) -> ConnectionRecord:
    return ConnectionRecord(name, "den", shard, shard + 1, serial, "connected", 5.5, shard, further_rooms=("hall",))


async def test_connections_of_all_shards_are_listed_and_a_room_is_passed_on(tmp_path: Path) -> None:
    async with control_stage(tmp_path) as stage, AsyncControl(stage.endpoint) as control:
        for shard in stage.shards:
            shard.answers[ListConnections] = ConnectionList(
                [record(f"c{shard.shard}-{number}", shard.shard, number) for number in range(2500)]
            )
        found = await control.connections("den")
        assert len(found) == 5000
        assert {(each.shard, each.queued) for each in found} == {(0, 0), (1, 1)}
        assert (found[0].id, found[0].room, found[0].state, found[0].connected_at) == ("c0-0", "den", "connected", 5.5)
        assert found[0].rooms == ("den", "hall")
        assert asked_of(stage) == [[ListConnections("den")]] * 2


async def test_rooms_are_counted_over_all_shards(tmp_path: Path) -> None:
    async with control_stage(tmp_path) as stage, AsyncControl(stage.endpoint) as control:
        stage.shards[0].answers[ListRooms] = [["den", 2], ["hall", 1]]
        stage.shards[1].answers[ListRooms] = [["den", 3]]
        assert {room.id: room.connections for room in await control.rooms()} == {"den": 5, "hall": 1}
        stage.shards[1].stop()
        await eventually_rooms(control, {"den": 2, "hall": 1})


async def eventually_rooms(control: AsyncControl, wanted: dict[str, int]) -> None:
    """The end of a shard's stream is seen in its own time."""
    async with asyncio.timeout(5):
        while {room.id: room.connections for room in await control.rooms()} != wanted:
            pass


async def test_stats_are_summed_where_a_sum_means_something(tmp_path: Path) -> None:
    async with control_stage(tmp_path) as stage, AsyncControl(stage.endpoint) as control:
        for shard, child in zip(stage.shards, stage.pretended, strict=True):
            child.pid, child.history.restarts = os.getpid(), shard.shard
            shard.answers[GetStats] = {
                "connections": 3 + shard.shard,
                "counters": {"frames_dropped": 10},
                "uptime_s": 7.0,
                "loop_lag_s": 0.5,
                "loop_lag_worst_s": 0.75,
            }
        stats = await control.stats()
        assert (stats.totals.connections, stats.totals.frames_dropped, stats.totals.restarts) == (7, 20, 1)
        assert [worker.connections for worker in stats.workers] == [3, 4]
        assert [(worker.uptime_s, worker.loop_lag_s, worker.loop_lag_worst_s) for worker in stats.workers] == [
            (7.0, 0.5, 0.75)
        ] * 2
        assert stats.pid == os.getpid()
        one = stats.workers[0].rss_bytes
        assert one is not None
        assert stats.totals.rss_bytes is not None
        assert stats.totals.rss_bytes >= 2 * min(one, stats.workers[1].rss_bytes or 0)
        with dealers() as peers:
            totals = (await peers.dial(stage.endpoint).ask("stats"))["result"]["totals"]
        assert not totals.keys() & {
            "shard",
            "pid",
            "uptime_s",
            "silent_for_s",
            "loop_lag_s",
            "loop_lag_worst_s",
            "state",
        }


async def test_stats_show_a_worker_that_was_not_heard_for_3_s_as_silent_and_do_not_ask_it(tmp_path: Path) -> None:
    async with control_stage(tmp_path, workers=3) as stage, AsyncControl(stage.endpoint) as control:
        for child, silence_s in zip(stage.pretended, (2.9, 3.0, 60.0), strict=True):
            child.silence_s, child.connections = silence_s, 5
        stage.pretended[2].state = ChildState.WAITING
        for shard in stage.shards:
            shard.answers[GetStats] = {"connections": 1}
        stats = await control.stats()
        assert [worker.state for worker in stats.workers] == ["ready", "silent", "waiting"]
        assert [worker.silent_for_s for worker in stats.workers] == [0, 3, 60]
        assert [worker.connections for worker in stats.workers] == [1, 5, 5]
        assert asked_of(stage) == [[GetStats()], [], []]


async def test_stats_wait_2_s_for_a_worker_that_does_not_answer(tmp_path: Path) -> None:
    async with control_stage(tmp_path) as stage, AsyncControl(stage.endpoint) as control:
        stage.shards[0].answers[GetStats] = PretendedShard.SILENCE
        began = asyncio.get_running_loop().time()
        stats = await control.stats()
        assert 1.9 < asyncio.get_running_loop().time() - began < 3
        assert [worker.state for worker in stats.workers] == ["silent", "ready"]


async def test_restart_is_the_supervisors_and_a_shard_that_there_is_not_is_refused(tmp_path: Path) -> None:
    async with control_stage(tmp_path) as stage:
        stage.answer = Moved(1, 7, 2, 0.004)
        with dealers() as peers:
            dealer = peers.dial(stage.endpoint)
            done = await dealer.ask("restart", shard=1)
            assert done["result"] == {"moved": 7, "drained": 2, "longest_pause_s": 0.004, "lost": 0}
            await dealer.ask("restart", shard=0, drain=True)
            assert stage.plans == [("restart", 1, False), ("restart", 0, True)]
            for shard in (-1, 2):
                code, text = await dealer.error("restart", shard=shard)
                assert (code, f"there is no shard {shard}" in text) == ("bad_request", True)


async def test_reload_is_the_supervisors_and_its_result_is_told_by_name(tmp_path: Path) -> None:
    async with control_stage(tmp_path) as stage:
        stage.answer = [Moved(0, 7, 0, 0.004), Moved(1, 0, 3, 0.0)]
        with dealers() as peers:
            dealer = peers.dial(stage.endpoint)
            assert (await dealer.ask("reload", drain=True))["result"] == [
                {"shard": 0, "moved": 7, "drained": 0, "longest_pause_s": 0.004, "lost": 0},
                {"shard": 1, "moved": 0, "drained": 3, "longest_pause_s": 0.0, "lost": 0},
            ]
            await dealer.ask("reload")
        assert stage.plans == [("reload", True), ("reload", False)]


async def test_scale_is_the_supervisors_and_a_number_that_is_none_is_refused(tmp_path: Path) -> None:
    async with control_stage(tmp_path) as stage:
        stage.answer = Scaled(7, 0, 0.004, 3)
        with dealers() as peers:
            dealer = peers.dial(stage.endpoint)
            done = await dealer.ask("scale", workers=3)
            assert done["result"] == {"moved": 7, "drained": 0, "longest_pause_s": 0.004, "lost": 0, "workers": 3}
            stage.answer = ValueError("wspulse: workers: 0 is out of range; allowed: 1 … 1024")
            text = "wspulse: bad request: workers: 0 is out of range; allowed: 1 … 1024"
            assert await dealer.error("scale", workers=0) == ("bad_request", text)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RestartFailedError(1, "SyntaxError", serves=True), "start_failed"),
        (MoveFailedError(1, "it refuses", moved=3, lost=0), "move_failed"),
        (ServerClosedError(), "server_closed"),
    ],
)
async def test_plan_that_fails_is_told_with_its_code(error: Exception, code: str, tmp_path: Path) -> None:
    async with control_stage(tmp_path) as stage:
        stage.answer = error
        with dealers() as peers:
            for op, args in (("restart", {"shard": 1}), ("reload", {}), ("scale", {"workers": 2})):
                assert await peers.dial(stage.endpoint).error(op, **args) == (code, str(error))


async def test_worker_whose_sessions_move_is_shown_with_how_many_are_left(tmp_path: Path) -> None:
    async with control_stage(tmp_path) as stage:
        stage.left = {1: 42}
        with dealers() as peers:
            workers = (await peers.dial(stage.endpoint).ask("stats"))["result"]["workers"]
        assert [(worker["state"], worker["moving_left"]) for worker in workers] == [("ready", 0), ("moving", 42)]


async def test_shutdown_is_asked_of_the_supervisor(tmp_path: Path) -> None:
    async with control_stage(tmp_path) as stage, AsyncControl(stage.endpoint) as control:
        await control.shutdown()
        assert stage.shutdowns == ["the control socket asked for it"]


async def test_server_that_ends_refuses_what_is_for_sessions_and_still_tells_how_it_is(tmp_path: Path) -> None:
    async with control_stage(tmp_path) as stage:
        with dealers() as peers:
            dealer: Dealer = peers.dial(stage.endpoint)
            stage.is_ending = True
            for op, args in (
                ("send", {"connection": "ada", "frame": {}}),
                ("broadcast", {"room": "den", "frame": {}}),
                ("kick", {"connection": "ada"}),
                ("connections", {}),
                ("rooms", {}),
                ("restart", {"shard": 0}),
                ("reload", {}),
                ("scale", {"workers": 2}),
            ):
                assert (await dealer.error(op, **args))[0] == "server_closed", op
            for op in ("ping", "stats", "shutdown"):
                assert (await dealer.ask(op))["ok"], op
            assert asked_of(stage) == [[GetStats()]] * 2
            assert stage.plans == []


@pytest.mark.parametrize(
    ("op", "args"),
    [
        ("send", {}),
        ("send", {"connection": "ada"}),
        ("send", {"connection": 1, "frame": {}}),
        ("send", {"connection": "ada", "frame": {}, "more": 1}),
        ("broadcast", {"frame": {}}),
        ("broadcast", {"room": None, "frame": {}}),
        ("kick", {}),
        ("connections", {"rom": "den"}),
        ("connections", {"room": 1}),
        ("rooms", {"room": "den"}),
        ("stats", {"shard": 0}),
        ("restart", {}),
        ("restart", {"shard": "0"}),
        ("restart", {"shard": 0.5}),
        ("restart", {"shard": 0, "drain": 1}),
        ("reload", {"shard": 0}),
        ("scale", {}),
        ("scale", {"workers": "auto"}),
        ("shutdown", {"now": True}),
        ("ping", {"event": 1}),
    ],
)
async def test_arguments_that_are_wrong_reach_nobody(op: str, args: dict[str, Any], tmp_path: Path) -> None:
    async with control_stage(tmp_path, workers=1) as stage:
        with dealers() as peers:
            code, text = await peers.dial(stage.endpoint).error(op, **args)
        assert code == "bad_request"
        assert "args: " in text
        assert asked_of(stage) == [[]]
        assert (stage.plans, stage.shutdowns) == ([], [])
