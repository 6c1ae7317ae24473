"""What a shard makes of what it hears of the others."""

from __future__ import annotations

import asyncio

import pytest
from websockets.asyncio.client import connect

from tests.support.eventually import eventually
from tests.support.shards.shards import Shards, serve_shards
from wspulse import Server
from wspulse.actors.bus.message import room_topic
from wspulse.actors.bus.zmq import ZmqBus
from wspulse.actors.mesh.lifecycle import ShardDown, ShardSilence, ShardUp
from wspulse.actors.mesh.message import BusRooms, BusRoomsWanted


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


LARGE = b"\x82\x7e" + (60_000).to_bytes(2) + b"x" * 60_000
"""A frame as a client gets it."""


def bus_of(shards: Shards, shard: int) -> ZmqBus:
    bus = shards.runtimes[shard].bus
    assert isinstance(bus, ZmqBus)
    return bus


def audience(shards: Shards, of: int, room: str) -> set[int]:
    """Which shards a shard counts for a room, besides itself."""
    bits = bus_of(shards, of).audiences.of(room_topic(room))
    return {shard for shard in range(shards.count) if bits >> shard & 1 and shard != of}


async def publish_all(bus: ZmqBus, room: str, total_bytes: int) -> None:
    async with asyncio.timeout(20):
        for _ in range(total_bytes // len(LARGE)):
            await bus.publish_when_free(room, LARGE)


async def test_worker_that_starts_beside_a_silent_one_is_held_up_for_its_rooms_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with serve_shards(make_server, 3) as shards:
        name = shards.runtimes[0].placement.new_id(2)
        async with connect(f"{shards.url}?id={name}&room=with-it", ping_interval=None) as member:
            await eventually(lambda: audience(shards, 0, "other") == set(), "each has told its rooms")
            silent = shards.runtimes[2]
            with monkeypatch.context() as stopped:
                stopped.setattr(silent._siblings.links[1], "tell", lambda _message: None)
                await shards.stop_shard(1)
                await shards.start_shard(1)
                sender = bus_of(shards, 1)
                links = shards.runtimes[1]._siblings.links
                await eventually(lambda: all(link.incarnation for link in links.values()), "it reaches the others")
                assert audience(shards, 1, "without-it") >= {2}
                for shard in (0, 1):
                    shards.runtimes[shard].handle(ShardSilence(2, silent.shard.incarnation, 4711, 3.0))
                await eventually(lambda: audience(shards, 1, "without-it") == set(), "the first one has told its rooms")
                await eventually(lambda: audience(shards, 1, "with-it") == {2}, "another one has told of its rooms")
                await publish_all(sender, "without-it", 40_000_000)
            for shard in (0, 1):
                shards.runtimes[shard].handle(ShardSilence(2, silent.shard.incarnation, 4711, 9.0, is_over=True))
            assert audience(shards, 1, "without-it") == {2}
            bus_of(shards, 2).tell_all_rooms(1)
            await eventually(lambda: audience(shards, 1, "without-it") == set(), "it has told itself")
            assert audience(shards, 1, "with-it") == {2}
            assert member.close_code is None


async def test_worker_that_was_told_to_be_silent_beside_one_that_starts_is_asked_about_when_a_link_begins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The supervisor tells a worker at its launch, when it has no link to anybody yet."""
    async with serve_shards(make_server, 3) as shards:
        silent = shards.runtimes[2]
        name = silent.placement.new_id(2)
        async with connect(f"{shards.url}?id={name}&room=with-it", ping_interval=None):
            with monkeypatch.context() as stopped:
                stopped.setattr(silent._siblings.links[1], "tell", lambda _message: None)
                await shards.stop_shard(1)
                await shards.start_shard(1)
                shards.runtimes[1].handle(ShardSilence(2, silent.shard.incarnation, 4711, 3.0))
                assert not any(link.incarnation for link in shards.runtimes[1]._siblings.links.values())
                await eventually(lambda: audience(shards, 1, "any") == set(), "the other one has told its rooms")
                await eventually(lambda: audience(shards, 1, "with-it") == {2}, "it has told of the silent one's, too")


@pytest.mark.parametrize("at_launch", [False, True])
async def test_silent_worker_of_whose_rooms_nobody_knows_holds_up_nobody_until_it_is_back(
    at_launch: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wspulse.actors.bus.publishing.publisher.ASK_TIMEOUT_S", 1)
    async with serve_shards(make_server, 2) as shards:
        name = shards.runtimes[0].placement.new_id(1)
        async with connect(f"{shards.url}?id={name}&room=with-it", ping_interval=None) as member:
            silent = shards.runtimes[1]
            silence = ShardSilence(1, silent.shard.incarnation, 4711, 3.0)
            with monkeypatch.context() as stopped:
                stopped.setattr(silent._siblings.links[0], "tell", lambda _message: None)
                await shards.stop_shard(0)
                replacement = shards.new_runtime(0)
                if at_launch:
                    replacement.handle(ShardUp(1, silent.shard.incarnation))
                    replacement.handle(silence)
                await replacement.start()
                shards.take_in(replacement)
                sender = bus_of(shards, 0)
                if not at_launch:
                    assert audience(shards, 0, "any") == {1}
                    waits = asyncio.create_task(publish_all(sender, "any", 40_000_000))
                    await eventually(lambda: "any" in sender._publisher._waiters, "it is held up")
                    replacement.handle(silence)
                    await waits
                assert audience(shards, 0, "any") == set()
                await publish_all(sender, "any", 40_000_000)
            replacement.handle(ShardSilence(1, silent.shard.incarnation, 4711, 9.0, is_over=True))
            assert audience(shards, 0, "any") == {1}
            bus_of(shards, 1).tell_all_rooms(0)
            await eventually(lambda: audience(shards, 0, "any") == set(), "it has told itself")
            assert audience(shards, 0, "with-it") == {1}
            assert member.close_code is None


async def test_answer_that_cannot_be_told_yet_is_told_when_the_link_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serve_shards(make_server, 3) as shards:
        silent = shards.runtimes[2]
        await eventually(lambda: audience(shards, 0, "any") == set(), "each has told its rooms")
        await shards.stop_shard(1)
        asked = shards.runtimes[0]._siblings
        await eventually(lambda: not asked.links[1].incarnation, "it has seen the end of the link")
        asked.rooms_wanted(BusRoomsWanted(1, 2))
        with monkeypatch.context() as stopped:
            stopped.setattr(silent._siblings.links[1], "tell", lambda _message: None)
            await shards.start_shard(1)
            await eventually(lambda: audience(shards, 1, "any") == set(), "it is told, though it did not ask again")


async def test_shard_that_has_ended_is_silent_no_more_and_nobody_asks_about_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with serve_shards(make_server, 3) as shards:
        runtime, ended = shards.runtimes[0], shards.runtimes[2].shard.incarnation
        link = runtime._siblings.links[1]
        await eventually(lambda: link.incarnation and audience(shards, 0, "any") == set(), "each has told its rooms")
        runtime.handle(ShardSilence(2, ended, 4711, 3.0))
        runtime.handle(ShardDown(2, ended))
        told: list[object] = []
        monkeypatch.setattr(link, "tell", told.append)
        runtime._siblings._link_begins(1, link.incarnation)
        assert [type(message) for message in told] == [BusRooms]
