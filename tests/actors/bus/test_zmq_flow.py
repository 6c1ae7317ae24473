"""Whom a publisher of the room bus waits for: callers that wait, and shards that are silent."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import zmq

from tests.support.eventually import eventually
from tests.support.shards.room_buses import (
    LARGE,
    LAST,
    bus_of,
    bus_without_forwarder,
    join,
    know_each_other,
    make_server,
    name_on,
)
from tests.support.shards.shards import serve_shards
from wspulse.actors.bus.zmq import ZmqBus
from wspulse.actors.values.errors import ShardUnavailableError


@contextmanager
def stalled_bus(folder: Path) -> Iterator[ZmqBus]:
    """A bus that takes nothing more."""
    bus = bus_without_forwarder(folder)
    while bus.publish("room", b"x" * 65536):
        pass
    yield bus
    bus._publisher._push.setsockopt(zmq.LINGER, 0)
    bus.stop()


async def test_caller_that_gives_up_after_the_deadline_holds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wspulse.actors.bus.publishing.publisher.ASK_TIMEOUT_S", 0.01)
    with stalled_bus(tmp_path) as bus:
        with pytest.raises(ShardUnavailableError):
            await bus.publish_when_free("room", b"frame")
        assert not bus._publisher._waiters


async def test_caller_that_is_cancelled_holds_nothing_and_one_that_waits_at_the_end_is_told(tmp_path: Path) -> None:
    with stalled_bus(tmp_path) as bus:
        callers = [asyncio.create_task(bus.publish_when_free(room, b"frame")) for room in ("room", "other", "other")]
        await eventually(lambda: len(bus._publisher._waiters) == 3, "all wait")
        callers[1].cancel()
        await asyncio.wait({callers[1]})
        assert len(bus._publisher._waiters) == 2
    results = await asyncio.gather(*callers, return_exceptions=True)
    assert [type(result) for result in results] == [
        ShardUnavailableError,
        asyncio.CancelledError,
        ShardUnavailableError,
    ]
    assert not bus._publisher._waiters


async def test_answer_that_frees_nobody_looks_at_no_room_in_which_callers_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus = bus_without_forwarder(tmp_path)
    bus.shard_up(1, 2)
    bus.shard_up(2, 3)
    bus.flow.blocked = 1 << 2
    callers = [asyncio.create_task(bus.publish_when_free(f"room{number}", b"frame")) for number in range(20)]
    await eventually(lambda: len(bus._publisher._waiters) == 20, "all wait")
    looked_at: list[str] = []
    is_free = bus._publisher._is_free

    def look(room_id: str) -> bool:
        looked_at.append(room_id)
        return is_free(room_id)

    monkeypatch.setattr(bus._publisher, "_is_free", look)
    for number in range(10):
        bus.flow.mark(1, number + 1)
        bus.consumed(1, 1, number + 1)
        bus._publisher._push_changed()
    assert looked_at == []
    assert len(bus._publisher._waiters) == 20
    bus.flow.mark(2, 20)
    bus.consumed(2, 1, 20)
    async with asyncio.timeout(5):
        await asyncio.gather(*callers)
    bus._publisher._push.setsockopt(zmq.LINGER, 0)
    bus.stop()


async def test_publisher_is_held_up_only_by_live_shards() -> None:
    async with serve_shards(make_server, 2) as shards:
        flow = bus_of(shards, 0).flow
        await eventually(lambda: flow.incarnation_of(1) == 2, "the other shard is up")
        await shards.stop_shard(1)
        await eventually(lambda: flow.incarnation_of(1) == 0, "the other shard is down")
        await shards.start_shard(1)
        await eventually(lambda: flow.incarnation_of(1) == 3, "its replacement is up")


async def test_shard_that_was_blocked_and_whose_answers_were_lost_is_marked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("wspulse.actors.bus.publishing.publisher._MARK_AGAIN_S", 0.05)
    async with serve_shards(make_server, 2) as shards:
        member = await join(shards, name_on(shards, 1), "room")
        await know_each_other(shards)
        sender, silent = bus_of(shards, 0), bus_of(shards, 1)
        answer = silent._tell_consumed
        monkeypatch.setattr(silent, "_tell_consumed", lambda *_: None)
        await eventually(
            lambda: not all(sender.publish("room", LARGE) for _ in range(40)), "the bus takes nothing more"
        )
        await eventually(lambda: sender.flow.blocked == 0b10, "only the silent shard is behind")
        monkeypatch.setattr(silent, "_tell_consumed", answer)
        await eventually(lambda: sender.publish("room", LAST), "the bus takes something again", 2)
        async with asyncio.timeout(10):
            while await member.recv() != "last":
                pass
        await member.close()
