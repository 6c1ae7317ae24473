"""contract §2: every check of an upgrade has its answer, and a valid one loses nothing on its way."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from tests.support.contract.server import ContractServer, contract_server
from tests.support.wire.raw_peer import RawPeer, head, masked

REFUSALS = {
    "another HTTP version": (head("/ws", version="HTTP/1.0"), 505, ()),
    "another path": (head("/elsewhere"), 404, ()),
    "HAProxy's probe of another path": (b"OPTIONS / HTTP/1.0\r\n\r\n", 404, ()),
    "a malformed line on another path": (head("/elsewhere", "no colon"), 404, ()),
    "another method": (head("/ws", method="POST"), 405, (b"Allow: GET",)),
    "no upgrade": (b"GET /ws HTTP/1.1\r\nHost: x\r\n\r\n", 426, (b"Sec-WebSocket-Version: 13",)),
    "another WebSocket version": (
        head("/ws").replace(b"Version: 13", b"Version: 8"),
        426,
        (b"Sec-WebSocket-Version: 13",),
    ),
    "no key": (head("/ws", key=""), 400, ()),
    "a key of the wrong size": (head("/ws", key="c2hvcnQ="), 400, ()),
    "two keys": (head("/ws", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="), 400, ()),
    "a malformed line": (head("/ws", "no colon"), 400, ()),
    "a folded line": (head("/ws", "X-Long: one\r\n two"), 400, ()),
    "a head that is too long": (head("/ws", "X-Long: " + "x" * 17_000), 431, ()),
    "too many headers": (head("/ws", *[f"X-{number}: y" for number in range(130)]), 431, ()),
    "what connect rejects": (head("/ws?token=wrong"), 401, (b"bad token",)),
    "an error in connect": (head("/ws?token=broken"), 500, (b"internal server error",)),
    "a connection id that is too long": (head("/ws?id=" + "x" * 257), 500, (b"internal server error",)),
}


@pytest.mark.parametrize("what", REFUSALS)
async def test_refused_upgrade_gets_its_answer(plain: ContractServer, what: str) -> None:
    request, status, parts = REFUSALS[what]
    async with await RawPeer.dial(plain.process.port) as peer:
        peer.writer.write(request)
        answer = await peer.rest()
    assert answer.startswith(f"HTTP/1.1 {status} ".encode()), answer
    for part in parts:
        assert part in answer
    assert b"secret detail" not in answer, "an internal error reached the peer"


PROBES = {
    "a client's": b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    "HAProxy's": b"OPTIONS /healthz HTTP/1.0\r\n\r\n",
    "HAProxy's with a method": b"HEAD /healthz HTTP/1.0\r\n\r\n",
    "nginx's": b"GET /healthz HTTP/1.0\r\nHost: 127.0.0.1:8000\r\nConnection: close\r\n\r\n",
}


@pytest.mark.parametrize("whose", PROBES)
async def test_health_check_answers_ok(plain: ContractServer, whose: str) -> None:
    probe = PROBES[whose]
    async with await RawPeer.dial(plain.process.port) as peer:
        peer.writer.write(probe)
        answer = await peer.rest()
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"Content-Length: 2\r\n" in answer
    assert answer.endswith(b"\r\n\r\n" if probe.startswith(b"HEAD") else b"\r\n\r\nok")


async def test_client_that_ends_its_side_behind_its_request_gets_its_answer(plain: ContractServer) -> None:
    for number in range(2 * plain.workers):
        name = plain.new_id("half", number % plain.workers)
        for request, status in (
            (head(f"/ws?id={name}"), b"101"),
            (b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", b"200"),
        ):
            async with await RawPeer.dial(plain.process.port) as peer:
                peer.writer.write(request)
                peer.writer.write_eof()
                assert (await peer.rest())[9:12] == status


async def test_refused_upgrade_fires_no_callback(plain: ContractServer) -> None:
    name = plain.new_id("refused")
    async with await RawPeer.dial(plain.process.port) as peer:
        peer.writer.write(head(f"/ws?id={name}&token=wrong"))
        await peer.rest()
    assert plain.notes.kinds(name) == []


async def test_head_that_does_not_come_in_time_gets_408(workers: int) -> None:
    with contract_server(workers, handshake_timeout=0.3) as server:
        async with await RawPeer.dial(server.process.port) as peer:
            peer.writer.write(head("/ws")[:40])
            assert (await peer.rest()).startswith(b"HTTP/1.1 408 ")
        async with await RawPeer.dial(server.process.port) as peer:
            peer.writer.write(head("/ws?wait=5"))
            answer = await peer.rest()
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"Retry-After: " in answer


async def test_subprotocol_is_the_first_of_ours_that_the_client_offers(workers: int) -> None:
    with contract_server(workers, subprotocols=["chat.v2", "chat.v1"]) as server:
        for shard in range(4):
            async with await RawPeer.dial(server.process.port) as peer:
                name = server.new_id("protocol", shard)
                peer.writer.write(head(f"/ws?id={name}", "Sec-WebSocket-Protocol: chat.v1, chat.v2"))
                assert b"\r\nSec-WebSocket-Protocol: chat.v2\r\n" in await peer.head()
            async with await RawPeer.dial(server.process.port) as peer:
                peer.writer.write(head(f"/ws?id={server.new_id('protocol', shard)}", "Sec-WebSocket-Protocol: other"))
                assert b"Sec-WebSocket-Protocol" not in await peer.head()


async def test_no_extension_is_negotiated(plain: ContractServer) -> None:
    async with await RawPeer.dial(plain.process.port) as peer:
        peer.writer.write(head(f"/ws?id={plain.new_id()}", "Sec-WebSocket-Extensions: permessage-deflate"))
        assert b"sec-websocket-extensions" not in (await peer.head()).lower()


async def test_made_up_ids_are_unique(plain: ContractServer) -> None:
    room = plain.new_id("room")
    clients = await asyncio.gather(*(plain.client("", room) for _ in range(20)))
    names = await clients[0].order("list_room", room=room)
    assert len(set(names)) == 20
    for client in clients:
        await client.close()


async def dial_roughly(server: ContractServer, number: int, cut: float) -> None:
    """One upgrade with an echo behind it, glued to the head, with the head in two pieces (`cut`
    says where, from 0 to 1), or with much ahead of the 101."""
    name = server.new_id("rough")
    request = head(f"/ws?id={name}&room={name}")
    frame = b'{"event":"echo","payload":%d}'
    kind = number % 4
    async with await RawPeer.dial(server.process.port) as peer:
        count = 1
        if kind == 0:
            peer.writer.write(request + masked(1, frame % 0))
        elif kind == 1:
            first = 1 + int(cut * (len(request) - 1))
            peer.writer.write(request[:first])
            await peer.writer.drain()
            await asyncio.sleep(0)
            peer.writer.write(request[first:] + masked(1, frame % 0))
        elif kind == 2 and number % 16 == 2:
            # 300 KB ahead of the 101; pings with it, whose pongs come before the echoes that follow.
            count = 700
            filler = b'{"event":"nothing","payload":"' + b"x" * 380 + b'"}'
            peer.writer.write(request + b"".join(masked(1, filler) + masked(1, frame % each) for each in range(count)))
        else:
            peer.writer.write(request)
            await peer.writer.drain()
            peer.writer.write(masked(1, frame % 0))
        assert (await peer.head()).startswith(b"HTTP/1.1 101 ")
        for each in range(count):
            assert await peer.expect("echo") == each
        peer.writer.write(masked(8, b"\x03\xe8"))
        assert await peer.close_code() == (1000, "")


@pytest.mark.race
async def test_every_upgrade_is_answered_and_nothing_sent_with_it_is_lost(
    plain: ContractServer, race_rounds: int, draw: Random
) -> None:
    gate = asyncio.Semaphore(64)

    async def one(number: int, cut: float) -> None:
        async with gate:
            await dial_roughly(plain, number, cut)

    await asyncio.gather(*(one(number, draw.random()) for number in range(100 * race_rounds)))


async def test_upgrade_in_flight_during_the_servers_end_is_answered_503(workers: int) -> None:
    with contract_server(workers) as server:
        async with await RawPeer.dial(server.process.port) as peer:
            peer.writer.write(head("/ws?wait=5"))
            await peer.writer.drain()
            async with await server.client(server.new_id("last")) as last:
                await last.order("pause", seconds=0.2)
                server.process.terminate()
                answer = await peer.rest()
                assert answer.startswith(b"HTTP/1.1 503 "), answer
                assert await last.closed() == (1001, "server shutting down")
        assert server.process.wait() == 0
