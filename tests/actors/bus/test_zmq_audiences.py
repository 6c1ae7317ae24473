"""Which shards count for a room, from when until when."""

from __future__ import annotations

import pytest

from tests.support.eventually import eventually
from tests.support.shards.room_buses import audience, bus_of, join, know_each_other, make_server, name_on
from tests.support.shards.shards import serve_shards
from wspulse.actors.bus.zmq import ZmqBus
from wspulse.actors.mesh.lifecycle import ShardDown
from wspulse.actors.mesh.message import ListRooms


@pytest.mark.race
async def test_member_is_let_in_when_the_other_shards_know_of_its_room(race_rounds: int) -> None:
    async with serve_shards(make_server, 3) as shards:
        await know_each_other(shards)
        for turn in range(10 * race_rounds):
            member = await join(shards, name_on(shards, turn % 3), f"room{turn}")
            for other in {0, 1, 2} - {turn % 3}:
                assert audience(shards, other, f"room{turn}") == {turn % 3}
            await member.close()


async def test_room_that_was_left_counts_until_it_is_certain_that_nothing_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ZmqBus, "leave_delay_s", 0.001)
    monkeypatch.setattr("wspulse.actors.bus.receiving.subscriptions._LEFT_TOLD_S", 0.01)
    async with serve_shards(make_server, 2) as shards:
        await know_each_other(shards)
        subscriptions = bus_of(shards, 1)._receiver.subscriptions
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
    monkeypatch.setattr("wspulse.actors.bus.receiving.subscriptions._LEFT_TOLD_S", 0.05)
    async with serve_shards(make_server, 2) as shards:
        await know_each_other(shards)
        subscriptions = bus_of(shards, 1)._receiver.subscriptions
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
