"""What viewers see, that there is one question for all of them, and none when nobody looks."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support.control.admin_stage import AdminStage, Look, admin_stage
from tests.support.eventually import eventually
from wspulse.actors.mesh.lifecycle import WatchEvents
from wspulse.actors.mesh.message import GetStats, ListRooms
from wspulse.supervisor.admin.site.looking import live, recent_events


@pytest.fixture(autouse=True)
def haste(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "PERIOD_S", 0.02)
    monkeypatch.setattr(live, "LEAST_PAUSE_S", 0.01)


async def test_viewer_sees_the_server_and_its_largest_rooms_again_and_again(tmp_path: Path) -> None:
    async with admin_stage(tmp_path) as stage:
        stage.control.shards[0].answers[ListRooms] = [(f"r{number}", number) for number in range(1, 200)]
        async with stage.look() as look:
            first, second = await look.next(), await look.next()
        assert second["number"] > first["number"]
        assert [worker["state"] for worker in first["server"]["workers"]] == ["ready", "ready"]
        assert first["room_count"] == 199
        assert [room["id"] for room in first["rooms"]] == [f"r{number}" for number in range(199, 149, -1)]


async def test_many_viewers_are_one_question(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wspulse.supervisor.admin.site.shared_call.REST", 0.0)
    async with admin_stage(tmp_path, workers=1) as stage, AsyncExitStack() as stack:
        looks = [await stack.enter_async_context(stage.look()) for _ in range(20)]
        for look in looks:
            await look.next()
        asked, last = stage.control.shards[0].asked, [await look.next() for look in looks]
        assert sum(isinstance(message, GetStats) for message in asked) <= max(look["number"] for look in last)


async def test_nothing_is_asked_nor_subscribed_to_while_nobody_looks(tmp_path: Path) -> None:
    async with admin_stage(tmp_path) as stage:
        shards, child = stage.control.shards, stage.control.pretended[0]

        def watched() -> bool:
            orders = [message for message in child.told if isinstance(message, WatchEvents)]
            return bool(orders and orders[-1].prefixes)

        await stage.get("/live")
        assert not child.told
        for _ in range(2):
            async with stage.look() as look:
                await look.next()
                await eventually(watched, "its events are subscribed to")
            await eventually(lambda: not watched(), "they are not any more")
        await eventually(lambda: not stage.guard.open, "it is gone")
        for shard in shards:
            shard.asked.clear()
        for _ in range(50):  # some periods
            await stage.get("/live")
        assert [shard.asked for shard in shards] == [[], []]


async def test_viewer_too_many_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MOST_VIEWERS", 1)
    async with admin_stage(tmp_path) as stage:
        async with stage.look() as look:
            await look.next()
            refused = await stage.get("/api/look")
            assert (refused.status, refused.json()["error"]["code"]) == (503, "busy")
        await eventually(lambda: not stage.guard.open, "it is gone")
        async with stage.look() as look:
            await look.next()


async def hears(stage: AdminStage, look: Look) -> None:
    """Wait until the events are subscribed to."""
    found: dict[str, Any] = await look.next()
    while not found["events"]:
        stage.control.plane.events.publish_own("worker.started", {"shard": 0, "pid": 1})
        found = await look.next()
    while found["events"]:
        found = await look.next()


async def test_events_come_with_what_clients_chose_as_it_is(tmp_path: Path) -> None:
    async with admin_stage(tmp_path) as stage, stage.look() as look:
        await hears(stage, look)
        error = {"type": "PeerClosedError", "message": "wspulse: " + "x" * 1000}
        fields = {"kind": "disconnect", "time": 1.0, "room": "<b>", "connection": "ada\n", "shard": 0, "error": error}
        stage.control.plane.events.publish(b"disconnect.<b>", msgspec.msgpack.encode(fields))
        while not (found := await look.next())["events"]:
            pass
        (event,) = found["events"]
        assert (event["kind"], event["room"], event["connection"], event["shard"]) == ("disconnect", "<b>", "ada\n", 0)
        assert event["error"] == ("PeerClosedError: " + "x" * 1000)[:200]
        assert (found["skipped"], found["missed"]) == (0, False)


async def test_of_a_storm_of_events_the_latest_are_shown_and_the_others_counted(tmp_path: Path) -> None:
    async with admin_stage(tmp_path) as stage, stage.look() as look:
        await hears(stage, look)
        for number in range(500):
            stage.control.plane.events.publish_own("worker.ready", {"shard": number, "pid": 1})
        seen: list[int] = []
        skipped = 0
        while len(seen) + skipped < 500:
            found = await look.next()
            assert len(found["events"]) <= recent_events.MOST_PER_LOOK == 60
            seen += [event["shard"] for event in found["events"]]
            skipped += found["skipped"]
        assert seen == sorted(seen)
        assert seen[-1] == 499


async def test_server_that_does_not_answer_is_said_to_be_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "ROOMS_PERIOD_S", 0.0)
    async with admin_stage(tmp_path) as stage, stage.look() as look:
        await look.next()
        stage.control.is_ending = True  # the list of rooms is refused
        while "away" not in (found := await look.next()):
            pass
        assert "closed" in found["away"]
