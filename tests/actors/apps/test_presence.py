"""Presence of the relay: who asked is told who is there, on every worker; who did not is told nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.support.eventually import eventually
from tests.support.shards.shards import Shards, serve_shards
from wspulse.actors.apps import presence
from wspulse.actors.apps.builtin import builtin
from wspulse.actors.mesh.message import WatchRoom
from wspulse.actors.mesh.placement import Placement
from wspulse.actors.server import Server
from wspulse.actors.values.codec import Codec, MsgpackCodec, RawCodec

DEADLINE_S = 10.0


def relay(**options: Any) -> Server:
    server = builtin("relay")
    assert server is not None
    server.override(options)
    return server


class Member:
    """A client, and the room as the presence frames told it."""

    def __init__(self, client: ClientConnection) -> None:
        self.client = client
        self.you: dict[str, Any] = {}
        self.room: dict[str, tuple[int, str]] = {}
        self.count = 0
        self.told: list[tuple[str, str]] = []
        self.other: list[dict[str, Any]] = []

    async def read(self) -> None:
        async with asyncio.timeout(DEADLINE_S):
            frame = json.loads(await self.client.recv())
        payload = frame.get("payload")
        match frame.get("event"):
            case "presence.you":
                self.you = payload
            case "presence.room":
                self.room = {each["id"]: (each["worker"], each["state"]) for each in payload["members"]}
                self.count = payload["count"]
            case "presence.changes":
                self.count = payload["count"]
                for change in payload["changes"]:
                    self.told.append((change["what"], change["id"]))
                    if change["what"] == "went":
                        del self.room[change["id"]]
                    else:
                        state = "suspended" if change["what"] == "dropped" else "connected"
                        self.room[change["id"]] = (change["worker"], state)
            case _:
                self.other.append(frame)

    async def sees(self, **states: str) -> None:
        """Read until exactly these are in the room, in these states."""
        while {name: state for name, (_, state) in self.room.items()} != states:
            await self.read()
        assert self.count == len(states)

    def cut(self) -> None:
        self.client.transport.abort()


@asynccontextmanager
async def member(shards: Shards, name: str, room: str = "tea", *, asks: bool = True) -> AsyncIterator[Member]:
    query = f"id={name}&room={room}{'&presence=1' if asks else ''}"
    async with connect(f"{shards.url}?{query}", ping_interval=None, compression=None, max_queue=None) as client:
        yield Member(client)


def names_on_shards(count: int) -> list[str]:
    """One name per shard."""
    placement = Placement(count)
    found: dict[int, str] = {}
    for number in range(1000):
        found.setdefault(placement.shard_of(f"n{number}"), f"n{number}")
    return [found[shard] for shard in range(count)]


def presence_of(server: Server) -> presence.Presence:
    return next(each for each in server._extensions if isinstance(each, presence.Presence))


def watched_rooms(shards: Shards) -> set[str]:
    """The rooms of which some shard keeps something."""
    return {room for server in shards.servers for room in presence_of(server)._rooms}


@pytest.mark.parametrize("count", [1, 4])
async def test_member_that_asked_sees_who_is_there_who_comes_and_who_goes(count: int) -> None:
    names = names_on_shards(4)
    async with serve_shards(relay, count) as shards, member(shards, names[0]) as first:
        await first.sees(**{names[0]: "connected"})
        shard_of = Placement(count).shard_of
        assert first.you == {
            "id": names[0],
            "worker": shard_of(names[0]),
            "workers": count,
            "resumed": False,
            "window_s": 30.0,
        }
        async with member(shards, names[1]) as second, member(shards, names[2], asks=False):
            everybody = dict.fromkeys(names[:3], "connected")
            await first.sees(**everybody)
            await second.sees(**everybody)
            assert {name: worker for name, (worker, _) in first.room.items()} == {
                name: shard_of(name) for name in names[:3]
            }
            assert second.room == first.room
        # Both have said goodbye; only who asked is waited for.
        await first.sees(**{names[0]: "connected", names[1]: "suspended"})
        assert ("went", names[2]) in first.told


async def test_member_that_did_not_ask_gets_no_frame_of_the_relays_own() -> None:
    names = names_on_shards(2)
    async with serve_shards(relay, 2) as shards, member(shards, names[0], asks=False) as plain:
        async with member(shards, names[1]) as asking:
            await asking.sees(**dict.fromkeys(names, "connected"))
            await asking.client.send('{"event":"said"}')
            await plain.read()
        assert plain.other == [{"event": "said"}]
        await plain.client.send('{"event":"said again"}')
        await plain.read()
        assert plain.other[1:] == [{"event": "said again"}]


async def test_rooms_that_nobody_watches_cost_nothing_and_other_rooms_are_not_told() -> None:
    names = names_on_shards(2)
    async with serve_shards(relay, 2) as shards:
        async with member(shards, names[0], asks=False), member(shards, names[1], asks=False):
            assert watched_rooms(shards) == set()
        async with member(shards, names[0], "tea") as tea, member(shards, names[1], "milk") as milk:
            await tea.sees(**{names[0]: "connected"})
            await milk.sees(**{names[1]: "connected"})
    assert watched_rooms(shards) == set()


async def test_watched_room_is_forgotten_on_every_shard_when_the_last_watcher_has_gone() -> None:
    names = names_on_shards(4)
    async with serve_shards(lambda: relay(resume_window=0.0), 4) as shards:
        async with member(shards, names[0]) as first, member(shards, names[1]) as second:
            for each in (first, second):
                await each.sees(**dict.fromkeys(names[:2], "connected"))
        async with asyncio.timeout(DEADLINE_S):
            while watched_rooms(shards):  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("count", [1, 4])
async def test_drop_and_resume_are_told_and_the_resumed_gets_the_whole_list(count: int) -> None:
    names = names_on_shards(4)
    async with serve_shards(relay, count) as shards, member(shards, names[0]) as first:
        async with member(shards, names[1]) as second:
            await second.sees(**dict.fromkeys(names[:2], "connected"))
            second.cut()
            await first.sees(**{names[0]: "connected", names[1]: "suspended"})
            assert first.told[-1] == ("dropped", names[1])
        async with member(shards, names[2]):
            await first.sees(**{names[0]: "connected", names[1]: "suspended", names[2]: "connected"})
            await first.client.send('{"event":"said"}')
            home = shards.runtimes[0].placement.shard_of(names[1])
            away = shards.runtimes[home].shard.sessions[names[1]]
            # It crosses the bus, and a member that came back before it would be told of presence first.
            await eventually(lambda: away.queued_frames == 1, "what was said waits for the member that is away")
            async with member(shards, names[1]) as again:
                await again.sees(**dict.fromkeys(names[:3], "connected"))
                # What was said meanwhile comes first, and no change of presence took its place in the send buffer.
                assert again.other == [{"event": "said"}]
                assert again.told == []
                assert again.you["resumed"] is True
                await first.sees(**dict.fromkeys(names[:3], "connected"))
                assert ("resumed", names[1]) in first.told


async def test_window_of_the_operator_counts_for_all_and_zero_turns_it_off() -> None:
    for window, state in ((0.0, None), (60.0, "suspended")):
        async with (
            serve_shards(lambda window=window: relay(resume_window=window), 2) as shards,  # type: ignore[misc]
            member(shards, "watcher") as watcher,
        ):
            async with member(shards, "plain", asks=False), member(shards, "asking"):
                await watcher.sees(watcher="connected", plain="connected", asking="connected")
                assert watcher.you["window_s"] == window
            await watcher.sees(
                watcher="connected", **({} if state is None else dict.fromkeys(("plain", "asking"), state))
            )


async def test_second_connection_of_an_id_shows_as_going_and_coming() -> None:
    names = names_on_shards(2)
    async with (
        serve_shards(relay, 2) as shards,
        member(shards, names[0]) as watcher,
        member(shards, names[1]) as old,
    ):
        await watcher.sees(**dict.fromkeys(names, "connected"))
        await old.sees(**dict.fromkeys(names, "connected"))
        watcher.told.clear()
        async with member(shards, names[1]) as new:
            await new.sees(**dict.fromkeys(names, "connected"))
            while len(watcher.told) < 2:
                await watcher.read()
            assert watcher.told == [("went", names[1]), ("came", names[1])]


async def test_members_of_a_worker_that_ended_are_gone_and_its_replacement_is_watched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = names_on_shards(2)
    async with serve_shards(relay, 2) as shards, member(shards, names[0]) as watcher:
        async with member(shards, names[1], asks=False):
            await watcher.sees(**dict.fromkeys(names, "connected"))
            # As after kill -9: no callback tells anybody.
            monkeypatch.setattr(presence_of(shards.servers[1]), "_note", lambda *_: None)
            await shards.stop_shard(1)
        await watcher.sees(**{names[0]: "connected"})
        await shards.start_shard(1)
        async with member(shards, names[1], asks=False):
            await watcher.sees(**dict.fromkeys(names, "connected"))


async def test_watcher_on_a_replaced_worker_learns_of_the_others() -> None:
    names = names_on_shards(2)
    async with serve_shards(relay, 2) as shards, member(shards, names[1], asks=False):
        async with member(shards, names[0]) as watcher:
            await watcher.sees(**dict.fromkeys(names, "connected"))
            await shards.stop_shard(0)
        await shards.start_shard(0)
        async with member(shards, names[0]) as watcher:
            await watcher.sees(**dict.fromkeys(names, "connected"))


async def test_watcher_that_reads_nothing_gets_the_whole_list_when_it_reads_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(presence, "RETRY_S", 0.05)
    async with (
        serve_shards(lambda: relay(send_buffer_size=1), 1) as shards,
        member(shards, "slow") as slow,
        member(shards, "swift") as swift,
    ):
        there = dict.fromkeys(("slow", "swift"), "connected")
        await slow.sees(**there)
        session = shards.runtimes[0].shard.sessions["slow"]
        transport = session.transport
        assert transport is not None
        transport.pause_writing()
        # All watchers are told at once: when the swift one sees it, the slow one's buffer was offered it.
        async with member(shards, "a", asks=False), member(shards, "b", asks=False):
            there |= dict.fromkeys("ab", "connected")
            await swift.sees(**there)
            async with member(shards, "c", asks=False):
                there["c"] = "connected"
                await swift.sees(**there)
                transport.resume_writing()
                await slow.sees(**there)


async def test_shard_that_stops_while_a_watcher_reads_nothing_leaves_no_timer() -> None:
    async with serve_shards(lambda: relay(send_buffer_size=1), 1) as shards, member(shards, "slow") as slow:
        await slow.sees(slow="connected")
        session, part = shards.runtimes[0].shard.sessions["slow"], presence_of(shards.servers[0])
        transport = session.transport
        assert transport is not None
        transport.pause_writing()
        async with member(shards, "a", asks=False):
            await eventually(lambda: session.queued_frames == 1, "what it is told waits for it")
            async with member(shards, "b", asks=False):
                await eventually(lambda: part._retries, "it is to be told again")
                transport.resume_writing()


async def test_long_list_is_cut_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "LISTED_MEMBERS", 3)
    async with serve_shards(relay, 1) as shards:
        clients = [await connect(f"{shards.url}?id=m{number}&room=tea") for number in range(5)]
        async with member(shards, "watcher") as watcher:
            while not watcher.count:
                await watcher.read()
            assert (watcher.count, len(watcher.room)) == (6, 3)
        for client in clients:
            await client.close()


@pytest.mark.parametrize("codec", [MsgpackCodec(), RawCodec()], ids=["msgpack", "raw"])
async def test_presence_speaks_the_servers_codec(codec: Codec) -> None:
    async with (
        serve_shards(lambda: relay(codec=codec), 1) as shards,
        connect(f"{shards.url}?id=ada&presence=1", compression=None) as client,
    ):
        data = await client.recv()
        if isinstance(codec, MsgpackCodec):
            assert isinstance(data, bytes)
            frame = codec.decode(data)
            assert (frame.event, frame.decode()["id"]) == ("presence.you", "ada")
        else:
            assert isinstance(data, str)
            frame = json.loads(data)
            assert (frame["event"], frame["payload"]["id"]) == ("presence.you", "ada")


async def test_word_of_a_watcher_that_is_read_after_its_death_is_forgotten_with_its_replacements_answer() -> None:
    async with serve_shards(relay, 2) as shards:
        (watching,) = (each for each in shards.servers[0]._extensions if isinstance(each, presence.Presence))
        watching.receive(WatchRoom(1, 1, "room", True))
        assert list(watching._rooms) == ["room"]
        watching.receive(WatchRoom(1, 2, "room", False))
        assert not watching._rooms
        watching.receive(WatchRoom(1, 3, "room", True))
        watching.receive(WatchRoom(1, 2, "room", False))
        assert list(watching._rooms) == ["room"], "an earlier life's word came late"
