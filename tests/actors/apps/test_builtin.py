"""`relay` where the bus takes nothing for a while."""

from __future__ import annotations

import asyncio
import json

import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.support.eventually import eventually
from tests.support.shards.shards import Shards, serve_shards
from wspulse import Frame, Server
from wspulse.actors.apps.builtin import builtin
from wspulse.actors.bus.zmq import ZmqBus

FRAMES = 400
FRAME_BYTES = 60_000
"""Together more than a publisher may be ahead of a shard."""


def relay() -> Server:
    server = builtin("relay")
    assert server is not None
    return server


async def member(shards: Shards, shard: int, room: str = "room") -> ClientConnection:
    name = shards.runtimes[0].placement.new_id(shard)
    return await connect(
        f"{shards.url}?id={name}&room={room}", ping_interval=None, compression=None, max_queue=None, close_timeout=1
    )


async def say_all(sender: ClientConnection) -> None:
    for number in range(FRAMES):
        await sender.send(json.dumps({"event": "said", "payload": [number, "x" * FRAME_BYTES]}))


async def hear_all(listener: ClientConnection) -> list[int]:
    return [json.loads(await listener.recv())["payload"][0] for _ in range(FRAMES)]


def silence(shards: Shards, shard: int, monkeypatch: pytest.MonkeyPatch) -> None:
    bus = shards.runtimes[shard].bus
    assert isinstance(bus, ZmqBus)
    monkeypatch.setattr(bus, "_tell_consumed", lambda *_: None)


@pytest.fixture(autouse=True)
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wspulse.actors.bus.publishing.publisher.ASK_TIMEOUT_S", 0.02)
    monkeypatch.setattr("wspulse.actors.bus.publishing.publisher._MARK_AGAIN_S", 0.02)


async def test_senders_wait_for_a_silent_shard_as_long_as_it_takes_and_nothing_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with serve_shards(relay, 2) as shards:
        sender, listener = await member(shards, 0), await member(shards, 1)
        stalls = 0
        bus = shards.runtimes[0].bus
        assert isinstance(bus, ZmqBus)
        stalled = bus._publisher._stalled

        def count(*arguments: object) -> None:
            nonlocal stalls
            stalls += 1
            stalled(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(bus._publisher, "_stalled", count)
        with monkeypatch.context() as patch:
            silence(shards, 1, patch)
            saying = asyncio.create_task(say_all(sender))
            hearing = [asyncio.create_task(hear_all(each)) for each in (sender, listener)]
            await eventually(lambda: stalls >= 3, "the sender's frame has waited in vain three times")
        async with asyncio.timeout(20):
            await saying
            assert [await heard for heard in hearing] == [list(range(FRAMES))] * 2
        await sender.close()
        await listener.close()


async def test_frame_of_a_sender_that_is_gone_is_given_up_and_told_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with serve_shards(relay, 2) as shards:
        sender, listener = await member(shards, 0), await member(shards, 1)
        bus = shards.runtimes[0].bus
        assert isinstance(bus, ZmqBus)
        silence(shards, 1, monkeypatch)
        large = shards.runtimes[0].encode(Frame("said", "x" * FRAME_BYTES))
        await eventually(lambda: not all(bus.publish("room", large) for _ in range(40)), "the bus takes nothing more")
        await sender.send('{"event":"said","payload":"last"}')
        await eventually(lambda: bus._publisher._waiters, "the sender's frame waits")
        sender.transport.abort()
        await eventually(lambda: "a frame was not relayed" in caplog.text, "its frame was given up")
        assert not any(record.exc_info for record in caplog.records)
        listener.transport.abort()
