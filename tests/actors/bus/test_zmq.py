"""The room bus between shards of one process: joins, total order, gaps, and its ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from random import Random

import pytest
import zmq
from websockets.asyncio.client import ClientConnection, connect

from tests.support.eventually import eventually
from tests.support.shards import Shards, serve_shards
from wspulse import Connection, Frame, Server
from wspulse.actors.bus.message import pack_echo, room_topic, unpack_echo
from wspulse.actors.bus.zmq import ZmqBus
from wspulse.actors.mesh.lifecycle import ShardDown
from wspulse.actors.mesh.message import ListRooms
from wspulse.actors.values.errors import ShardUnavailableError
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
                bus._numbering.next_in_room("room")
            await shards.servers[owner.shard.index].broadcast("room", Frame("said", turn))
            assert json.loads(await member.recv())["payload"] == turn
        assert owner.shard.metrics.bus_gaps == 1
        await member.close()


def bus_without_forwarder(folder: Path) -> ZmqBus:
    """Nobody is there: nothing comes back, and soon nothing more is taken."""
    return ZmqBus(
        f"ipc://{folder}/push",
        f"ipc://{folder}/publish",
        shard=0,
        incarnation=1,
        metrics=Metrics(),
        deliver=lambda room_id, _wire: pytest.fail(room_id),
        deliver_but=lambda room_id, _wire, _excluded: pytest.fail(room_id),
        tell_consumed=lambda *_: None,
        tell_rooms=lambda *_, **__: None,
    )


async def test_bus_that_stops_while_a_room_is_being_joined_or_left_cancels_its_timers(tmp_path: Path) -> None:
    bus = bus_without_forwarder(tmp_path)
    bus.join("room", lambda: pytest.fail("joined"))
    subscriptions = bus._subscriptions
    await eventually(lambda: subscriptions._probes, "a probe is out")
    bus.leave("room")
    timers = [probe.timer for probe in subscriptions._probes.values()] + [subscriptions._tell_left]
    bus.stop()
    assert len(timers) == 2
    assert all(timer is not None and timer.cancelled() for timer in timers)


@contextmanager
def stalled_bus(folder: Path) -> Iterator[ZmqBus]:
    """A bus that takes nothing more."""
    bus = bus_without_forwarder(folder)
    while bus.publish("room", b"x" * 65536):
        pass
    yield bus
    bus._push.setsockopt(zmq.LINGER, 0)
    bus.stop()


async def test_caller_that_gives_up_after_the_deadline_holds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wspulse.actors.bus.zmq.ASK_TIMEOUT_S", 0.01)
    with stalled_bus(tmp_path) as bus:
        with pytest.raises(ShardUnavailableError):
            await bus.publish_when_free("room", b"frame")
        assert not bus._waiters


async def test_caller_that_is_cancelled_holds_nothing_and_one_that_waits_at_the_end_is_told(tmp_path: Path) -> None:
    with stalled_bus(tmp_path) as bus:
        callers = [asyncio.create_task(bus.publish_when_free(room, b"frame")) for room in ("room", "other", "other")]
        await eventually(lambda: len(bus._waiters) == 3, "all wait")
        callers[1].cancel()
        await asyncio.wait({callers[1]})
        assert len(bus._waiters) == 2
    results = await asyncio.gather(*callers, return_exceptions=True)
    assert [type(result) for result in results] == [
        ShardUnavailableError,
        asyncio.CancelledError,
        ShardUnavailableError,
    ]
    assert not bus._waiters


async def test_answer_that_frees_nobody_looks_at_no_room_in_which_callers_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus = bus_without_forwarder(tmp_path)
    bus.shard_up(1, 2)
    bus.shard_up(2, 3)
    bus.flow.blocked = 1 << 2
    callers = [asyncio.create_task(bus.publish_when_free(f"room{number}", b"frame")) for number in range(20)]
    await eventually(lambda: len(bus._waiters) == 20, "all wait")
    looked_at: list[str] = []
    is_free = bus._is_free

    def look(room_id: str) -> bool:
        looked_at.append(room_id)
        return is_free(room_id)

    monkeypatch.setattr(bus, "_is_free", look)
    for number in range(10):
        bus.flow.mark(1, number + 1)
        bus.consumed(1, 1, number + 1)
        bus._push_changed()
    assert looked_at == []
    assert len(bus._waiters) == 20
    bus.flow.mark(2, 20)
    bus.consumed(2, 1, 20)
    async with asyncio.timeout(5):
        await asyncio.gather(*callers)
    bus._push.setsockopt(zmq.LINGER, 0)
    bus.stop()


def bus_of(shards: Shards, shard: int) -> ZmqBus:
    bus = shards.runtimes[shard].bus
    assert isinstance(bus, ZmqBus)
    return bus


def audience(shards: Shards, of: int, room: str) -> set[int]:
    """Which shards a shard counts for a room, besides itself."""
    bits = bus_of(shards, of).audiences.of(room_topic(room))
    return {shard for shard in range(shards.count) if bits >> shard & 1 and shard != of}


async def know_each_other(shards: Shards) -> None:
    await eventually(
        lambda: all(audience(shards, shard, "empty") == set() for shard in range(shards.count)),
        "all have told their rooms",
    )


def name_on(shards: Shards, shard: int) -> str:
    return shards.runtimes[0].placement.new_id(shard)


async def test_publisher_is_held_up_only_by_live_shards() -> None:
    async with serve_shards(make_server, 2) as shards:
        flow = bus_of(shards, 0).flow
        await eventually(lambda: flow.incarnation_of(1) == 2, "the other shard is up")
        await shards.stop_shard(1)
        await eventually(lambda: flow.incarnation_of(1) == 0, "the other shard is down")
        await shards.start_shard(1)
        await eventually(lambda: flow.incarnation_of(1) == 3, "its replacement is up")


LAST = b"\x81\x04last"
LARGE = b"\x82\x7e" + (60_000).to_bytes(2) + b"x" * 60_000
"""Frames as a client gets them."""


async def publish_all(bus: ZmqBus, room: str, total_bytes: int) -> None:
    async with asyncio.timeout(20):
        for _ in range(total_bytes // len(LARGE)):
            await bus.publish_when_free(room, LARGE)


async def test_silent_shard_holds_up_those_who_send_to_its_rooms_and_nobody_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("wspulse.actors.bus.zmq.ASK_TIMEOUT_S", 0.3)
    monkeypatch.setattr("wspulse.actors.bus.zmq._MARK_AGAIN_S", 0.05)
    async with serve_shards(make_server, 3) as shards:
        member = await join(shards, name_on(shards, 2), "with-it")
        await know_each_other(shards)
        sender, silent = bus_of(shards, 0), bus_of(shards, 2)
        answer = silent._tell_consumed
        monkeypatch.setattr(silent, "_tell_consumed", lambda *_: None)
        with pytest.raises(ShardUnavailableError):
            await publish_all(sender, "with-it", 40_000_000)
        assert 16 * 1024 * 1024 <= sender.flow.ahead_bytes(2) < 17 * 1024 * 1024
        assert not sender.publish("with-it", LAST)
        for room in ("without-it", "another"):
            await publish_all(sender, room, 40_000_000)
        waits = asyncio.create_task(sender.publish_when_free("with-it", LAST))
        await eventually(lambda: "with-it" in sender._waiters, "a caller waits")
        await publish_all(sender, "without-it", 1_000_000)
        monkeypatch.setattr(silent, "_tell_consumed", answer)
        await waits
        async with asyncio.timeout(10):
            while await member.recv() != "last":
                pass
        await member.close()


async def test_shard_that_was_blocked_and_whose_answers_were_lost_is_marked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("wspulse.actors.bus.zmq._MARK_AGAIN_S", 0.05)
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


@pytest.mark.race
async def test_member_is_let_in_when_the_other_shards_know_of_its_room(race_rounds: int) -> None:
    async with serve_shards(make_server, 3) as shards:
        await know_each_other(shards)
        for turn in range(10 * race_rounds):
            member = await join(shards, name_on(shards, turn % 3), f"room{turn}")
            for other in {0, 1, 2} - {turn % 3}:
                assert audience(shards, other, f"room{turn}") == {turn % 3}
            await member.close()


async def test_many_rooms_that_are_joined_in_one_turn_are_all_joined() -> None:
    """More than ZeroMQ lets wait of subscriptions, unless told otherwise; it drops the rest and says nothing."""
    async with serve_shards(make_server, 2) as shards:
        bus, got = bus_of(shards, 0), set()
        shards.runtimes[0].shard.bus._deliver = lambda room_id, _: got.add(room_id)  # type: ignore[attr-defined]
        rooms = [f"room{number}" for number in range(5000)]
        joined: list[str] = []
        for room in rooms:
            bus.join(room, partial(joined.append, room))
        await eventually(lambda: len(joined) == len(rooms), "all are joined")
        for room in rooms:
            await bus_of(shards, 1).publish_when_free(room, LAST)
        await eventually(lambda: got == set(rooms), "a frame of each room has come")
        for room in rooms:
            bus.leave(room)


async def test_room_that_was_left_counts_until_it_is_certain_that_nothing_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ZmqBus, "leave_delay_s", 0.001)
    monkeypatch.setattr("wspulse.actors.bus.subscriptions._LEFT_TOLD_S", 0.01)
    async with serve_shards(make_server, 2) as shards:
        await know_each_other(shards)
        subscriptions = bus_of(shards, 1)._subscriptions
        member = await join(shards, name_on(shards, 1), "room")
        held_back: list[bytes] = []
        with monkeypatch.context() as patch:
            patch.setattr(subscriptions, "returned", held_back.append)
            await member.close()
            await eventually(lambda: held_back, "the probe of the room that was left is back")
            await shards.runtimes[1].ask(0, ListRooms())  # behind whatever it has told
            assert audience(shards, 0, "room") == {1}
        # It comes again, on the topic that it had.
        await eventually(lambda: audience(shards, 0, "room") == set(), "the room counts no more")


async def test_room_that_is_joined_again_before_its_end_was_told_goes_on_to_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ZmqBus, "leave_delay_s", 0.001)
    monkeypatch.setattr("wspulse.actors.bus.subscriptions._LEFT_TOLD_S", 0.05)
    async with serve_shards(make_server, 2) as shards:
        await know_each_other(shards)
        subscriptions = bus_of(shards, 1)._subscriptions
        for _ in range(3):
            member = await join(shards, name_on(shards, 1), "room")
            await member.close()
            await eventually(lambda: "room" not in shards.runtimes[1].shard.rooms, "the room is left")
        member = await join(shards, name_on(shards, 1), "room")
        await eventually(
            lambda: not subscriptions._left and not subscriptions._probes, "the word of what was left is out"
        )
        await shards.runtimes[0].ask(1, ListRooms())
        await shards.runtimes[1].ask(0, ListRooms())  # behind that word
        assert audience(shards, 0, "room") == {1}
        await member.close()


async def test_link_that_is_lost_and_found_loses_neither_the_rooms_nor_the_shard() -> None:
    async with serve_shards(make_server, 2) as shards:
        member = await join(shards, name_on(shards, 1), "room")
        await know_each_other(shards)
        for shard in (0, 1):
            link = shards.runtimes[shard]._siblings.links[1 - shard]
            assert link._stream is not None
            link._stream.close()
        assert bus_of(shards, 0).flow.incarnation_of(1) == 2, "a shard that the supervisor says to live"
        other = await join(shards, name_on(shards, 1), "meanwhile")
        await eventually(lambda: audience(shards, 0, "meanwhile") == {1}, "the rooms are told again")
        assert audience(shards, 0, "room") == {1}
        assert audience(shards, 0, "empty") == set()
        await member.close()
        await other.close()


async def test_starting_shard_that_ended_before_anybody_spoke_of_it_holds_nobody_up() -> None:
    async with serve_shards(make_server, 2) as shards:
        siblings = shards.runtimes[0]._siblings
        await eventually(lambda: siblings.links[1].incarnation, "the link is there")
        shards.runtimes[0].handle(ShardDown(1, 2))  # as if it had not been ready yet
        siblings._link_begins(1, 3)
        assert bus_of(shards, 0).flow.incarnation_of(1) == 3
        siblings._link_ends(1, 3)
        assert bus_of(shards, 0).flow.incarnation_of(1) == 0


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
            buses[shard].publish_echo(pack_echo(shard, buses[shard]._incarnation, number))
        await eventually(lambda: sent <= set(came), "all are back")
        assert {each for each in came if each[1] >= 1000} == sent
        assert all(runtime.health.ok for runtime in shards.runtimes)
