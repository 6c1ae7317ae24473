"""What `metrics` tells, held against a load that clients have counted: to the frame and the byte, at one worker and at four."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from tests.support.contract.exact_client import ExactClient
from tests.support.processes.server_process import ServerProcess, serve_process
from tests.support.wire.raw_peer import RawPeer, head, masked
from wspulse import AsyncControl, Frame
from wspulse.supervisor.protocol.types import MeasurementInfo

CLIENTS = 8
ECHOES = 5
BROADCASTS = 7
BUFFER_FRAMES = 4

APP = f"""
from wspulse import ConnectRejected, EventRouter, Server

router = EventRouter()
server = Server(
    resume_window=60, suspend_on_clean_close=False, send_buffer_size={BUFFER_FRAMES}, ping_period=300, pong_wait=600
)
server.on_message(router)

@server.connect
def connect(request):
    if "token" in request.query:
        raise ConnectRejected("no")
    return request.query["room"], request.query["id"]

@router.on("echo")
def echo(context):
    context.connection.send_nowait(context.frame)

@router.on("tell")
async def tell(context):
    await server.broadcast(context.connection.room_id, context.frame)

@router.on("fail")
def fail(context):
    raise LookupError
"""

Counts = Counter[tuple[str, ...]]
"""By the name, and the values of the labels but `shard`."""


@contextmanager
def serve(folder: Path, workers: int) -> Iterator[ServerProcess]:
    (folder / "app.py").write_text(APP)
    with serve_process("--app", "app:server", workers=workers, cwd=folder) as server:
        yield server


@pytest.fixture(scope="module", params=[1, 4])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with serve(tmp_path_factory.mktemp("app"), request.param) as server:
        yield server


def samples_of(told: list[MeasurementInfo], name: str) -> Counts:
    (found,) = [each for each in told if each.name == name]
    result = Counts()
    for sample in found.samples:
        labels = [value for label, value in sample.labels.items() if label != "shard"]
        result[name.removeprefix("wspulse_"), *labels] += int(
            sample.value if sample.value is not None else sample.count or 0
        )
    return result


async def counted(control: AsyncControl) -> Counts:
    """What all workers have counted and measured, of what is not the server's own business."""
    told = await control.metrics()
    found = Counts()
    for each in told:
        if each.kind != "gauge" and not each.name.startswith(INSIDE):
            found += samples_of(told, each.name)
    return found


INSIDE = ("wspulse_bus_", "wspulse_handovers_", "wspulse_loop_")
"""What clients cannot know."""


async def until_counted(control: AsyncControl, expected: Counts) -> None:
    """Wait until the server has seen what clients have done, and no more than that."""
    try:
        async with asyncio.timeout(10):
            while await counted(control) != +expected:
                pass
    except TimeoutError:
        assert await counted(control) == +expected


class Crowd:
    """Clients, and what the server is to count for what they do."""

    def __init__(self, server: ServerProcess, expected: Counts) -> None:
        self.server = server
        self.expected = expected
        self.peers: dict[str, RawPeer] = {}

    def add(self, name: str, label: str = "", count: int = 1) -> None:
        self.expected[name, *([label] if label else [])] += count

    async def come(self, connection_id: str, room: str = "den") -> RawPeer:
        peer = await RawPeer.upgraded(self.server.port, f"/ws?room={room}&id={connection_id}")
        self.peers[connection_id] = peer
        self.add("upgrades_total", "accepted")
        return peer

    async def send(self, connection_id: str, event: str, payload: object = None) -> None:
        wire = masked(1, json.dumps({"event": event, "payload": payload}).encode())
        self.peers[connection_id].writer.write(wire)
        self.add("frames_received_total")
        self.add("bytes_received_total", count=len(wire))

    async def hear(self, connection_id: str, event: str) -> object:
        opcode, payload = await self.peers[connection_id].frame()
        assert opcode == 1
        frame = json.loads(payload)
        assert frame["event"] == event
        self.add("frames_sent_total")
        self.add("bytes_sent_total", count=2 + len(payload))
        return frame.get("payload")

    async def is_closed(self, connection_id: str, code: int, reason: str) -> None:
        peer = self.peers.pop(connection_id)
        assert await peer.close_code() == (code, reason)
        self.add("bytes_sent_total", count=4 + len(reason))
        await peer.close()

    async def refused(self, request: bytes, status: str) -> None:
        async with await RawPeer.dial(self.server.port) as peer:
            peer.writer.write(request)
            assert (await peer.head()).split()[1] == status.encode()
        self.add("upgrades_total", status)

    async def leave(self, connection_id: str) -> None:
        """Say goodbye."""
        wire = masked(8, b"\x03\xe8")
        self.peers[connection_id].writer.write(wire)
        self.add("bytes_received_total", count=len(wire))
        await self.is_closed(connection_id, 1000, "")
        self.add("disconnects_total", "peer_closed")


@asynccontextmanager
async def crowd_of(server: ServerProcess) -> AsyncIterator[tuple[AsyncControl, Crowd]]:
    """All have gone when it ends."""
    assert server.control is not None
    async with AsyncControl(server.control) as control, AsyncExitStack() as stack:
        crowd = Crowd(server, await counted(control))
        yield control, crowd
        for connection_id, peer in crowd.peers.items():
            await control.kick(connection_id)
            stack.push_async_callback(peer.close)


async def test_frames_and_bytes_and_broadcasts_agree_with_what_clients_sent_and_got(server: ServerProcess) -> None:
    async with crowd_of(server) as (control, crowd):
        ids = [f"m{number}" for number in range(CLIENTS)]
        for each in ids:
            await crowd.come(each)
        for number in range(ECHOES):
            for each in ids:
                await crowd.send(each, "echo", number)
            for each in ids:
                assert await crowd.hear(each, "echo") == number
        for number in range(BROADCASTS):
            await crowd.send(ids[0], "tell", number)
            crowd.add("broadcasts_total")
            for each in ids:
                assert await crowd.hear(each, "tell") == number
        crowd.peers["m0"].writer.write(wire := masked(1, b"no frame"))
        crowd.add("frames_received_total")
        crowd.add("bytes_received_total", count=len(wire))
        crowd.add("frames_dropped_total", "undecodable")
        await until_counted(control, crowd.expected)
        assert samples_of(await control.metrics(), "wspulse_sessions")["sessions", "connected"] == CLIENTS


async def test_refusals_agree_by_their_status_and_ends_by_their_reason(server: ServerProcess) -> None:
    async with crowd_of(server) as (control, crowd):
        for request, status in (
            (head("/elsewhere"), "404"),
            (head("/ws?room=den&id=x&token=1"), "401"),
            (head("/ws?room=den&id=y&token=1"), "401"),
            (b"nonsense\r\n\r\n", "400"),
            (b"GET /ws HTTP/1.1\r\nHost: x\r\n\r\n", "426"),
            (head("/ws?room=den"), "500"),
        ):
            await crowd.refused(request, status)
        for each in ("kicked", "leaves", "twice", "fails"):
            await crowd.come(each)
        await control.kick("kicked")
        await crowd.is_closed("kicked", 1000, "kicked")
        crowd.add("disconnects_total", "kicked")
        await crowd.leave("leaves")
        crowd.peers["first"] = crowd.peers["twice"]
        await crowd.come("twice")
        await crowd.is_closed("first", 1000, "duplicate connection id")
        crowd.add("disconnects_total", "duplicate")
        await crowd.send("fails", "fail")
        await crowd.is_closed("fails", 1011, "internal error")
        crowd.add("callbacks_raised_total")
        await control.kick("fails")  # it waits for its client
        crowd.add("disconnects_total", "kicked")
        await until_counted(control, crowd.expected)


async def suspended(control: AsyncControl) -> None:
    async with asyncio.timeout(10):
        while samples_of(await control.metrics(), "wspulse_sessions")["sessions", "suspended"] != 1:
            pass


async def test_frames_that_a_full_buffer_drops_and_clients_that_come_back_agree(server: ServerProcess) -> None:
    async with crowd_of(server) as (control, crowd):
        await crowd.come("ada", "attic")
        crowd.peers.pop("ada").reset()
        await suspended(control)
        for number in range(BUFFER_FRAMES + 6):
            await control.broadcast("attic", Frame("told", number))
            crowd.add("broadcasts_total")
        crowd.add("frames_dropped_total", "buffer_full", 6)
        await until_counted(control, crowd.expected)
        await crowd.come("ada", "attic")
        crowd.add("resumes_total", "resumed")
        assert [await crowd.hear("ada", "told") for _ in range(BUFFER_FRAMES)] == [6, 7, 8, 9]
        await until_counted(control, crowd.expected)


async def test_exact_client_whose_session_is_over_counts_as_unknown(server: ServerProcess) -> None:
    assert server.control is not None
    async with AsyncControl(server.control) as control:
        before = (await counted(control))["resumes_total", "unknown"]
        async with ExactClient(f"{server.url}?room=den&id=eve") as client:
            await control.kick("eve")
            await client.closed()
            await client.dial()
            assert (await counted(control))["resumes_total", "unknown"] == before + 1
            await control.kick("eve")


@pytest.mark.parametrize("workers", [1, 2])
async def test_nothing_falls_or_counts_twice_when_sessions_move_by_a_reload_or_die_with_their_workers(
    workers: int, tmp_path: Path
) -> None:
    """What a worker that is killed has counted since it was last heard dies with it; these were asked just before."""
    with serve(tmp_path, workers) as server:
        async with crowd_of(server) as (control, crowd):
            ids = [f"m{number}" for number in range(CLIENTS)]

            async def all_say() -> None:
                for each in ids:
                    await crowd.send(each, "echo")
                    await crowd.hear(each, "echo")
                await until_counted(control, crowd.expected)

            for each in ids:
                await crowd.come(each)
            await all_say()
            assert sum(each.moved for each in await control.reload()) == CLIENTS
            crowd.add("moves_total", "moved", CLIENTS)
            crowd.add("move_seconds", count=CLIENTS)
            await all_say()
            assert samples_of(await control.metrics(), "wspulse_sessions")["sessions", "connected"] == CLIENTS
            for pid in server.worker_pids().values():
                os.kill(pid, signal.SIGKILL)
            crowd.add("worker_restarts_total", "crash", workers)
            for each in ids:
                peer = crowd.peers.pop(each)
                assert await peer.rest() == b""
                await peer.close()
            async with asyncio.timeout(20):
                while [worker.state for worker in (await control.stats()).workers] != ["ready"] * workers:
                    pass
            await until_counted(control, crowd.expected)
            for each in ids:
                await crowd.come(each)
            await all_say()
