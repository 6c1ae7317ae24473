"""Processes that come and go at seats: what is theirs finds them, whoever has the slots."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, NoReturn

import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.support.eventually import eventually
from tests.support.shards.shards import Shards, serve_shards
from wspulse import Connection, Frame, Server
from wspulse.actors.mesh.lifecycle import SeatGone, SeatOpened, ShardUp, TableAdopted
from wspulse.actors.mesh.message import Kick, Message, SendFrame
from wspulse.actors.runtime.runtime import ShardRuntime
from wspulse.actors.values.errors import (
    ConnectionNotFoundError,
    InTransitError,
    SessionMovedError,
    ShardUnavailableError,
)


def make_server() -> Server:
    server = Server(lambda request: ("den", request.query.get("id", ""), {"mood": "fine"}))

    @server.on_message
    async def echo(connection: Connection, frame: Frame) -> None:
        await connection.send(frame)

    return server


class Left:
    """A transit of a shard whose sessions have all gone to one seat; or (`to` is None) that waits to know where they are."""

    def __init__(self, to: int | None) -> None:
        self.to = to
        self.waiting: list[Callable[[], None]] = []

    def missing(self, connection_id: str, key: tuple[int, int] | None) -> NoReturn:
        if self.to is None:
            raise InTransitError(self.waiting.append)
        raise SessionMovedError(self.to)

    def newcomer_goes_to(self, connection_id: str) -> int:
        if self.to is None:
            raise InTransitError(self.waiting.append)
        return self.to

    def wait_for(self, connection_id: str, call: Callable[[], object]) -> None:
        raise AssertionError

    def frozen(self, connection_id: str, key: tuple[int, int] | None) -> None:
        return None

    def between(self, room_id: str | None) -> list[Any]:
        return []

    def coming(self, room_id: str | None) -> list[Any]:
        return []

    def gone_to(self) -> list[int]:
        return [] if self.to is None else [self.to]

    def is_known(self, to: int) -> None:
        self.to = to
        for call in self.waiting:
            call()


class Arriving(Left):
    """The transit of the process to which they go: it decides for all that comes."""

    def missing(self, connection_id: str, key: tuple[int, int] | None) -> NoReturn:
        raise ConnectionNotFoundError(connection_id)

    def gone_to(self) -> list[int]:
        return []


async def dial(shards: Shards, name: str) -> ClientConnection:
    return await connect(f"{shards.url}?id={name}", ping_interval=None, compression=None, open_timeout=5)


async def said(client: ClientConnection) -> str:
    return str(json.loads(await asyncio.wait_for(client.recv(), 5))["event"])


async def moving_out(shards: Shards) -> tuple[ShardRuntime, ShardRuntime]:
    """Shard 1, which gives all to a process at seat 2, as far as this is the table's and the ways' business."""
    old = shards.runtimes[1]
    new = await shards.open_seat(1)
    await eventually(
        lambda: all(link.incarnation for each in shards.seats.values() for link in each._siblings.links.values()),
        "all know each other",
    )
    new.shard.transit = Arriving(2)
    old.shard.transit = Left(2)
    return old, new


def flip(shards: Shards) -> None:
    shards.flip(lambda seat: 2 if seat == 1 else seat)


async def test_sessions_that_left_are_found_before_and_behind_the_table_and_without_their_former_process() -> None:
    async with serve_shards(make_server, 2) as shards:
        old, new = await moving_out(shards)
        name = shards.runtimes[0].placement.new_id(1)
        client = await dial(shards, name)
        assert (old.connections, new.connections) == (0, 1)
        first = shards.servers[0]
        servers = [first, shards.servers[1]]
        (remote,) = await first.get_connections("den")
        assert isinstance(new._server, Server)
        closed = asyncio.create_task(remote.wait_closed())

        async def check() -> None:
            for server in [*servers, new._server]:
                assert isinstance(server, Server)
                await server.send(name, Frame("direct"))
                assert await said(client) == "direct"
                (connection,) = await server.get_connections("den")
                await connection.send(Frame("remote"))
                assert await said(client) == "remote"
                assert await server.get_connections("elsewhere") == []
                (member,) = await server.presence("den")
                assert (member.id, member.shard, member.state) == (name, 1, {"mood": "fine"})
            await remote.send(Frame("the same"))
            assert await said(client) == "the same"

        await check()
        flip(shards)
        await check()
        old.shard.transit = new.shard.transit = None
        await check()
        shards.rename(new)
        await shards.close_seat(1)
        servers[1:] = []
        await check()
        assert not closed.done()
        with pytest.raises(ConnectionNotFoundError):
            await first.send(shards.runtimes[0].placement.new_id(2), Frame("nobody"))
        await first.kick(name)
        await asyncio.wait_for(closed, 5)
        assert remote.closed
        await client.wait_closed()


async def test_descriptor_for_an_id_in_transit_waits_and_goes_where_that_went() -> None:
    async with serve_shards(make_server, 2) as shards:
        old, new = await moving_out(shards)
        transit = old.shard.transit = Left(None)
        names = [shards.runtimes[0].placement.new_id(1) for _ in range(8)]
        dialling = [asyncio.create_task(dial(shards, name)) for name in names]
        await eventually(lambda: len(transit.waiting) == len(names), "whoever accepted them, they wait in the owner")
        sending = asyncio.create_task(shards.servers[0].send(names[0], Frame("x")))
        own = asyncio.create_task(shards.servers[1].send(names[0], Frame("x")))
        await eventually(lambda: len(transit.waiting) == len(names) + 2, "so does what is sent")
        assert not sending.done()
        transit.is_known(2)
        clients = await asyncio.wait_for(asyncio.gather(*dialling), 5)
        assert (old.connections, new.connections) == (0, len(names))
        # They were asked of the target before the descriptors had come there, or behind.
        for task in (sending, own):
            try:
                await task
            except ConnectionNotFoundError:
                pass
        for client in clients:
            await client.close()


async def test_descriptor_that_waits_when_the_process_ends_is_refused() -> None:
    async with serve_shards(make_server, 2) as shards:
        old, _ = await moving_out(shards)
        transit = old.shard.transit = Left(None)
        # From the first one's acceptor, or from its own.
        dialling = [asyncio.create_task(dial(shards, shards.runtimes[0].placement.new_id(1))) for _ in range(4)]
        await eventually(lambda: len(transit.waiting) == 4, "they wait")
        await shards.close_seat(1)
        for error in await asyncio.gather(*dialling, return_exceptions=True):
            assert isinstance(error, Exception)


async def test_descriptor_that_nobody_at_a_seat_took_goes_by_the_table_when_nobody_is_there_any_more() -> None:
    async with serve_shards(make_server, 2) as shards:
        old, new = await moving_out(shards)
        old.shard.transit = new.shard.transit = None
        old.stop_accepting()
        assert old._mailbox is not None
        old._mailbox.leave_descriptors()
        name = shards.runtimes[0].placement.new_id(1)
        link = shards.runtimes[0]._siblings.links[1]
        dialling = [asyncio.create_task(dial(shards, name)) for name in (name, name + "x")]
        names_of_old = [each for each in (name, name + "x") if new.placement.final_owner(each) == 1]
        await eventually(
            lambda: len(link._copies._copies) + len(new._siblings.links[1]._copies._copies) == len(names_of_old),
            "the deaf one has not taken them",
        )
        flip(shards)
        shards.rename(new)
        await shards.close_seat(1)
        clients = await asyncio.wait_for(asyncio.gather(*dialling), 5)
        assert name in new.shard.sessions
        for client in clients:
            await client.close()


async def test_who_loses_slots_is_told_that_the_table_is_adopted_behind_all_that_was_asked() -> None:
    async with serve_shards(make_server, 2) as shards:
        old, new = await moving_out(shards)
        heard: list[Message] = []
        old._dispatch.moving = heard.append
        receive, got = old._dispatch.receive, list[Message]()

        def note(message: Message) -> object:
            got.append(message)
            return receive(message)

        assert old._mailbox is not None
        old._mailbox._receive = note
        name = shards.runtimes[0].placement.new_id(1)
        asks = [asyncio.create_task(shards.servers[0].send(name, Frame("x"))) for _ in range(3)]
        await asyncio.sleep(0)
        flip(shards)
        asks += [asyncio.create_task(shards.servers[0].send(name, Frame("x"))) for _ in range(3)]
        for result in await asyncio.gather(*asks, return_exceptions=True):
            assert isinstance(result, ConnectionNotFoundError)
        await eventually(
            lambda: {each.seat for each in heard if isinstance(each, TableAdopted)} == {0, 1, 2}, "all have told it"
        )
        kinds = [type(each) for each in got if not isinstance(each, TableAdopted) or each.seat == 0]
        assert kinds.count(SendFrame) == 3
        assert kinds.index(TableAdopted) > 2
        assert kinds[-1] is TableAdopted
        assert shards.table is not None
        assert {each.version for each in heard if isinstance(each, TableAdopted)} == {shards.table.version}
        assert new.workers == 2


async def test_what_waits_for_somebody_at_a_seat_fails_when_nobody_is_there_any_more() -> None:
    async with serve_shards(make_server, 2) as shards:
        first = shards.runtimes[0]
        name = first.placement.new_id(1)
        await shards.stop_shard(1)
        sending = asyncio.create_task(shards.servers[0].send(name, Frame("x")))
        await asyncio.sleep(0)
        first.handle(SeatGone(1))
        with pytest.raises(ShardUnavailableError):
            await asyncio.wait_for(sending, 1)
        assert set(first.refs) == {0}
        assert first.up_shards.keys() <= {0}
        assert await shards.servers[0].get_connections("den") == []
        await shards.start_shard(1)


async def test_process_that_starts_late_knows_the_table_and_owns_nothing_by_its_number() -> None:
    async with serve_shards(make_server, 2) as shards:
        shards.flip(lambda _seat: 0, workers=1)
        new = await shards.open_seat(1)
        assert new.workers == 1
        assert new.placement.version == 1
        for _ in range(3):
            drawn = new.placement.new_id(2)
            assert new.placement.final_owner(drawn) == 0
        assert [runtime.workers for runtime in shards.seats.values()] == [1, 1, 1]
        client = await connect(shards.url, open_timeout=5)
        assert shards.runtimes[0].connections == 1
        await client.close()


async def test_seat_that_is_named_before_it_is_told_of_is_waited_for_and_listed() -> None:
    async with serve_shards(make_server, 2) as shards:
        first, old = shards.runtimes
        name = first.placement.new_id(1)
        old.shard.transit = Left(2)
        sending = asyncio.create_task(shards.servers[0].send(name, Frame("x")))
        listing = asyncio.create_task(shards.servers[0].get_connections("den"))
        await asyncio.sleep(0.05)  # both have been told where to ask, and find nobody there
        assert not sending.done()
        assert not listing.done()
        new = await shards.open_seat(1)
        new.shard.transit = Arriving(2)
        with pytest.raises(ConnectionNotFoundError):
            await asyncio.wait_for(sending, 2)
        assert await asyncio.wait_for(listing, 2) == []


async def test_newcomer_does_not_wait_for_its_slot_to_settle() -> None:
    async with serve_shards(make_server, 2) as shards:
        for runtime in shards.runtimes:
            runtime.placement.unsettle(range(1024))
        names = [runtime.placement.new_id(runtime.shard.seat) for runtime in shards.runtimes]
        clients = [await dial(shards, name) for name in names]
        assert [len(runtime.shard.sessions) for runtime in shards.runtimes] == [1, 1]
        for client, name in zip(clients, names, strict=True):
            for server in shards.servers:
                await server.send(name, Frame("direct"))
                assert await said(client) == "direct"
            await client.close()


async def test_seat_that_was_opened_and_has_nobody_yet_is_no_link_that_is_down() -> None:
    async with serve_shards(make_server, 2) as shards:
        first = shards.runtimes[0]
        await eventually(lambda: first._siblings.links_down == 0, "it reaches the other one")
        first.handle(SeatOpened(9, f"{shards.folder}/nobody.sock"))
        assert first._siblings.links_down == 0
        first.handle(ShardUp(9, 99))
        assert first._siblings.links_down == 1
        first.handle(SeatGone(9))
        assert first._siblings.links_down == 0


async def test_who_goes_by_an_old_table_finds_the_owner_through_the_one_of_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with serve_shards(make_server, 2) as shards:
        first, old = shards.runtimes
        new = await shards.open_seat(2)
        name = first.placement.new_id(1)
        with monkeypatch.context() as deaf:
            deaf.setattr(first, "handle", lambda _message: None)
            shards.flip(lambda seat: 2 if seat == 1 else seat, workers=3)
        assert (first.placement.version, old.placement.version) == (0, 1)
        dialled = [await dial(shards, name + "x" * number) for number in range(12)]
        for each in old.shard.sessions:
            assert old.placement.final_owner(each) == 1, "none of an id that is another's"
        assert name in new.shard.sessions
        await shards.servers[0].send(name, Frame("direct"))
        assert await said(dialled[0]) == "direct"
        with pytest.raises(ConnectionNotFoundError):
            await asyncio.wait_for(shards.servers[0].send(first.placement.new_id(1), Frame("x")), 2)
        for client in dialled:
            await client.close()


async def test_process_says_whose_its_former_slots_are_until_they_come_back() -> None:
    async with serve_shards(make_server, 2) as shards:
        first, old = shards.runtimes
        new = await shards.open_seat(2)
        name = first.placement.new_id(1)
        shards.flip(lambda seat: 2 if seat == 1 else seat, workers=3)
        for transit in (None, Arriving(1)):
            old.shard.transit = transit
            with pytest.raises(SessionMovedError):
                await old.ask(1, Kick(name, 1000, "kicked"))
        # Their owner says that they come back: from then on it sends here whoever asks, be the way between the two broken or not.
        old._former.come_back({first.placement.slot_of(name)})
        for transit in (Arriving(1), None):
            old.shard.transit = transit
            with pytest.raises(ConnectionNotFoundError):
                await old.ask(1, Kick(name, 1000, "kicked"))
        assert not new.shard.sessions


async def test_process_whose_slots_never_were_its_own_decides_about_what_is_sent_to_it() -> None:
    async with serve_shards(make_server, 2) as shards:
        first, old = shards.runtimes
        new = await shards.open_seat(1)
        # The source has a transit from the first moment of a plan on, the target from the first session on.
        old.shard.transit = Left(2)
        await eventually(lambda: old._siblings.links[2].incarnation, "the source reaches the target")
        name = first.placement.new_id(1)
        client = await dial(shards, name)
        assert name in new.shard.sessions
        await shards.servers[0].send(name, Frame("direct"))
        assert await said(client) == "direct"
        with pytest.raises(ConnectionNotFoundError):
            await asyncio.wait_for(shards.servers[0].send(first.placement.new_id(1), Frame("x")), 2)
        await client.close()
