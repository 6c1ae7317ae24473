"""contract §4, Backpressure and Heartbeat: slow peers, dead peers, slow handlers and busy workers, with real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Iterator

import psutil
import pytest

from tests.support.contract.client import Client
from tests.support.contract.server import ContractServer, contract_server
from tests.support.wire.raw_peer import RawPeer, masked

SEND_BUFFER_FRAMES = 64
FRAME_BYTES = 20_000
KERNEL_BYTES = 16 * 1024 * 1024
"""More than the two socket buffers of a loopback connection hold."""


@pytest.fixture(scope="module")
def tight(workers: int) -> Iterator[ContractServer]:
    """A small send buffer, a short patience with writes."""
    with contract_server(workers, send_buffer_size=SEND_BUFFER_FRAMES, write_wait=2.0) as server:
        yield server


@pytest.fixture(scope="module")
def patient(workers: int) -> Iterator[ContractServer]:
    """A small send buffer, a long patience with writes."""
    with contract_server(workers, send_buffer_size=SEND_BUFFER_FRAMES, write_wait=30) as server:
        yield server


@pytest.fixture(scope="module")
def beating(workers: int) -> Iterator[ContractServer]:
    """A quick heartbeat."""
    with contract_server(workers, ping_period=0.2, pong_wait=0.6) as server:
        yield server


def rss_bytes(server: ContractServer) -> int:
    return sum(psutil.Process(pid).memory_info().rss for pid in server.process.pids())


async def test_peer_that_stops_reading_delays_nobody_and_gets_the_newest_when_it_reads_again(
    patient: ContractServer,
) -> None:
    room = patient.new_id("room")
    members = [await patient.client(patient.new_id("member", shard), room) for shard in range(4)]
    slow = await RawPeer.upgraded(patient.process.port, f"/ws?id={patient.new_id('slow')}&room={room}", 65536)
    count = 2 * KERNEL_BYTES // FRAME_BYTES
    async with await patient.client(patient.new_id("boss"), "bosses") as boss:
        before = rss_bytes(patient)
        # In steps that a send buffer holds: on a busy machine these members' own process may be slow to read too.
        for first in range(0, count, SEND_BUFFER_FRAMES // 2):
            step = min(SEND_BUFFER_FRAMES // 2, count - first)
            order = await boss.order_only("broadcast_many", room=room, count=step, size=FRAME_BYTES, first=first)
            for member in members:
                assert [(await member.expect("numbered"))[0] for _ in range(step)] == list(range(first, first + step))
            await boss.answer(order)
        grown = rss_bytes(patient) - before
        assert grown < 4 * SEND_BUFFER_FRAMES * FRAME_BYTES + 24 * 1024 * 1024, f"memory grew by {grown} bytes"
        numbers = [(await slow.expect("numbered"))[0]]
        while numbers[-1] != count - 1:
            numbers.append((await slow.expect("numbered"))[0])
    assert numbers == sorted(set(numbers)), "a frame came twice or out of order"
    assert len(numbers) < count, "the peer was never slow: this test shows nothing"
    assert numbers[-SEND_BUFFER_FRAMES:] == list(range(count - SEND_BUFFER_FRAMES, count)), "not the newest ones"
    await slow.close()
    for member in members:
        await member.close()


async def test_send_to_a_full_buffer_raises_and_drops_nothing(patient: ContractServer) -> None:
    name = patient.new_id("full")
    slow = await RawPeer.upgraded(patient.process.port, f"/ws?id={name}", 65536)
    async with await patient.client(patient.new_id("boss"), "bosses") as boss:
        sent = await boss.order("send_until_full", to=name, size=FRAME_BYTES)
        assert (await boss.order("send", to=name))["error"] == "SendBufferFullError"
        for number in range(sent):
            assert (await slow.expect("numbered"))[0] == number
    await slow.close()


async def test_peer_that_never_reads_is_cut_off_after_write_wait(tight: ContractServer) -> None:
    name = tight.new_id("stuck")
    stuck = await RawPeer.upgraded(tight.process.port, f"/ws?id={name}", 65536)
    async with await tight.client(tight.new_id("boss"), "bosses") as boss:
        await boss.order("send_until_full", to=name, size=FRAME_BYTES)
        entry = await tight.notes.ended(name)
        assert entry["error"] == "WriteTimeoutError"
        assert (await boss.order("send", to=name))["error"] == "ConnectionNotFoundError"
    await stuck.close()


async def test_slow_handler_stops_the_reading_of_its_own_peers_socket_only(patient: ContractServer) -> None:
    name, other_name = patient.new_id("flood", 0), patient.new_id("other", 0)
    flood = await RawPeer.upgraded(patient.process.port, f"/ws?id={name}")
    async with await patient.client(other_name) as other:
        flood.writer.write(masked(1, b'{"event":"do","id":"1","payload":{"op":"pause","seconds":1.5}}'))
        chunk = masked(1, b'{"event":"note","payload":"' + b"x" * 400 + b'"}') * 2000
        written = 0
        stalled = False
        while written < 2 * KERNEL_BYTES and not stalled:
            flood.writer.write(chunk)
            written += len(chunk)
            try:
                async with asyncio.timeout(0.3):
                    await flood.writer.drain()
            except TimeoutError:
                stalled = True
        assert stalled, "the server went on reading while its handler was busy"
        assert patient.notes.kinds(name) == ["connect"]
        await other.send("echo", 1)
        assert await other.expect("echo") == 1
    flood.writer.transport.abort()
    await patient.notes.ended(name)


async def test_peer_without_pongs_is_dropped_with_1011(beating: ContractServer) -> None:
    name = beating.new_id("silent")
    async with await RawPeer.upgraded(beating.process.port, f"/ws?id={name}") as silent:
        # Data does not extend it.
        sending = asyncio.create_task(talk(silent))
        pings = 0
        while (frame := await silent.frame())[0] == 9:
            pings += 1
        sending.cancel()
        assert frame == (8, (1011).to_bytes(2) + b"keepalive timeout")
        assert pings >= 1
        silent.writer.write(masked(8, frame[1][:2]))
    assert (await beating.notes.ended(name))["error"] == "KeepaliveTimeoutError"


async def talk(peer: RawPeer) -> None:
    while True:
        peer.writer.write(masked(1, b'{"event":"nothing"}'))
        await asyncio.sleep(0.05)


async def test_peer_that_answers_pings_stays(beating: ContractServer) -> None:
    async with await beating.client(beating.new_id()) as client:
        await asyncio.sleep(1.5)  # longer than pong_wait; the promise is that nothing happens
        await client.send("echo", 1)
        assert await client.expect("echo") == 1


async def test_pong_clock_stands_while_a_slow_handler_keeps_us_from_reading(beating: ContractServer) -> None:
    name = beating.new_id("held")
    async with await beating.client(name) as client:
        number = await client.order_only("pause", seconds=1.5)
        for count in range(40):
            await client.send("note", count)
        await client.answer(number)
        await beating.notes.has(name, "message", 40)
        await client.send("echo", "alive")
        assert await client.expect("echo") == "alive"


async def test_pings_of_the_peer_are_answered(plain: ContractServer) -> None:
    async with await RawPeer.upgraded(plain.process.port, f"/ws?id={plain.new_id()}") as peer:
        peer.writer.write(masked(9, b"one") + masked(9, b"two"))
        assert await peer.frame() == (10, b"one")
        assert await peer.frame() == (10, b"two")


def no_loss(numbers: list[int], count: int) -> None:
    assert numbers == list(range(count)), f"{count - len(numbers)} frames are lost or out of order"


async def test_worker_whose_loop_is_busy_makes_senders_wait_and_loses_nothing() -> None:
    """16 MB ahead of it the publishers wait; when it is back everything arrives."""
    with contract_server(4, send_buffer_size=4096, send_buffer_bytes=1 << 27) as server:
        room = server.new_id("room")
        members = [await server.client(server.new_id("member", shard), room) for shard in range(4)]
        size, count = 50_000, 900
        async with (
            await server.client(server.new_id("boss", 0), "bosses") as boss,
            await server.client(server.new_id("victim", 3), "bosses") as victim,
        ):
            before = rss_bytes(server)
            blocked = await victim.order_only("block", seconds=3.0)
            started = time.monotonic()
            order = await boss.order_only("broadcast_many", room=room, count=count, size=size, pause_every=20)

            async def take_all(member: Client) -> list[int]:
                return [(await member.expect("numbered"))[0] for _ in range(count)]

            taking = [asyncio.create_task(take_all(member)) for member in members]
            assert await boss.answer(order) == count
            assert time.monotonic() - started > 2.0, "45 MB went through while a shard consumed nothing"
            for task in taking:
                no_loss(await task, count)
            await victim.answer(blocked)
            grown = rss_bytes(server) - before
            assert grown < 160 * 1024 * 1024, f"memory grew by {grown} bytes"
        for member in members:
            await member.close()


async def test_worker_that_stays_busy_makes_broadcasts_fail_after_5_s() -> None:
    with contract_server(4) as server:
        room = server.new_id("room")
        async with (
            await server.client(server.new_id("boss", 0), "bosses") as boss,
            await server.client(server.new_id("victim", 3), room) as victim,
        ):
            blocked = await victim.order_only("block", seconds=8.0)
            started = time.monotonic()
            result = await boss.order("broadcast_many", room=room, count=1000, size=50_000, pause_every=20)
            waited_s = time.monotonic() - started
            assert result["error"] == "ShardUnavailableError", result
            assert 4.5 < waited_s < 8
            assert (await boss.order("send", to=server.new_id("on the victim", 3)))["error"] in {
                "ShardUnavailableError",
                "ConnectionNotFoundError",
            }
            await victim.answer(blocked)
            assert await boss.order("broadcast", room=room, payload="works again") is None


async def test_stopped_supervisor_makes_broadcasts_fail_after_5_s_and_they_work_again_afterwards() -> None:
    with contract_server(4) as server:
        room = server.new_id("room")
        members = [await server.client(server.new_id("member", shard), room) for shard in range(4)]
        async with await server.client(server.new_id("boss", 0), "bosses") as boss:
            server.process.signal(signal.SIGSTOP)
            try:
                before = rss_bytes(server)
                result = await boss.order("broadcast_many", room=room, count=2000, size=50_000, pause_every=20)
                assert result["error"] == "ShardUnavailableError", result
                assert rss_bytes(server) - before < 160 * 1024 * 1024
                # What needs no bus goes on.
                await boss.order("send", to=server.new_id("nobody", 2))
            finally:
                os.kill(server.process.pid, signal.SIGCONT)
            await server.notes.until(lambda: True, "the supervisor runs")
            async with asyncio.timeout(20):
                while (await boss.order("broadcast", room=room, payload="again", event="again")) is not None:
                    pass
            for member in members:
                while (await member.receive())["event"] != "again":
                    pass
        for member in members:
            await member.close()


async def test_stopped_worker_holds_up_only_senders_to_rooms_that_it_has_members_of() -> None:
    """Rooms of before and rooms that came up while it was stopped; each gets more than a publisher may be ahead."""
    size, count = 60_000, 100
    with contract_server(4, "--stall-timeout", "300", send_buffer_size=4096, send_buffer_bytes=1 << 27) as server:
        empty_of_it = [server.new_id("room") for _ in range(8)]
        with_it = server.new_id("room")
        members = [await server.client(server.new_id("member", shard), with_it) for shard in (0, 3)]
        earlier = [await server.client(server.new_id("member", 1), room) for room in empty_of_it[:4]]
        stopped = server.process.worker_pids()[3]
        async with await server.client(server.new_id("boss", 0), "bosses") as boss:
            os.kill(stopped, signal.SIGSTOP)
            try:
                before = rss_bytes(server)
                later: list[Client] = []
                while len(later) < 4:
                    # The stopped worker may be the one to whom the kernel gives a socket.
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(0.5):
                            later.append(await server.client(server.new_id("member", 2), empty_of_it[4 + len(later)]))
                for room, member in zip(empty_of_it, earlier + later, strict=True):
                    order = await boss.order_only("broadcast_many", room=room, count=count, size=size, pause_every=20)
                    numbers = [(await member.expect("numbered"))[0] for _ in range(count)]
                    assert numbers == list(range(count))
                    assert await boss.answer(order) == count
                result = await boss.order("broadcast_many", room=with_it, count=1000, size=size, pause_every=20)
                assert result["error"] == "ShardUnavailableError", "what the stopped worker gets is bounded by nothing"
                grown = rss_bytes(server) - before
                assert grown < 160 * 1024 * 1024, f"memory grew by {grown} bytes"
            finally:
                os.kill(stopped, signal.SIGCONT)
            async with asyncio.timeout(20):
                while (await boss.order("broadcast", room=with_it, payload="again", event="again")) is not None:
                    pass
            for member in members:
                while (await member.receive())["event"] != "again":
                    pass
        for member in (*members, *earlier, *later):
            await member.close()
