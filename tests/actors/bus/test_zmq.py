"""The room bus between shards of one process: joins, total order, gaps, and its ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from tests.support.eventually import eventually
from tests.support.shards.room_buses import bus_of, bus_without_forwarder, join, make_server
from tests.support.shards.shards import Shards, serve_shards
from wspulse.actors.bus.message import pack_echo, unpack_echo
from wspulse.actors.bus.zmq import ZmqBus


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


async def test_bus_that_stops_while_a_room_is_being_joined_or_left_cancels_its_timers(tmp_path: Path) -> None:
    bus = bus_without_forwarder(tmp_path)
    bus.join("room", lambda: pytest.fail("joined"))
    subscriptions = bus._receiver.subscriptions
    await eventually(lambda: subscriptions._probes, "a probe is out")
    bus.leave("room")
    timers = [probe.timer for probe in subscriptions._probes.values()] + [subscriptions._tell_left]
    bus.stop()
    assert len(timers) == 2
    assert all(timer is not None and timer.cancelled() for timer in timers)


async def test_echo_comes_back_to_the_shard_that_sent_it_and_to_no_other() -> None:
    async with serve_shards(make_server, 3) as shards:
        buses = [bus_of(shards, shard) for shard in range(3)]
        came: list[tuple[int, int]] = []
        for shard, bus in enumerate(buses):

            def echoed(data: bytes, shard: int = shard, known: Callable[[bytes], None] = bus.echoed) -> None:
                came.append((shard, unpack_echo(data)))
                known(data)

            bus.echoed = echoed
        await eventually(lambda: len({shard for shard, _ in came}) == 3, "each subscription has taken effect")
        sent = {(shard, 1000 * (shard + 1) + number) for shard in range(3) for number in range(10)}
        for shard, number in sent:
            buses[shard].publish_echo(pack_echo(shard, shards.runtimes[shard].shard.incarnation, number))
        await eventually(lambda: sent <= set(came), "all are back")
        assert {each for each in came if each[1] >= 1000} == sent
        assert all(runtime.health.ok for runtime in shards.runtimes)
