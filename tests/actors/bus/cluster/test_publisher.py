"""What a worker has published and the cluster has not acknowledged: one message of a room is out, the rest gathers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.buses.stage import GatewayStage
from tests.support.eventually import eventually
from wspulse.actors.bus.message import unpack
from wspulse.actors.values.errors import ShardUnavailableError


@asynccontextmanager
async def one_host(folder: Path, count: int = 1) -> AsyncIterator[GatewayStage]:
    stage = GatewayStage(folder, 1, None)
    try:
        for _ in range(count):
            await stage.add().join("room")
        yield stage
    finally:
        stage.close()


async def at_rest(stage: GatewayStage, published: int) -> None:
    """The gateway has got what is out."""
    await eventually(lambda: len(stage.hosts[0].exchange._outgoing._chains) == published, "it has come to the gateway")


async def test_what_is_published_meanwhile_is_the_next_message(tmp_path: Path) -> None:
    async with one_host(tmp_path) as stage:
        only = stage[0]
        stage.hold_back()
        assert only.bus.publish("room", b"first")
        await at_rest(stage, 1)
        for number in range(300):
            assert only.bus.publish("room", b"%d" % number)
        assert only.bus.publish_but("room", b"but", frozenset({"ann"}))
        assert only.bus.publish("room", b"." * 200_000)
        assert only.bus.publish("room", b"." * 100_000)
        assert only.bus.publish("room", b"." * 300_000)
        for _ in range(5):
            await asyncio.sleep(0)
        assert only.metrics.bus_messages_out == 1
        stage.let_go()
        await eventually(lambda: len(only.delivered) == 305, "all has come")
        messages = [unpack(data) for data in stage.streams.messages.values()]
        assert [len(each.frames) for each in messages] == [1, 256, 44, 1, 1, 1, 1]
        assert [each.previous for each in messages] == [0, *(each.number for each in messages[:-1])]
        assert {each.sender for each in messages} == {2**52 + 1}
        assert only.excluded == {b"but": frozenset({"ann"})}
        await eventually(lambda: not only.shared._publisher._lanes, "nothing is kept of it")  # type: ignore[attr-defined]


async def test_rooms_do_not_wait_for_each_other(tmp_path: Path) -> None:
    async with one_host(tmp_path) as stage:
        await stage[0].join("other")
        stage.hold_back()
        for room in ("room", "other", "room", "other"):
            assert stage[0].bus.publish(room, room.encode())
            await asyncio.sleep(0)
        await at_rest(stage, 2)
        stage.let_go()
        await eventually(lambda: len(stage[0].delivered) == 4, "all has come")


async def test_caller_goes_on_when_its_broadcast_is_acknowledged(tmp_path: Path) -> None:
    async with one_host(tmp_path) as stage:
        bus = stage[0].bus
        assert bus.acknowledges
        stage.hold_back()
        callers = [asyncio.create_task(bus.publish_when_free("room", b"%d" % number)) for number in range(3)]
        await at_rest(stage, 1)
        assert not any(caller.done() for caller in callers)
        assert not stage.streams.messages
        callers[1].cancel()
        stage.let_go()
        async with asyncio.timeout(5):
            await asyncio.gather(callers[0], callers[2])
        assert stage.streams.messages


async def test_caller_whose_broadcast_is_not_acknowledged_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with one_host(tmp_path) as stage:
        stage.hold_back()
        with monkeypatch.context() as patch:
            patch.setattr("wspulse.actors.bus.cluster.publisher.ACKNOWLEDGED_S", 0.05)
            with pytest.raises(ShardUnavailableError):
                await stage[0].bus.publish_when_free("room", b"taken")
        waiting = asyncio.create_task(stage[0].bus.publish_when_free("room", b"at the end"))
        await asyncio.sleep(0)
        await at_rest(stage, 1)
        stage[0].stop()
        with pytest.raises(ShardUnavailableError):
            await waiting
        stage.let_go()
        await eventually(lambda: len(stage.streams.messages) == 2, "both are kept all the same")


async def test_broadcast_that_can_never_be_kept_is_refused_and_holds_up_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with one_host(tmp_path) as stage:
        stage.streams.most_bytes = 500_000
        callers = [
            asyncio.create_task(stage[0].bus.publish_when_free("room", wire))
            for wire in (b"before", b"." * 600_000, b"behind")
        ]
        async with asyncio.timeout(5):
            results = await asyncio.gather(*callers, return_exceptions=True)
        assert [type(result) for result in results] == [type(None), ShardUnavailableError, type(None)]
        await eventually(lambda: len(stage[0].delivered) == 2, "the others have come")
        assert [record.levelname for record in caplog.records if record.name == "wspulse.cluster"] == ["ERROR"]


async def test_cut_waits_until_all_before_it_is_acknowledged_and_what_follows_does_not_wait(tmp_path: Path) -> None:
    async with one_host(tmp_path, 2) as stage:
        source, other = stage.endpoints
        await source.join("free")
        passed: list[int] = []
        await source.watch_cuts(source.incarnation, passed.append)
        stage.hold_back()
        assert source.bus.publish("room", b"out")
        await at_rest(stage, 1)
        assert source.bus.publish("room", b"gathered")
        source.shared.cut(1)
        source.shared.cut(2)
        assert source.bus.publish("room", b"behind")
        assert source.bus.publish("free", b"free")
        await at_rest(stage, 2)
        stage.let_go()
        await eventually(lambda: passed == [1, 2], "the cuts have come, in their order")
        assert source.of("room")[:2] == [b"out", b"gathered"]
        await eventually(lambda: len(other.of("room")) == 3, "all has come")
