"""The hosts of a cluster with what their workers have and count, each once."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.support.control.control_stage import ControlStage, control_stage
from wspulse import AsyncControl
from wspulse.actors.mesh.actor import ASK_TIMEOUT_S
from wspulse.actors.mesh.message import ConnectionRecord, GetStats, ListConnections, ListRooms, Message
from wspulse.actors.values.errors import ShardUnavailableError
from wspulse.supervisor.control import operations
from wspulse.supervisor.control.operations import CLUSTER_BROADCAST_S, RECORDS_PER_TURN, ConnectionsArguments
from wspulse.supervisor.control.shard_links import ShardLinks

HOSTS = [
    {"id": name, "address": "x", "workers": 2, "connections": 1, "since": 1.0, "state": "this" if name == "a" else "up"}
    for name in "abc"
]

NAMES = ("frames_in", "frames_out", "frames_dropped")


def counted(connections: int, queued: int, *counters: int) -> dict[str, Any]:
    return {"connections": connections, "queued": queued, "counters": dict(zip(NAMES, counters, strict=True))}


class Others:
    """Hosts b, of two shards, and c, which does not answer."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    async def ask_shards(self, message: Message, _timeout_s: float) -> list[tuple[str, Any]]:
        if self.error is not None:
            raise self.error
        if isinstance(message, ListRooms):
            return [("b", [["tea", 1]]), ("b", [["tea", 2], ["milk", 1]])]
        return [("b", counted(4, 1, 10, 20, 2)), ("b", counted(5, 0, 1, 2, 0))]


async def of_hosts(stage: ControlStage, others: Others) -> list[dict[str, Any]]:
    return await stage.plane._operations._statistics.of_hosts([dict(host) for host in HOSTS], others)


async def test_load_of_a_host_is_that_of_all_its_workers_and_a_silent_host_is_told(tmp_path: Path) -> None:
    async with control_stage(tmp_path) as stage:
        for shard, room in zip(stage.shards, ("tea", "cake"), strict=True):
            shard.answers[GetStats] = counted(3, 0, 5, 6, 0)
            shard.answers[ListRooms] = [["tea", 1], [room, 1]]
        a, b, c = await of_hosts(stage, Others())
        expected = [(a, 6, (2, 2, 0, 10, 12, 0)), (b, 9, (2, 2, 1, 11, 22, 2))]
        for row, connections, load in expected:
            assert row["connections"] == connections
            assert row["load"] == dict(zip(("answering", "rooms", "queued", *NAMES), load, strict=True))
        assert [each["state"] for each in (a, b, c)] == ["this", "up", "silent"]
        assert "load" not in c
        assert c["connections"] == 1


async def test_hosts_are_listed_while_the_gateway_is_away(tmp_path: Path) -> None:
    async with control_stage(tmp_path) as stage:
        for shard in stage.shards:
            shard.answers[GetStats] = counted(3, 0, 5, 6, 0)
        rows = await of_hosts(stage, Others(ShardUnavailableError("it is away")))
        assert [(row["state"], "load" in row) for row in rows] == [("this", True), ("silent", False), ("silent", False)]


async def test_load_is_asked_for_by_clients_that_want_it(tmp_path: Path, monkeypatch: Any) -> None:
    async with control_stage(tmp_path) as stage, AsyncControl(stage.endpoint) as control:
        monkeypatch.setattr(stage, "hosts", lambda: [dict(HOSTS[0])])
        for shard in stage.shards:
            shard.answers[GetStats] = counted(1, 0, 2, 3, 4)
        (plain,) = await control.hosts()
        assert plain.load is None
        (loaded,) = await control.hosts(load=True)
        assert loaded.load is not None
        assert (loaded.connections, loaded.load.answering, loaded.load.frames_out) == (2, 2, 6)


class Crowded(Others):
    """Host b, with many sessions."""

    async def sessions(self, _question: ListConnections) -> list[tuple[str, ConnectionRecord]]:
        record = ConnectionRecord("ann", "tea", 0, 1, 1, "connected", 1.0, 0)
        return [("b", record)] * (10 * RECORDS_PER_TURN)


async def test_many_sessions_of_other_hosts_are_listed_in_several_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn = 0
    in_turns: Counter[int] = Counter()

    def row(_record: ConnectionRecord) -> dict[str, Any]:
        in_turns[turn] += 1
        return {}

    async with control_stage(tmp_path) as stage:
        monkeypatch.setattr(operations, "_row", row)
        monkeypatch.setattr(stage.plane._operations, "_others", Crowded())
        listing = asyncio.create_task(stage.plane._operations.connections(ConnectionsArguments(), "json"))
        while not listing.done():
            turn += 1
            await asyncio.sleep(0)
        assert await listing == [{"host": "b"}] * (10 * RECORDS_PER_TURN)
    assert max(in_turns.values()) == RECORDS_PER_TURN


async def test_broadcast_of_one_of_several_hosts_may_take_as_long_as_an_election(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []

    async def ask(_links: ShardLinks, _seat: int, _message: Message, *, timeout_s: float) -> None:
        asked.append(timeout_s)

    async with control_stage(tmp_path) as stage, AsyncControl(stage.endpoint) as control:
        monkeypatch.setattr(ShardLinks, "ask", ask)
        await control.broadcast("lobby", {"event": "x"})
        monkeypatch.setattr(stage.plane._operations, "_others", Others())
        await control.broadcast("lobby", {"event": "x"})
    assert asked == [ASK_TIMEOUT_S, CLUSTER_BROADCAST_S]
