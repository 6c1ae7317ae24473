"""What a shard makes of what it hears of the others."""

from __future__ import annotations

import pytest

from tests.support.shards import serve_shards
from wspulse import Server
from wspulse.actors.mesh.message import ShardSilence


def make_server() -> Server:
    return Server(lambda request: (request.query.get("room", "lobby"), request.query["id"]))


async def test_silence_of_another_shard_and_its_end_are_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async with serve_shards(make_server, 2) as shards:
        shards.runtimes[0].handle(ShardSilence(1, 2, 4711, 3.04))
        shards.runtimes[0].handle(ShardSilence(1, 2, 4711, 12.34, is_over=True))
        said = [record.__dict__ for record in caplog.records if record.name == "wspulse.link"]
        assert [(record["levelname"], record["shard"], record["pid"], record["silence_s"]) for record in said] == [
            ("WARNING", 1, 4711, 3.0),
            ("WARNING", 1, 4711, 12.3),
        ]
