"""contract §3 and §4, Heartbeat and Backpressure: whom the server waits for, and whom it does not."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator

import pytest

from tests.support.contract.client import Client
from tests.support.contract.server import ContractServer, contract_server
from tests.support.eventually import eventually
from tests.support.wire.raw_peer import RawPeer, masked

FRAME_BYTES = 20_000
PONG_WAIT_S = 0.9
TCP_CLOSE = 7
"""The first byte of Linux's struct tcp_info, of a connection that was reset or is over."""


@pytest.fixture(scope="module")
def beating(workers: int) -> Iterator[ContractServer]:
    """A quick heartbeat, and a long patience with writes."""
    with contract_server(workers, ping_period=0.3, pong_wait=PONG_WAIT_S, write_wait=30, send_buffer_size=64) as server:
        yield server


async def read_slowly(peer: RawPeer, bytes_per_s: float, seconds: float) -> int:
    """Read steadily and answer every ping. Returns how many came; AssertionError where the server ends the connection."""
    began = time.monotonic()
    taken = pings = 0
    while (now := time.monotonic()) < began + seconds:
        if (ahead_s := taken / bytes_per_s - (now - began)) > 0:
            await asyncio.sleep(ahead_s)
        opcode, payload = await peer.frame()
        assert opcode != 8, f"closed after {now - began:.1f} s: {payload!r}"
        taken += len(payload)
        if opcode == 9:
            pings += 1
            peer.writer.write(masked(10, payload))
    return pings


async def talk(boss: Client, room: str) -> None:
    """2 MB/s, until cancelled."""
    while True:
        began = time.monotonic()
        await boss.order("broadcast_many", room=room, count=10, size=FRAME_BYTES)
        await asyncio.sleep(max(0.0, began + 0.1 - time.monotonic()))


async def test_peer_that_reads_slower_than_its_room_talks_is_not_cut(beating: ContractServer) -> None:
    room, name = beating.new_id("room"), beating.new_id("slow")
    slow = await RawPeer.upgraded(beating.process.port, f"/ws?id={name}&room={room}", 65536)
    async with await beating.client(beating.new_id("boss"), "bosses") as boss:
        # More than the kernel holds: from here on the peer is behind.
        await boss.order("broadcast_many", room=room, count=500, size=FRAME_BYTES)
        talking = asyncio.create_task(talk(boss, room))
        try:
            await read_slowly(slow, 1_000_000, 5 * PONG_WAIT_S)
        finally:
            talking.cancel()
            await asyncio.wait([talking])
    assert "disconnect" not in beating.notes.kinds(name)
    await slow.close()


async def test_peer_that_answers_no_ping_is_dropped_whatever_else_it_sends(beating: ContractServer) -> None:
    name = beating.new_id("rude")
    async with await RawPeer.upgraded(beating.process.port, f"/ws?id={name}") as rude:
        rude.writer.write(b"\x01\x80\0\0\0\0")  # the beginning of a message without an end

        async def chatter() -> None:
            while True:
                rude.writer.write(masked(10, b"") + masked(10, b"hello") + b"\x00\x80\0\0\0\0")
                await asyncio.sleep(PONG_WAIT_S / 10)

        chattering = asyncio.create_task(chatter())
        try:
            assert await rude.close_code() == (1011, "keepalive timeout")
        finally:
            chattering.cancel()
            await asyncio.wait([chattering])
        assert (await beating.notes.ended(name))["error"] == "KeepaliveTimeoutError"


async def test_kick_of_a_peer_that_does_not_read_resets_its_connection(beating: ContractServer) -> None:
    name = beating.new_id("stuck")
    stuck = await RawPeer.upgraded(beating.process.port, f"/ws?id={name}", 65536)
    async with await beating.client(beating.new_id("boss"), "bosses") as boss:
        await boss.order("send_until_full", to=name, size=FRAME_BYTES)
        assert await boss.order("kick", id=name) is None
    peer: socket.socket = stuck.writer.get_extra_info("socket")
    # Long before `write_wait` is over.
    await eventually(
        lambda: peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == TCP_CLOSE, "the connection was reset"
    )
    await stuck.close()


async def test_peer_that_half_closes_after_asking_gets_its_answer(plain: ContractServer) -> None:
    name = plain.new_id("half")
    async with await RawPeer.upgraded(plain.process.port, f"/ws?id={name}") as peer:
        peer.writer.write(masked(1, b'{"event":"do","id":"1","payload":{"op":"pause","seconds":0.3}}'))
        peer.writer.write_eof()
        await peer.expect("done")
        assert await peer.rest() == b""
    assert (await plain.notes.ended(name))["error"] == "ConnectionLostError"
