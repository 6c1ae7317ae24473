"""The bounds that the design puts on the cost of a message, counted instead of timed: writes, bus messages, calls, tasks and
timers. What each costs in microseconds is measured by bench/."""

from __future__ import annotations

import asyncio
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes.server_process import serve_process, wait_until
from tests.support.shards.shards import serve_shards
from tests.support.wire.frame_streams import client_frame
from tests.support.wire.raw_peer import RawPeer
from wspulse import Connection, Frame, Request, Server
from wspulse.actors.bus.local import LocalBus
from wspulse.actors.sessions.handlers import Handlers
from wspulse.actors.sessions.shard import Shard
from wspulse.actors.transport.transport import Transport
from wspulse.actors.transport.upgrade import Upgrade
from wspulse.actors.wire.frames import TEXT

MESSAGE = client_frame(TEXT, b'{"event":"said","payload":"hello"}')


class Wire(asyncio.Transport):
    """A socket that takes everything and counts. Its `write` is no Python function, as that of a real one."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[Any] = []
        self.write = self.writes.append  # type: ignore[assignment, method-assign]

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high == 0

    def is_closing(self) -> bool:
        return False


class CountingLoop:
    """Of a loop, what a shard asks it for; it counts."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._soon: list[Callable[[], object]] = []

    def call_soon(self, call: Callable[..., object], *arguments: Any, context: Any = None) -> None:
        self.counts["call_soon"] += 1
        self._soon.append(lambda: call(*arguments))

    def call_later(self, _delay_s: float, _call: Callable[[], object], context: Any = None) -> asyncio.TimerHandle:
        self.counts["timers"] += 1
        return asyncio.TimerHandle(0.0, _call, [], asyncio.get_running_loop())

    def create_task(self, coroutine: Any) -> Any:
        self.counts["tasks"] += 1
        return asyncio.get_running_loop().create_task(coroutine)

    def turn(self) -> None:
        """End the loop's turn: run what was put off to its end."""
        soon, self._soon = self._soon, []
        for call in soon:
            call()


class Scene:
    """One shard with members whose sockets count, all in the room "tea"."""

    def __init__(self, members: int, on_message: Callable[..., Any] | None = None) -> None:
        self.loop = CountingLoop()
        options = Server(lambda _request: ("tea", "")).options
        self.shard = Shard(
            index=0,
            incarnation=1,
            options=options,
            handlers=Handlers(on_message=on_message),
            loop=self.loop,  # type: ignore[arg-type]
            real_time=time.monotonic,
        )
        self.shard.bus = LocalBus(self.shard.deliver, self.shard.deliver_but)
        self.transports: list[Transport] = []
        self.wires: list[Wire] = []
        for number in range(members):
            self._join(f"m{number}")

    def _join(self, connection_id: str) -> None:
        request = Request(b"GET /ws HTTP/1.1", None)
        upgrade = Upgrade("tea", connection_id, None, request, b"101", time.monotonic() + 10)
        transport, wire = Transport(self.shard, upgrade), Wire()
        transport.connection_made(wire)
        assert wire.writes == [b"101"]
        wire.writes.clear()
        self.transports.append(transport)
        self.wires.append(wire)

    def broadcast(self, frames: int) -> None:
        for number in range(frames):
            assert self.shard.bus.publish("tea", self.shard.encode(Frame("said", number)))

    def calls(self, action: Callable[[], object]) -> Counter[str]:
        """What `action` calls: functions of Python ("call") and of C ("c_call")."""
        counts: Counter[str] = Counter()

        def count(_frame: Any, event: str, _argument: Any) -> None:
            counts[event] += 1

        before = sys.getprofile()
        sys.setprofile(count)
        try:
            action()
        finally:
            sys.setprofile(before)
        return counts


async def test_broadcasts_of_one_turn_are_one_write_per_member() -> None:
    scene = Scene(50)
    scene.broadcast(10)
    assert all(wire.writes == [] for wire in scene.wires)
    scene.loop.turn()
    assert {len(wire.writes) for wire in scene.wires} == {1}
    # All members share the same bytes.
    assert len({id(wire.writes[0]) for wire in scene.wires}) == 1
    assert scene.loop.counts["call_soon"] == 1


async def test_delivery_costs_one_call_of_c_and_none_of_python() -> None:
    counts = {}
    for members in (10, 1010):
        scene = Scene(members)
        scene.broadcast(1)
        scene.loop.turn()
        scene.broadcast(1)
        counts[members] = scene.calls(scene.loop.turn)
    assert counts[1010]["call"] == counts[10]["call"]
    assert counts[1010]["c_call"] - counts[10]["c_call"] == 1000


async def test_answers_to_one_read_are_one_write() -> None:
    scene = Scene(1, lambda connection, frame: connection.send_nowait(frame))
    scene.transports[0].data_received(MESSAGE * 5)
    assert len(scene.wires[0].writes) == 1
    assert scene.wires[0].writes[0].count(b"hello") == 5
    assert scene.loop.counts["call_soon"] == 0
    assert scene.loop.counts["tasks"] == 0


async def test_sends_of_one_turn_are_one_write() -> None:
    scene = Scene(3)
    for session in scene.shard.sessions.values():
        for number in range(5):
            await session.connection.send(Frame("said", number))
    scene.loop.turn()
    assert {len(wire.writes) for wire in scene.wires} == {1}
    assert scene.loop.counts["call_soon"] == 1


async def test_message_and_its_answer_pass_through_few_functions() -> None:
    def echo(connection: Connection, frame: Frame) -> None:
        connection.send_nowait(frame)

    scene = Scene(1, echo)
    counts = scene.calls(lambda: scene.transports[0].data_received(MESSAGE))
    # The test's lambda; data_received, take, receive; the handler; send_nowait, encode_wire, send; flush.
    assert counts["call"] <= 9


async def test_idle_connections_have_no_task_and_no_timer_of_their_own() -> None:
    scene = Scene(1)
    before = scene.loop.counts.copy()
    tasks = len(asyncio.all_tasks())
    for number in range(200):
        scene._join(f"idle {number}")
    scene.loop.turn()
    counts = scene.loop.counts - before
    assert counts["tasks"] == 0
    assert len(asyncio.all_tasks()) == tasks
    # Their deadlines fall into shared buckets; the ticker is set anew only when one becomes the earliest.
    assert counts["timers"] <= 1


async def test_broadcasts_of_one_turn_are_one_bus_message_per_room() -> None:
    def make() -> Server:
        return Server(lambda request: (request.query["room"], request.query["id"]))

    async with serve_shards(make, 2) as shards:
        peers = [await RawPeer.upgraded(shards.port, f"/ws?room={'ab'[n % 2]}&id=m{n}") for n in range(6)]
        metrics = shards.runtimes[0].shard.metrics
        before = metrics.bus_messages_out
        for number in range(20):
            shards.servers[0].broadcast_nowait("ab"[number % 2], Frame("said", number))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert metrics.bus_messages_out - before == 2
        for peer in peers:
            await peer.close()


def _may_trace() -> bool:
    strace = shutil.which("strace")
    return (
        strace is not None and subprocess.run([strace, "-qq", "-o", "/dev/null", "true"], check=False).returncode == 0
    )


@pytest.mark.skipif(not _may_trace(), reason="strace is not here, or may not trace")
async def test_process_makes_one_write_per_member_for_a_read_of_eight_broadcasts(tmp_path: Path) -> None:
    members, log = 10, tmp_path / "strace"
    with serve_process("--app", "relay", workers=1) as server:
        peers = [await RawPeer.upgraded(server.port, f"/ws?id=m{number}") for number in range(members)]
        with _traced(server.worker_pids()[0], log):
            peers[0].writer.write(MESSAGE * 8)
            for peer in peers:
                for _ in range(8):
                    assert await peer.expect("said") == "hello"
        for peer in peers:
            await peer.close()
    writes = re.findall(r'(?:write|writev|sendto|sendmsg)\(\d+, [^"]*"\\201', log.read_text())
    assert len(writes) == members


@contextmanager
def _traced(pid: int, log: Path) -> Iterator[None]:
    """While the block runs, what the process writes is noted in `log`."""
    command = ["strace", "-f", "-e", "trace=write,writev,sendto,sendmsg", "-o", str(log), "-p", str(pid)]
    status = Path(f"/proc/{pid}/status")
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as tracer:
        try:
            wait_until(lambda: "TracerPid:\t0\n" not in status.read_text(), 10, "the worker is traced")
            yield
        finally:
            tracer.send_signal(signal.SIGINT)
            tracer.wait(10)
