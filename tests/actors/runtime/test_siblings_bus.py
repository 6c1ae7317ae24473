"""The bus of a server's only worker, which is shared and kept while clients are served."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.eventually import eventually
from tests.support.shards.room_buses import bus_of, join, make_server
from tests.support.shards.shards import Shards, serve_shards
from wspulse.actors.bus.local import LocalBus
from wspulse.actors.bus.zmq import ZmqBus
from wspulse.actors.mesh.lifecycle import ShardSilence, ShardUp
from wspulse.actors.runtime.siblings import Siblings
from wspulse.actors.sessions.room import Room
from wspulse.actors.sessions.session import Session
from wspulse.supervisor.process.bus_forwarder import BusForwarder


@contextmanager
def forwarding(folder: Path) -> Iterator[BusForwarder]:
    forwarder = BusForwarder(f"{folder}/push", f"{folder}/publish")
    try:
        yield forwarder
    finally:
        forwarder.stop()


def share(siblings: Siblings, forwarder: BusForwarder) -> asyncio.Event:
    shared = asyncio.Event()
    siblings.share_bus(forwarder.push_endpoint, forwarder.subscribe_endpoint, shared.set)
    return shared


async def change(shards: Shards, forwarder: BusForwarder, are_served: Callable[[], Awaitable[object]]) -> None:
    """To the shared bus and back."""
    siblings, shard = shards.runtimes[0]._siblings, shards.runtimes[0].shard
    shared = share(siblings, forwarder)
    async with asyncio.timeout(5):
        await shared.wait()
    assert isinstance(shard.bus, ZmqBus)
    assert siblings.shared_bus is shard.bus
    await are_served()
    siblings.keep_bus()
    await eventually(lambda: isinstance(shard.bus, LocalBus), "it keeps what it publishes")
    assert siblings.shared_bus is None


@pytest.mark.race
async def test_clients_of_the_only_worker_miss_nothing_while_its_bus_changes(tmp_path: Path, race_rounds: int) -> None:
    with forwarding(tmp_path) as forwarder:
        async with serve_shards(make_server, 1) as shards:
            members = {room: await join(shards, f"member-{room}", room) for room in ("red", "blue")}
            talker = await join(shards, "talker", "talkers")
            sent = 0
            is_over = False

            async def talk() -> None:
                nonlocal sent
                while not is_over:
                    for room in members:
                        await talker.send(json.dumps({"event": room, "payload": sent}))
                    sent += 1
                    await asyncio.sleep(0)

            async def come_and_go() -> None:
                while not is_over:
                    visitor = await join(shards, "visitor", "green")
                    await talker.send(json.dumps({"event": "green", "payload": "for the visitor"}))
                    assert json.loads(await visitor.recv())["payload"] == "for the visitor"
                    await visitor.close()

            async def listen(room: str) -> None:
                expected = 0
                while not is_over or expected < sent:
                    assert json.loads(await members[room].recv())["payload"] == expected
                    expected += 1

            async def more() -> None:
                until = sent + 5
                await eventually(lambda: sent > until, "more has been sent")

            tasks = [asyncio.create_task(each) for each in (talk(), come_and_go(), listen("red"), listen("blue"))]
            for _ in range(10 * race_rounds):
                await change(shards, forwarder, more)
            is_over = True
            async with asyncio.timeout(10):
                await asyncio.gather(*tasks)
            assert sent > 100
            for each in (talker, *members.values()):
                await each.close()


async def test_room_that_is_left_around_a_change_is_left_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its end waits for `leave_delay_s` on one bus, and is at once on the other."""
    monkeypatch.setattr(ZmqBus, "leave_delay_s", 0.3)
    with forwarding(tmp_path) as forwarder:
        async with serve_shards(make_server, 1) as shards:
            siblings, shard = shards.runtimes[0]._siblings, shards.runtimes[0].shard
            drops: list[bool] = []
            drop = shard.room_table._drop

            def spy(room: Room[Session]) -> None:
                drops.append(shard.rooms.get(room.id) is room)
                drop(room)

            monkeypatch.setattr(shard.room_table, "_drop", spy)
            share(siblings, forwarder)
            await eventually(lambda: isinstance(shard.bus, ZmqBus), "it is shared")
            await (await join(shards, "one", "room")).close()
            await eventually(lambda: not shard.sessions, "it has gone")
            assert "room" in shard.rooms
            siblings.keep_bus()
            await eventually(lambda: isinstance(shard.bus, LocalBus), "it keeps what it publishes")
            await (await join(shards, "two", "room")).close()
            await eventually(lambda: drops == [True], "the room is left")
            assert "room" not in shard.rooms
            share(siblings, forwarder)
            member = await join(shards, "three", "room")
            await eventually(lambda: len(drops) == 2, "the look that the first one has caused has come")
            assert drops == [True, False]
            assert "room" in shard.rooms
            await member.close()
            await eventually(lambda: "room" not in shard.rooms, "the room is left again")
            assert drops == [True, False, True]


async def test_seat_that_is_free_is_forgotten_and_may_be_anothers() -> None:
    async with serve_shards(make_server, 2) as shards:
        siblings = shards.runtimes[0]._siblings
        bus = bus_of(shards, 0)
        path = f"{shards.folder}/nobody"
        siblings.seat_opened(7, path)
        siblings.hear(ShardUp(7, 50))
        siblings.hear(ShardSilence(7, 50, 4711, 3.0))
        assert bus.flow.incarnation_of(7) == 50
        siblings.seat_gone(7)
        assert bus.flow.incarnation_of(7) == 0
        assert 7 not in siblings._silent
        siblings.seat_opened(7, path)
        siblings.hear(ShardUp(7, 60))
        assert bus.flow.incarnation_of(7) == 60
        assert not bus.audiences.has_told(7)
