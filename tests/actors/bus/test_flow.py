"""A reader that does not keep up stalls those who publish to its rooms, at a bound, and nobody else."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

import pytest

from tests.support.buses.endpoint import Endpoint
from tests.support.buses.stage import SHARED, staged
from tests.support.eventually import eventually
from wspulse.actors.bus.message import room_topic
from wspulse.actors.values.errors import ShardUnavailableError

LARGE = b"." * 60_000


async def publish_all(endpoint: Endpoint, room: str, total_bytes: int) -> None:
    """Some at a time, as several callers would."""
    async with asyncio.timeout(30):
        for _ in range(total_bytes // len(LARGE) // 8):
            await asyncio.gather(*(endpoint.bus.publish_when_free(room, LARGE) for _ in range(8)))


@pytest.mark.parametrize("kind", SHARED)
async def test_silent_reader_holds_up_those_who_send_to_its_rooms_and_nobody_else(
    kind: str, tmp_path: Path, draw: Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wspulse.actors.bus.publishing.publisher._MARK_AGAIN_S", 0.05)
    async with staged(kind, tmp_path, draw, 3) as stage:
        sender = stage[0]
        silent = next(each for each in stage.of_host(0) if each is not sender)
        await silent.join("with-it")
        for each in stage.endpoints:
            await each.join("without-it")
        audiences = sender.shared.audiences
        silent_bit = 1 << silent.shard
        await eventually(lambda: not audiences.of(room_topic("empty")) & silent_bit, "it has told its rooms")
        silent.bus.leave("without-it")
        await eventually(lambda: not audiences.of(room_topic("without-it")) & silent_bit, "it has told that it left")
        silent.is_silent = True
        with monkeypatch.context() as patch:
            patch.setattr("wspulse.actors.bus.publishing.publisher.ASK_TIMEOUT_S", 0.5)
            patch.setattr("wspulse.actors.bus.cluster.publisher.ACKNOWLEDGED_S", 0.5)
            with pytest.raises(ShardUnavailableError):
                await publish_all(sender, "with-it", 60_000_000)
            assert sender.shared.flow.blocked == silent_bit
            assert 16 * 1024 * 1024 <= sender.shared.flow.ahead_bytes(silent.shard) < 18 * 1024 * 1024
        assert not sender.bus.publish("with-it", b"last")
        await publish_all(sender, "without-it", 30_000_000)
        waits = asyncio.create_task(sender.bus.publish_when_free("with-it", b"last"))
        await eventually(lambda: "with-it" in sender.shared._publisher._waiters, "a caller waits")
        await publish_all(sender, "without-it", 1_000_000)
        silent.is_silent = False
        async with asyncio.timeout(10):
            await waits
        await eventually(lambda: silent.of("with-it")[-1:] == [b"last"], "all has come")
        assert all(each.metrics.bus_gaps == 0 for each in stage.endpoints)


@pytest.mark.parametrize("kind", SHARED)
async def test_missing_message_is_counted_as_a_gap(kind: str, tmp_path: Path, draw: Random) -> None:
    async with staged(kind, tmp_path, draw, 2) as stage:
        await stage[1].join("room")
        for turn in range(3):
            if turn == 1:
                # As if the bus had lost the message between two others.
                stage[0].shared._publisher._numbering.next_in_room("room")
            await stage[0].bus.publish_when_free("room", b"%d" % turn)
            await eventually(lambda turn=turn: len(stage[1].delivered) == turn + 1, "it has come")  # type: ignore[misc]
        assert stage[1].metrics.bus_gaps == 1
