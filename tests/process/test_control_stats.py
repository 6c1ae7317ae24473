"""What `stats` counts, held against what clients of a real server sent and got."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator

import pytest

from tests.support.processes.server_process import ServerProcess, serve_process
from tests.support.wire.raw_peer import RawPeer, head, masked
from wspulse import AsyncControl, Frame
from wspulse.supervisor.protocol.types import Totals

BROADCASTS = 600
"""Of 16 KB: more than a send buffer of 16 frames and the kernel's buffers take."""


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with serve_process(
        "--app", "relay", "--send-buffer-size", "16", "--allow-origin", "https://good.example"
    ) as server:
        yield server


async def counted(control: AsyncControl) -> Totals:
    return (await control.stats()).totals


async def test_every_frame_that_a_full_buffer_drops_is_counted(server: ServerProcess) -> None:
    async with (
        AsyncControl(server.control) as control,
        await RawPeer.upgraded(server.port, "/ws?id=slow&room=flood", receive_buffer_bytes=4096) as slow,
    ):
        before = await counted(control)
        for number in range(BROADCASTS):
            await control.broadcast("flood", Frame("numbered", [number, "x" * 16_000]))
        numbers: list[int] = []
        while not numbers or numbers[-1] != BROADCASTS - 1:
            numbers.append((await slow.expect("numbered"))[0])
        after = await counted(control)
        dropped = BROADCASTS - len(numbers)
        assert dropped > 0, "the peer took all that there was: the test needs more"
        assert after.frames_dropped - before.frames_dropped == dropped
        assert after.frames_out - before.frames_out == len(numbers)
        assert after.queued == 0


async def test_frames_that_come_and_those_that_do_not_decode_are_counted(server: ServerProcess) -> None:
    async with (
        AsyncControl(server.control) as control,
        await RawPeer.upgraded(server.port, "/ws?id=ada&room=den") as peer,
    ):
        before = await counted(control)
        for text in (b"no frame", b'{"event":3}', b'{"event":"said"}'):
            peer.writer.write(masked(1, text))
        await peer.expect("said")
        after = await counted(control)
        assert after.frames_undecodable - before.frames_undecodable == 2
        assert after.frames_in - before.frames_in == 3
        assert after.frames_out - before.frames_out == 1


async def test_upgrades_and_those_that_are_refused_are_counted(server: ServerProcess) -> None:
    async with AsyncControl(server.control) as control:
        before = await counted(control)
        async with await RawPeer.upgraded(server.port, "/ws?id=one"), await RawPeer.upgraded(server.port, "/ws?id=two"):
            for request in (head("/elsewhere"), head("/ws", "Origin: https://evil.example"), b"nonsense\r\n\r\n"):
                async with await RawPeer.dial(server.port) as refused:
                    refused.writer.write(request)
                    assert (await refused.head()).split()[1] in (b"400", b"403", b"404")
            after = await counted(control)
        assert after.upgrades - before.upgrades == 2
        assert after.upgrades_refused - before.upgrades_refused == 3


async def test_totals_do_not_fall_when_workers_are_killed_or_replaced() -> None:
    with serve_process("--app", "relay", workers=2) as server:
        async with AsyncControl(server.control) as control:

            async def say(count: int) -> None:
                """One client more, who hears itself so many times."""
                async with await RawPeer.upgraded(server.port, "/ws?id=ada&room=den") as peer:
                    for _ in range(count):
                        peer.writer.write(masked(1, b'{"event":"said"}'))
                        await peer.expect("said")

            await say(5)
            before = await counted(control)
            assert (before.frames_in, before.frames_out, before.upgrades) == (5, 5, 1)
            for pid in server.worker_pids().values():
                os.kill(pid, signal.SIGKILL)
            await eventually_restarted(control, 2)
            assert (await counted(control)).frames_in == 5
            await say(3)
            await control.reload()
            after = await counted(control)
            assert (after.frames_in, after.frames_out, after.upgrades) == (8, 8, 2), "what nobody looked at counts too"
            assert after.restarts == 2, "a planned one is none"


async def eventually_restarted(control: AsyncControl, restarts: int) -> None:
    async with asyncio.timeout(20):
        while True:
            stats = await control.stats()
            if stats.totals.restarts == restarts and all(worker.state == "ready" for worker in stats.workers):
                return
