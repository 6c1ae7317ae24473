"""The room bus between shards of one process: joins, total order, gaps, and its ends."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from random import Random

import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.support.eventually import eventually
from tests.support.shards import Shards, serve_shards
from wspulse import Connection, Frame, Server
from wspulse.actors.bus.zmq import ZmqBus
from wspulse.actors.values.metrics import Metrics


def make_server() -> Server:
    server = Server(lambda request: (request.query.get("room", "lobby"), request.query.get("id", "")))

    @server.on_message
    async def to_room(connection: Connection, frame: Frame) -> None:
        """The event names the room."""
        await server.broadcast(frame.event, Frame("said", frame.payload))

    return server


async def join(shards: Shards, name: str, room: str) -> ClientConnection:
    return await connect(f"{shards.url}?id={name}&room={room}", ping_interval=None, compression=None)


def assert_no_gaps(shards: Shards) -> None:
    assert [runtime.shard.metrics.bus_gaps for runtime in shards.runtimes] == [0] * shards.count


@pytest.mark.race
async def test_open_means_joined_while_rooms_are_left_and_joined_all_the_time(
    monkeypatch: pytest.MonkeyPatch, race_rounds: int, draw: Random
) -> None:
    """Rooms are unsubscribed as soon as they are empty, so that every join races the withdrawal before it."""
    monkeypatch.setattr(ZmqBus, "leave_delay_s", 0.001)
    async with serve_shards(make_server, 4) as shards:
        talkers = [await join(shards, f"talker{number}", "talkers") for number in range(4)]

        async def come_and_go(who: int, draw: Random) -> None:
            for turn in range(30 * race_rounds):
                room, word = f"room{draw.randrange(6)}", f"{who}-{turn}"
                newcomer = await join(shards, f"{who}-{turn}", room)
                await draw.choice(talkers).send(json.dumps({"event": room, "payload": word}))
                async with asyncio.timeout(10):
                    while json.loads(await newcomer.recv())["payload"] != word:
                        pass
                await newcomer.close()

        await asyncio.gather(*(come_and_go(who, Random(draw.random())) for who in range(6)))
        for talker in talkers:
            await talker.close()
        assert_no_gaps(shards)


async def test_restarted_shard_hears_and_is_heard() -> None:
    async with serve_shards(make_server, 3) as shards:
        placement = shards.runtimes[0].placement
        names = {placement.shard_of(f"n{number}"): f"n{number}" for number in range(50)}
        members = {shard: await join(shards, names[shard], "room") for shard in range(3)}
        await shards.stop_shard(1)
        await members[1].wait_closed()
        await members[0].send('{"event":"room","payload":"while it was away"}')
        for shard in (0, 2):
            assert json.loads(await members[shard].recv())["payload"] == "while it was away"
        await shards.start_shard(1)
        members[1] = await join(shards, names[1], "room")
        for shard in range(3):
            await members[shard].send(json.dumps({"event": "room", "payload": shard}))
            for member in members.values():
                assert json.loads(await member.recv())["payload"] == shard
        for member in members.values():
            await member.close()
        assert_no_gaps(shards)


async def test_missing_message_is_counted_as_a_gap() -> None:
    async with serve_shards(make_server, 2) as shards:
        member = await join(shards, "member", "room")
        owner = shards.runtimes[shards.runtimes[0].placement.shard_of("member")]
        bus = owner.bus
        assert isinstance(bus, ZmqBus)
        for turn in range(3):
            if turn == 1:
                # As if the bus had lost the message between two others.
                bus._last_in_room["room"] += 1
                bus._number += 1
            await shards.servers[owner.shard.index].broadcast("room", Frame("said", turn))
            assert json.loads(await member.recv())["payload"] == turn
        assert owner.shard.metrics.bus_gaps == 1
        await member.close()


async def test_bus_that_stops_while_a_room_is_being_joined_cancels_its_probes(tmp_path: Path) -> None:
    bus = ZmqBus(
        f"ipc://{tmp_path}/push",
        f"ipc://{tmp_path}/publish",  # nobody is there, and no probe comes back
        shard=0,
        incarnation=1,
        metrics=Metrics(),
        deliver=lambda room_id, _wire: pytest.fail(room_id),
        tell_consumed=lambda *_: None,
    )
    bus.join("room", lambda: pytest.fail("joined"))
    await eventually(lambda: bus._probe_timers, "a probe is out")
    timers = list(bus._probe_timers.values())
    bus.stop()
    assert all(timer.cancelled() for timer in timers)


async def test_publisher_is_held_up_only_by_live_shards() -> None:
    async with serve_shards(make_server, 2) as shards:
        bus = shards.runtimes[0].bus
        assert isinstance(bus, ZmqBus)
        await eventually(lambda: 1 in bus.flow._consumed, "the other shard is up")
        await shards.stop_shard(1)
        await eventually(lambda: 1 not in bus.flow._consumed, "the other shard is down")
        await shards.start_shard(1)
