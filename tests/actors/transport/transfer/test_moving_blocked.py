"""A socket that moves while its peer is behind: the peer's whole byte stream is what it would have been."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import pytest

from tests.support.sessions.moved_sockets import SocketPeer, arrive, leave, let_go, move
from wspulse.actors.server import Server
from wspulse.actors.sessions.session import Session
from wspulse.actors.sessions.shard import Shard
from wspulse.actors.transport.client import untaken_bytes
from wspulse.actors.transport.transport import Transport
from wspulse.actors.values.frame import Frame
from wspulse.actors.values.request import Request
from wspulse.actors.wire.frames import messages_of

LARGE_BYTES = 300_000
"""Of a frame: several times what a socket takes at a time."""


@asynccontextmanager
async def _serving(**options: Any) -> AsyncIterator[tuple[Shard, int]]:
    def connect(request: Request) -> tuple[str, str]:
        return "lobby", request.query["id"]

    defaults = {"ping_period": 100, "pong_wait": 300, "send_buffer_bytes": 64 << 20}
    server = Server(connect, **(defaults | options))
    async with server.serve(patience_s=0) as running:
        yield server._running().shard, running.port


def _frame(shard: Shard, number: int, size_bytes: int = LARGE_BYTES) -> bytes:
    # No two have an end in common.
    return shard.encode(Frame("n", f"{number}:" + f"{number}," * (size_bytes // len(f"{number},"))))


def _until_blocked(session: Session, write: Callable[[int], bytes]) -> list[bytes]:
    """What was written, by `write(number)`, until the socket took no more of it."""
    assert session.transport is not None
    written: list[bytes] = []
    while not session.transport.blocked:
        written.append(write(len(written)))
        assert len(written) < 500
    return written


@pytest.mark.race
async def test_blocked_peer_gets_the_exact_stream_when_its_socket_moves_and_it_begins_to_read(
    draw: Random, race_rounds: int
) -> None:
    async with _serving() as (shard, port):
        for number in range(12 * race_rounds):
            with await SocketPeer.connected(port, f"/ws?id=a{number}", receive_buffer_bytes=4096) as peer:
                session = shard.sessions[f"a{number}"]

                def write(number: int, session: Session = session) -> bytes:
                    wire = _frame(shard, number, draw.randrange(LARGE_BYTES))
                    session.send(wire)
                    session.flush()
                    return wire

                expected = _until_blocked(session, write)
                peer.reads(draw.choice((0, 100_000)))
                transport = let_go(session)
                # With the session gone what is sent waits for the next transport.
                expected += [write(number) for number in range(1000, 1003)]
                left = leave(transport)
                # Between this and the loop's letting go it goes on writing to a peer that reads.
                if draw.random() < 0.8:
                    peer.reads()
                record, descriptor = await left
                assert 0 <= len(record.unsent) <= LARGE_BYTES + 100
                if draw.random() < 0.5:
                    peer.reads()
                await arrive(session, record, descriptor)
                expected.append(write(2000))
                wire = b"".join(expected)
                assert await peer.has_received(len(wire)) == wire


@pytest.mark.race
async def test_peer_that_reads_between_leaving_and_its_end_is_sent_nothing_twice(race_rounds: int) -> None:
    # Here the loop does go on writing in between: a size that was taken at the abort is too large.
    less = 0
    async with _serving() as (shard, port):
        for number in range(2 * race_rounds):
            with await SocketPeer.connected(port, f"/ws?id=a{number}", receive_buffer_bytes=4096) as peer:
                session = shard.sessions[f"a{number}"]
                wires = [_frame(shard, number, size_bytes) for number, size_bytes in enumerate((6_000_000, 100))]
                for wire in wires:
                    session.send(wire)
                    session.flush()
                client = session.transport._client if session.transport is not None else None
                assert client is not None
                transport = let_go(session)
                left = leave(transport)
                at_abort = client.get_write_buffer_size()
                while untaken_bytes(client):
                    peer.reads()
                record, descriptor = await left
                less += len(record.unsent) < at_abort
                await arrive(session, record, descriptor)
                assert await peer.has_received(sum(map(len, wires))) == b"".join(wires)
    assert less


async def test_peer_that_takes_everything_gets_the_exact_stream_over_many_moves() -> None:
    async with _serving() as (shard, port):
        with await SocketPeer.connected(port, "/ws?id=ada") as peer:
            session = shard.sessions["ada"]
            expected = b""
            for number in range(40):
                wire = _frame(shard, number, 100)
                expected += wire * 2
                session.send(wire)
                record, descriptor = await leave(let_go(session))
                assert (record.unsent, record.owed) == (b"", b"")
                session.send(wire)
                await arrive(session, record, descriptor)
                peer.reads()
            assert await peer.has_received(len(expected)) == expected


async def test_peer_that_is_blocked_over_several_moves_gets_the_rest_of_the_first_write() -> None:
    async with _serving() as (shard, port):
        with (
            await SocketPeer.connected(port, "/ws?id=ada", receive_buffer_bytes=4096) as peer,
            await SocketPeer.connected(port, "/ws?id=bob"),
        ):
            session = shard.sessions["ada"]
            wires = [_frame(shard, number, 9_000_000) for number in range(2)]
            for wire in wires:
                session.send(wire)
                session.flush()
            for _ in range(3):
                left = leave(let_go(session))
                _by_session(shard, shard.sessions["bob"], 0)
                transport = await arrive(session, *await left)
                assert transport.blocked
                assert transport.can_leave
                _by_session(shard, shard.sessions["bob"], 0)
            expected = b"".join(wires)
            assert await peer.has_received(len(expected)) == expected


@pytest.mark.parametrize("lines", [(), ("Sec-WebSocket-Protocol: wspulse.1",)], ids=["plain", "exact"])
async def test_rest_of_what_was_buffered_moves_when_it_has_blocked_its_peer_again(lines: tuple[str, ...]) -> None:
    async with _serving() as (shard, port):
        with (
            await SocketPeer.connected(port, "/ws?id=ada", *lines, receive_buffer_bytes=4096) as peer,
            await SocketPeer.connected(port, "/ws?id=bob"),
        ):
            session = shard.sessions["ada"]
            for number in range(30):
                _by_session(shard, session, number)
            transport = session.transport
            assert transport is not None
            buffered = session.queued_frames
            assert buffered > 12
            while not (transport.blocked and session.queued_frames < buffered):
                peer.reads(100_000)
                await asyncio.sleep(0)
            _by_session(shard, shard.sessions["bob"], 0)
            await move(session)
            last = shard.encode(Frame("last"))
            _by_session(shard, session, 30)
            numbers = _numbers(await _all_until(peer, session, last))
            assert numbers == list(range(31))


async def test_loop_that_resumes_before_the_socket_leaves_writes_nothing_of_a_session_that_let_go() -> None:
    async with _serving() as (shard, port):
        with await SocketPeer.connected(port, "/ws?id=ada", receive_buffer_bytes=4096) as peer:
            session = shard.sessions["ada"]
            wires = [_frame(shard, number, 5_000_000) for number in range(2)]
            for wire in wires:
                session.send(wire)
                session.flush()
            transport = let_go(session)
            assert transport._written
            await peer.has_received(len(wires[0]))
            while transport.blocked:
                peer.reads()
                await asyncio.sleep(0)
            record, descriptor = await leave(transport)
            assert record.unsent == b""
            await arrive(session, record, descriptor)
            expected = b"".join(wires)
            assert await peer.has_received(len(expected)) == expected


def _by_session(shard: Shard, session: Session, number: int) -> None:
    session.send(_frame(shard, number))
    session.flush()


def _by_room(shard: Shard, _session: Session, number: int) -> None:
    shard.deliver("lobby", _frame(shard, number, LARGE_BYTES // 3))
    shard.deliver("lobby", _frame(shard, number, LARGE_BYTES // 3))
    shard.rooms["lobby"].flush()


def _by_room_but_others(shard: Shard, _session: Session, number: int) -> None:
    shard.deliver_but("lobby", _frame(shard, number), frozenset({"nobody"}))


def _as_one_that_was_slow(shard: Shard, session: Session, number: int) -> None:
    session.buffer_broadcast([_frame(shard, number, LARGE_BYTES // 2)] * 2)


async def _all_until(peer: SocketPeer, session: Session, last: bytes) -> bytes:
    """What the peer has received when it has got this too."""
    while session.queued_frames:
        peer.reads()
        await asyncio.sleep(0)
    session.send(last)
    session.flush()
    received = b""
    while not received.endswith(last):
        received = await peer.has_received(len(received) + 1)
    return received


def _numbers(received: bytes) -> list[int]:
    """Of the frames that were sent, the protocol's own left out; each is as it was made."""
    numbers = []
    for _, payload, _ in messages_of(received):
        frame = json.loads(payload)
        if frame["event"] == "n":
            number, _, content = frame["payload"].partition(":")
            assert not content.replace(f"{number},", "")
            numbers.append(int(number))
    return numbers


WAYS = (_by_session, _by_room, _by_room_but_others, _as_one_that_was_slow)


@pytest.mark.parametrize("access_log", [False, True])
@pytest.mark.parametrize("lines", [(), ("Sec-WebSocket-Protocol: wspulse.1",)], ids=["plain", "exact"])
@pytest.mark.parametrize("way", WAYS)
async def test_rest_of_a_write_moves_whoever_wrote_it(
    way: Callable[[Shard, Session, int], None], lines: tuple[str, ...], access_log: bool
) -> None:
    async with _serving(access_log=access_log) as (shard, port):
        with (
            await SocketPeer.connected(port, "/ws?id=ada", *lines, receive_buffer_bytes=4096) as peer,
            await SocketPeer.connected(port, "/ws?id=bob") as bob,
        ):
            session = shard.sessions["ada"]
            assert session.transport is not None
            count = 0
            transport: Transport = session.transport
            for _ in range(2):
                while not transport.blocked:
                    way(shard, session, count)
                    bob.reads()
                    count += 1
                way(shard, session, count)
                count += 1
                # Bob's writes come behind those to Ada, who is the first in the room.
                _by_session(shard, shard.sessions["bob"], 0)
                bob.reads()
                record, descriptor = await leave(let_go(session))
                assert record.unsent
                transport = await arrive(session, record, descriptor)
                while transport.blocked:
                    peer.reads(1_000_000)
                    await asyncio.sleep(0)
            numbers = _numbers(await _all_until(peer, session, shard.encode(Frame("last"))))
            per_call = 1 if way in (_by_session, _by_room_but_others) else 2
            assert numbers == [number for number in range(count) for _ in range(per_call)]
