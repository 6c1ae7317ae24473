"""The supervisor's way to the shards, with real streams and mailboxes: deadlines, detours and bounds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

from tests.support.control.control_stage import PretendedShard
from tests.support.eventually import eventually
from wspulse.actors.mesh.lifecycle import SeatGone, SeatOpened, SlotTable, TableAdopted
from wspulse.actors.mesh.message import BroadcastPayload, GetStats, Kick, ListRooms
from wspulse.actors.values.errors import ConnectionNotFoundError, SessionMovedError, ShardUnavailableError
from wspulse.supervisor.control.shard_links import ShardLinks
from wspulse.supervisor.premises.listeners.listen_socket import open_mailbox_listener
from wspulse.supervisor.process.seating import packed

MIB = 1024 * 1024

UNTAKEN_MIB = 160
"""Two of the largest requests: what may be on its way to a shard that does not read."""


class Stage:
    def __init__(self, folder: Path, count: int) -> None:
        paths = [str(folder / f"shard-{shard}") for shard in range(count)]
        self.listeners = [open_mailbox_listener(path) for path in paths]
        self.shards = [PretendedShard(shard, listener) for shard, listener in enumerate(self.listeners)]
        self.silent: set[int] = set()
        self.seats = list(range(count))
        """Of the workers that have names."""
        self.links = ShardLinks(count, lambda: self.seats, lambda seat: seat in self.silent)
        for seat, path in enumerate(paths):
            self.links.hear(SeatOpened(seat, path))
        self.links.open()

    async def up(self, *shards: int) -> None:
        for shard in shards:
            self.shards[shard].start()
        await eventually(lambda: all(map(self.links.is_up, shards)), "they are up")

    async def down(self, shard: int) -> None:
        self.shards[shard].stop()
        await eventually(lambda: not self.links.is_up(shard), "it is down")

    async def under_way(self, shard: int, size: int, count: int) -> asyncio.Task[Any]:
        """Ask something of that size, and return when the shard has it and says nothing."""
        asked = asyncio.create_task(self.links.ask(shard, Kick("ada"), size, timeout_s=60))
        await eventually(lambda: len(self.shards[shard].silenced) == count, "it was asked")
        return asked


@asynccontextmanager
async def stage(folder: Path, count: int = 3) -> AsyncIterator[Stage]:
    made = Stage(folder, count)
    try:
        yield made
    finally:
        made.links.close()
        for shard in made.shards:
            shard.stop()
        for listener in made.listeners:
            listener.close()


async def test_ask_brings_back_what_the_shard_answers_or_raises(tmp_path: Path) -> None:
    async with stage(tmp_path) as made:
        await made.up(0, 1, 2)
        made.shards[1].answers[Kick] = "gone"
        made.shards[2].answers[Kick] = ConnectionNotFoundError("ada")
        assert await made.links.ask(1, Kick("ada")) == "gone"
        with pytest.raises(ConnectionNotFoundError, match="ada"):
            await made.links.ask(2, Kick("ada"))
        assert made.shards[0].asked == []


async def test_ask_of_a_shard_that_is_down_waits_for_its_replacement_until_the_deadline(tmp_path: Path) -> None:
    async with stage(tmp_path) as made:
        with pytest.raises(ShardUnavailableError):
            await made.links.ask(0, Kick("late"), timeout_s=0.05)
        made.shards[0].answers[Kick] = "gone"
        asking = asyncio.create_task(made.links.ask(0, Kick("in time")))
        await made.up(0)
        assert await asking == "gone"
        assert made.shards[0].asked == [Kick("in time")], "what was told to have failed is not carried out"


async def test_all_are_asked_at_once_and_the_one_that_is_down_is_left_out(tmp_path: Path) -> None:
    async with stage(tmp_path) as made:
        await made.up(0, 2)
        for shard in made.shards:
            shard.answers[ListRooms] = [f"of {shard.shard}"]
        assert await made.links.ask_all(ListRooms()) == {0: ["of 0"], 2: ["of 2"]}
        assert await made.links.ask_all(ListRooms(), only=[1, 2]) == {2: ["of 2"]}


async def test_silent_shard_is_there_with_its_error_when_all_are_asked(tmp_path: Path) -> None:
    async with stage(tmp_path) as made:
        await made.up(0, 1, 2)
        made.shards[1].answers[GetStats] = PretendedShard.SILENCE
        found = await made.links.ask_all(GetStats(), timeout_s=0.05)
        assert isinstance(found.pop(1), ShardUnavailableError)
        assert found == {0: {}, 2: {}}


@pytest.mark.parametrize("comes_back", [False, True])
async def test_shard_that_dies_while_all_are_asked_is_left_out(comes_back: bool, tmp_path: Path) -> None:
    async with stage(tmp_path) as made:
        await made.up(0, 1, 2)
        made.shards[1].answers[GetStats] = PretendedShard.SILENCE
        made.shards[2].answers[GetStats] = PretendedShard.SILENCE
        asking = asyncio.create_task(made.links.ask_all(GetStats()))
        await eventually(lambda: made.shards[1].silenced and made.shards[2].silenced, "all were asked")
        await made.down(1)
        if comes_back:
            await made.up(1)
        made.shards[2].silenced[0].set_result({})
        assert await asking == {0: {}, 2: {}}


async def test_error_that_is_no_silence_is_raised_when_all_are_asked(tmp_path: Path) -> None:
    async with stage(tmp_path) as made:
        await made.up(0, 1, 2)
        made.shards[1].answers[ListRooms] = ConnectionNotFoundError("ada")
        with pytest.raises(ConnectionNotFoundError):
            await made.links.ask_all(ListRooms())


async def test_broadcasts_to_one_room_go_by_one_shard_and_rooms_are_spread(tmp_path: Path) -> None:
    async with stage(tmp_path) as made:
        await made.up(0, 1, 2)
        rooms = [f"room-{number}" for number in range(60)]
        found = [made.links.broadcaster(room) for room in rooms]
        assert found == [made.links.broadcaster(room) for room in rooms]
        assert set(found) == {0, 1, 2}


async def test_broadcasts_go_round_a_shard_that_is_silent_or_down(tmp_path: Path) -> None:
    async with stage(tmp_path) as made:
        room = next(name for name in map(str, range(100)) if crc32(name.encode()) % 1024 % 3 == 1)
        assert made.links.broadcaster(room) == 1, "where all are down it is left to the deadline"
        await made.up(0, 1, 2)
        made.silent = {1}
        assert made.links.broadcaster(room) == 2
        await made.down(2)
        assert made.links.broadcaster(room) == 0
        made.silent = {0, 1}
        assert made.links.broadcaster(room) == 1, "a silent one may still answer, one that is down does not"
        await made.down(1)
        assert made.links.broadcaster(room) == 0


async def test_shard_that_does_not_read_is_sent_so_much_and_no_more(tmp_path: Path) -> None:
    async with stage(tmp_path) as made:
        await made.up(0, 1)
        made.shards[0].answers[Kick] = PretendedShard.SILENCE
        first = await made.under_way(0, 100 * MIB, 1)
        second = await made.under_way(0, (UNTAKEN_MIB - 100) * MIB, 2)
        with pytest.raises(ShardUnavailableError, match="shard 0 does not read its messages"):
            await made.links.ask(0, Kick("too much"), 1)
        assert await made.links.ask(0, ListRooms()) == [], "what is small goes all the same"
        assert await made.links.ask(1, Kick("ada"), 100 * MIB) is None, "others have their own"
        assert await made.links.ask(0, ListRooms(), UNTAKEN_MIB * MIB) == [], "it has answered: it reads in order"
        for future in made.shards[0].silenced:
            future.set_result(None)
        await asyncio.gather(first, second)


async def test_replacement_of_a_shard_that_did_not_read_begins_with_nothing_under_way(tmp_path: Path) -> None:
    async with stage(tmp_path) as made:
        await made.up(0)
        made.shards[0].answers[Kick] = PretendedShard.SILENCE
        asked = await made.under_way(0, UNTAKEN_MIB * MIB, 1)
        await made.down(0)
        with pytest.raises(ShardUnavailableError, match="went down"):
            await asked
        del made.shards[0].answers[Kick]
        await made.up(0)
        assert await made.links.ask(0, Kick("ada"), UNTAKEN_MIB * MIB) is None


async def test_answer_that_never_came_takes_its_bytes_with_it_only_when_a_later_one_comes(tmp_path: Path) -> None:
    async with stage(tmp_path) as made:
        await made.up(0)
        made.shards[0].answers[Kick] = PretendedShard.SILENCE
        with pytest.raises(ShardUnavailableError):
            await made.links.ask(0, Kick("ada"), UNTAKEN_MIB * MIB, timeout_s=0.05)
        with pytest.raises(ShardUnavailableError, match="does not read"):
            await made.links.ask(0, Kick("ada"), 1)
        made.shards[0].answers[ListRooms] = ConnectionNotFoundError("ada")
        with pytest.raises(ConnectionNotFoundError):
            await made.links.ask(0, ListRooms())
        made.shards[0].answers[Kick] = None
        assert await made.links.ask(0, Kick("ada"), UNTAKEN_MIB * MIB) is None


async def test_seats_come_and_go_and_the_owner_is_asked_where_he_is(tmp_path: Path) -> None:
    async with stage(tmp_path, 2) as made:
        await made.up(0)
        made.shards[1].start()
        links = made.links
        links.hear(SeatGone(1))
        assert not links.is_up(1)
        with pytest.raises(ShardUnavailableError, match="there is no process at seat 1"):
            await links.ask(1, Kick("ada"))
        made.shards[0].answers[Kick] = SessionMovedError(1)
        asking = asyncio.create_task(
            links.ask_owner("ada" if links.placement.final_owner("ada") == 0 else "bob", Kick("ada"))
        )
        await eventually(lambda: made.shards[0].asked, "the owner until now was asked")
        links.hear(SeatOpened(1, str(tmp_path / "shard-1")))
        made.shards[1].answers[Kick] = "gone"
        assert await asking == "gone", "it is asked when it is there"


async def test_table_is_gone_by_and_who_loses_slots_is_told_behind_what_he_was_asked(tmp_path: Path) -> None:
    async with stage(tmp_path, 2) as made:
        await made.up(0, 1)
        links = made.links
        name = next(name for name in map(str, range(100)) if links.placement.final_owner(name) == 0)
        asked = asyncio.create_task(links.ask_owner(name, Kick(name)))
        await asyncio.sleep(0)
        links.hear(SlotTable(1, 1, packed([1] * 1024)))
        await asked
        await eventually(lambda: len(made.shards[0].asked) == 2, "it was told")
        assert made.shards[0].asked == [Kick(name), TableAdopted(1, -1)]
        await links.ask_owner(name, Kick(name))
        assert made.shards[1].asked == [Kick(name)]
        links.hear(SlotTable(1, 1, packed([1] * 1024)))
        await links.ask_owner(name, Kick(name))
        assert len(made.shards[0].asked) == 2, "once"


async def test_broadcasts_that_another_worker_is_to_publish_wait_for_those_under_way(tmp_path: Path) -> None:
    """One caller's broadcasts to one room keep their order when the worker that published them is replaced."""
    async with stage(tmp_path, 2) as made:
        await made.up(0, 1)
        made.shards[0].answers[BroadcastPayload] = PretendedShard.SILENCE
        made.seats[:] = [0]
        first = asyncio.create_task(made.links.broadcast(BroadcastPayload("den", b"1", "json")))
        await eventually(lambda: made.shards[0].silenced, "it is under way")
        made.seats[:] = [1]
        later = [asyncio.create_task(made.links.broadcast(BroadcastPayload("den", b"%d" % n, "json"))) for n in (2, 3)]
        other = asyncio.create_task(made.links.broadcast(BroadcastPayload("hall", b"0", "json")))
        await other
        assert [message.frame for message in made.shards[1].asked if isinstance(message, BroadcastPayload)] == [b"0"]
        made.shards[0].silenced[0].set_result(None)
        await asyncio.gather(first, *later)
        frames = [message.frame for message in made.shards[1].asked if isinstance(message, BroadcastPayload)]
        assert frames == [b"0", b"2", b"3"]


async def test_broadcasts_do_not_wait_for_a_worker_that_is_silent(tmp_path: Path) -> None:
    async with stage(tmp_path, 2) as made:
        await made.up(0, 1)
        made.shards[0].answers[BroadcastPayload] = PretendedShard.SILENCE
        room = next(name for name in map(str, range(100)) if made.links.broadcaster(name) == 0)
        first = asyncio.create_task(made.links.broadcast(BroadcastPayload(room, b"1", "json")))
        await eventually(lambda: made.shards[0].silenced, "it is under way")
        made.silent = {0}
        await asyncio.wait_for(made.links.broadcast(BroadcastPayload(room, b"2", "json")), 2)
        made.shards[0].silenced[0].set_result(None)
        await first
