"""Who is refused since there are too many, over real sockets and on several shards; and that every place is given back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from unittest.mock import patch

import pytest
from websockets.asyncio.client import connect

from tests.support.eventually import eventually
from tests.support.shards.conductor import Conductor
from tests.support.shards.moving import FrozenBatch
from tests.support.shards.shards import Shards, serve_shards
from tests.support.wire.raw_peer import RawPeer, head
from wspulse import Connection, ConnectRejected, Frame, Request, Server
from wspulse.actors.limits import places as places_module
from wspulse.actors.mesh.lifecycle import HealthChanged, MovedOut, MoveFailed
from wspulse.actors.mesh.placement import SLOTS
from wspulse.actors.moving import arrival
from wspulse.actors.values.health import MEMORY_IS_SHORT

ASKED: list[str] = []


def echo(**options: Any) -> Server:
    def identify(request: Request) -> tuple[str, str]:
        ASKED.append(request.query["id"])
        if "bad" in request.query:
            raise ConnectRejected("bad")
        return request.query.get("room", "lobby"), request.query["id"]

    async def on_message(connection: Connection, frame: Frame) -> None:
        await connection.send(frame)

    return Server(identify, on_message=on_message, **options)


class Guest:
    """A client on a bare socket, from an address of this machine's."""

    def __init__(self, status: int, answer: bytes, peer: RawPeer) -> None:
        self.status = status
        self.answer = answer
        self.peer = peer

    async def leave(self) -> None:
        await self.peer.close()


async def knock(shards: Shards, name: str, query: str = "", address: str = "127.0.0.1") -> Guest:
    reader, writer = await asyncio.open_connection("127.0.0.1", shards.port, local_addr=(address, 0))
    peer = RawPeer(reader, writer)
    writer.write(head(f"/ws?id={name}{query}"))
    answer = await peer.head()
    return Guest(int(answer[9:12]), answer, peer)


@asynccontextmanager
async def guests(shards: Shards, count: int, name: str = "guest") -> AsyncIterator[list[Guest]]:
    """So many at once; those that were refused have left again."""
    found = await asyncio.gather(*(knock(shards, f"{name}-{number}") for number in range(count)))
    for guest in found:
        if guest.status != 101:
            await guest.leave()
    try:
        yield [guest for guest in found if guest.status == 101]
    finally:
        for guest in found:
            await guest.leave()


def open_places(shards: Shards) -> int:
    """As the workers count them; each worker sees the same sum."""
    places = [runtime.shard.places for runtime in shards.seats.values() if runtime.shard.places is not None]
    sums = {each._counts.total() for each in places}
    assert sums == {sum(each.held for each in places)}
    return sums.pop()


async def are_open(shards: Shards, count: int) -> None:
    await eventually(lambda: open_places(shards) == count, f"{count} places are taken")


def counted(shards: Shards, name: str) -> int:
    return sum(getattr(runtime.shard.metrics, name) for runtime in shards.seats.values())


@pytest.mark.parametrize("count", [1, 4])
async def test_no_more_connect_than_may_and_who_is_there_notices_nothing(count: int) -> None:
    async with serve_shards(lambda: echo(max_connections=20), count) as shards:
        neighbours = [await connect(f"{shards.url}?id=neighbour-{n}", proxy=None) for n in range(10)]
        ASKED.clear()
        async with guests(shards, 100) as inside:
            assert len(inside) <= 10
            for neighbour in neighbours:
                await neighbour.send('{"id":"1"}')
                assert await neighbour.recv() == '{"id":"1"}'
            await are_open(shards, 10 + len(inside))
            late: list[Guest] = []
            while len(inside) + len(late) < 10:
                late.append(await knock(shards, f"late-{len(late)}"))
                assert late[-1].status == 101
            ASKED.clear()
            for number in range(5):
                refused = await knock(shards, f"refused-{number}")
                assert refused.status == 503
                assert b"\r\nRetry-After: 1\r\n" in refused.answer
                await refused.leave()
            assert ASKED == [], "connect is not asked about who is refused"
            await (late or inside)[0].leave()
            await are_open(shards, 19)
            again = await knock(shards, "again")
            assert again.status == 101
            await again.leave()
            for guest in late:
                await guest.leave()
        assert counted(shards, "limited_connections") >= 95
        assert counted(shards, "refused_503") == counted(shards, "limited_connections")
        for neighbour in neighbours:
            await neighbour.close()
        await are_open(shards, 0)


@pytest.mark.parametrize("count", [1, 4])
async def test_no_more_connect_from_one_address_than_may_and_others_do(count: int) -> None:
    def key(address: tuple[str, int]) -> int:
        return int(address[0].rpartition(".")[2])

    with patch.object(places_module, "address_key", key):
        async with serve_shards(lambda: echo(max_connections_per_address=3), count) as shards:
            inside = [await knock(shards, f"a{n}", address="127.0.0.7") for n in range(3)]
            inside += [await knock(shards, f"b{n}", address="127.0.0.8") for n in range(3)]
            assert [guest.status for guest in inside] == [101] * 6
            for name, address in (("a4", "127.0.0.7"), ("b4", "127.0.0.8"), ("a5", "127.0.0.7")):
                refused = await knock(shards, name, address=address)
                assert (refused.status, refused.answer.count(b"Retry-After")) == (429, 0)
                await refused.leave()
            other = await knock(shards, "c", address="127.0.0.9")
            assert other.status == 101
            await inside[0].leave()
            await are_open(shards, 6)
            again = await knock(shards, "a6", address="127.0.0.7")
            assert again.status == 101
            for guest in (*inside, other, again):
                await guest.leave()
            await are_open(shards, 0)
            assert counted(shards, "limited_connections_per_address") == counted(shards, "refused_429") == 3


@pytest.mark.parametrize("count", [1, 4])
async def test_everybody_who_is_refused_or_goes_on_the_way_gives_the_place_back(count: int) -> None:
    async with serve_shards(lambda: echo(max_connections=3, on_duplicate="reject"), count) as shards:
        inside = await knock(shards, "inside")
        for number in range(12):
            rejected = await knock(shards, f"bad-{number}", "&bad=1")
            assert rejected.status == 401
            await rejected.leave()
            duplicate = await knock(shards, "inside")
            assert duplicate.status == 409
            await duplicate.leave()
            peer = await RawPeer.dial(shards.port)
            peer.writer.write(b"GET /ws HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await peer.head()).startswith(b"HTTP/1.1 426 ")
            await peer.close()
            gone = await RawPeer.dial(shards.port)
            gone.writer.write(head(f"/ws?id=gone-{number}"))
            await gone.close()
            await are_open(shards, 1)
        await inside.leave()
        await are_open(shards, 0)


async def test_what_is_no_websocket_takes_no_place() -> None:
    async with serve_shards(lambda: echo(max_connections=1), 1) as shards:
        inside = await knock(shards, "inside")
        for target, status in (("/healthz", b"200"), ("/wspulse.js", b"200"), ("/elsewhere", b"404")):
            peer = await RawPeer.dial(shards.port)
            peer.writer.write(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % target.encode())
            assert (await peer.head())[9:12] == status
            await peer.close()
        peer = await RawPeer.dial(shards.port)
        peer.writer.write(b"POST /ws HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await peer.head())[9:12] == b"503", "the limit comes before the method (contract §2)"
        await peer.close()
        await inside.leave()


async def test_session_that_waits_for_its_client_has_no_connection() -> None:
    async with serve_shards(lambda: echo(max_connections=1, resume_window=30), 1) as shards:
        first = await knock(shards, "first")
        await first.leave()
        await are_open(shards, 0)
        second = await knock(shards, "second")
        assert second.status == 101
        refused = await knock(shards, "first")
        assert refused.status == 503
        await refused.leave()
        await second.leave()
        await are_open(shards, 0)
        back = await knock(shards, "first")
        assert back.status == 101
        await back.leave()


async def test_upgrade_that_was_handed_over_when_the_last_place_had_gone_is_refused_by_its_owner() -> None:
    async with serve_shards(lambda: echo(max_connections=1), 2) as shards:
        one, two = shards.runtimes
        one.stop_accepting()
        name = one.placement.new_id(one.shard.seat)
        assert two.shard.places is not None
        left = two.shard.places.leave

        def leave(holder: object) -> None:
            """Another takes the place in between."""
            left(holder)
            assert two.shard.places is not None
            if two not in two.shard.places._keys:
                two.shard.places.take(two, None)

        with patch.object(two.shard.places, "leave", leave):
            refused = await knock(shards, name)
        assert refused.status == 503
        assert (one.shard.metrics.limited_connections, one.shard.metrics.handovers_in) == (1, 1)
        await refused.leave()
        left(two)
        await are_open(shards, 0)


# Moves.


async def test_sessions_that_move_are_counted_all_the_while_and_nobody_takes_their_places() -> None:
    async with serve_shards(lambda: echo(max_connections=30, resume_window=30), 4) as shards:
        async with guests(shards, 30) as first:
            inside = list(first)
            while len(inside) < 30:
                inside.append(await knock(shards, f"more-{len(inside)}"))
            assert {guest.status for guest in inside} == {101}
            suspended = inside.pop()
            await suspended.leave()
            await are_open(shards, 29)
            inside.append(await knock(shards, "last"))
            stopped = asyncio.Event()
            let_in: list[Guest] = []

            async def try_on() -> None:
                number = 0
                while not stopped.is_set():
                    guest = await knock(shards, f"pushing-{number}")
                    number += 1
                    if guest.status == 101:
                        let_in.append(guest)
                    else:
                        await guest.leave()

            pushing = [asyncio.create_task(try_on()) for _ in range(3)]
            conductor = Conductor(shards)
            for number in range(4):
                outcome = await conductor.reload(number)
                assert isinstance(outcome, MovedOut)
                await are_open(shards, 30)
            stopped.set()
            await asyncio.gather(*pushing)
            assert let_in == []
            for guest in inside[:2]:
                await guest.leave()
            await are_open(shards, 28)
            for number in range(2):
                inside.append(await knock(shards, f"then-{number}"))
                assert inside[-1].status == 101
            refused = await knock(shards, "one-more")
            assert refused.status == 503
            await refused.leave()
            for guest in inside:
                await guest.leave()
        await are_open(shards, 0)


async def test_process_that_has_given_a_session_away_and_stays_counts_it_no_more() -> None:
    async with serve_shards(lambda: echo(max_connections=2), 2) as shards:
        source = shards.runtimes[0]
        inside = await knock(shards, source.placement.new_id(source.shard.seat))
        target = await shards.open_seat(2)
        outcome = await Conductor(shards).move(source, dict.fromkeys(range(SLOTS), target.shard.seat), leaves=False)
        assert isinstance(outcome, MovedOut)
        held = [runtime.shard.places.held for runtime in (source, target) if runtime.shard.places is not None]
        assert (held, open_places(shards)) == ([0, 1], 1)
        await inside.leave()
        await are_open(shards, 0)


async def test_sessions_that_come_back_from_a_move_have_their_places_still(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("not here")

    monkeypatch.setattr(arrival, "session_of", refuse)
    async with serve_shards(lambda: echo(max_connections=5), 2) as shards:
        name = shards.runtimes[0].placement.new_id(shards.runtimes[0].shard.seat)
        inside = await knock(shards, name)
        target = await shards.open_seat(0)
        conductor = Conductor(shards)
        source = shards.runtimes[0]
        batch = FrozenBatch(source)
        conductor.order(source, dict.fromkeys(range(SLOTS), target.shard.seat))
        await batch.frozen()
        assert open_places(shards) == 1, "it is between two processes, and has its place"
        batch.go_on()
        outcome = await conductor.outcome()
        assert isinstance(outcome, (MovedOut, MoveFailed))
        assert outcome.drained == 1
        await inside.leave()
        await are_open(shards, 0)


# Memory.


async def test_while_memory_is_short_nobody_is_let_in_and_who_is_there_stays() -> None:
    async with serve_shards(lambda: echo(max_connections=5), 1) as shards:
        neighbour = await connect(f"{shards.url}?id=neighbour", proxy=None)
        shards.tell_all(HealthChanged(MEMORY_IS_SHORT, is_well=False))
        for _ in range(2):
            refused = await knock(shards, "refused")
            assert (refused.status, b"\r\nRetry-After: 1\r\n" in refused.answer) == (503, True)
            await refused.leave()
        peer = await RawPeer.dial(shards.port)
        peer.writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await peer.head())[9:12] == b"503"
        await peer.close()
        await neighbour.send('{"id":"1"}')
        assert await neighbour.recv() == '{"id":"1"}'
        shards.tell_all(HealthChanged(MEMORY_IS_SHORT, is_well=True))
        inside = [await knock(shards, f"inside-{number}") for number in range(5)]
        assert [guest.status for guest in inside] == [101, 101, 101, 101, 503]
        for guest in inside:
            await guest.leave()
        assert (counted(shards, "limited_memory"), counted(shards, "limited_connections")) == (2, 1)
        await neighbour.close()
        await are_open(shards, 0)


async def test_reason_that_is_not_memory_refuses_nobody() -> None:
    async with serve_shards(echo, 1) as shards:
        shards.tell_all(HealthChanged("the bus was removed", is_well=False))
        guest = await knock(shards, "guest")
        assert guest.status == 101
        await guest.leave()
