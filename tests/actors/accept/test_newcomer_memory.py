"""What is left of a newcomer that has its answer or is gone: its deadline holds it, and nothing that the client sent."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import sys
import tracemalloc
from types import FunctionType, ModuleType
from typing import Any, cast

import pytest

from tests.actors.accept.test_newcomer import Door, Patient
from tests.support.eventually import eventually
from tests.support.sessions.transport_shell import NotedSocket
from tests.support.wire.raw_peer import RawPeer, head
from wspulse import ConnectRejected, Request, Server
from wspulse.actors.accept.http_app import HttpApplication
from wspulse.actors.accept.newcomer import Newcomer, Visitor
from wspulse.actors.mesh.message import UpgradeRequest
from wspulse.actors.transport.refusal import Refusal
from wspulse.actors.wire.peer import Peer

BIG = b"x" * 100_000
LINE = "X-Big: " + "y" * 12_000

EMPTY_BYTES = 1000
"""An object with its empty fields."""


def held_bytes(root: object, *besides: object) -> int:
    """The size of all texts and bytes that can be reached from `root`, but not through `besides`."""
    seen = {id(each) for each in besides}
    pending, size = [root], 0
    while pending:
        found = pending.pop()
        if id(found) in seen or isinstance(found, type | ModuleType | FunctionType):
            continue
        seen.add(id(found))
        if isinstance(found, bytes | bytearray | str):
            size += sys.getsizeof(found)
        pending += gc.get_referents(found)
    return size


def left_of(newcomer: Newcomer, door: Door) -> int:
    return held_bytes(newcomer, door, door.shard, door.acceptor)


async def test_newcomer_that_is_gone_holds_nothing_of_its_request() -> None:
    door = Door(Patient())
    unfinished, _ = door.greet()
    unfinished.data_received(head("/ws", LINE)[:-2])
    waiting, _ = door.greet()
    waiting.data_received(head("/ws", LINE) + BIG)
    waiting.data_received(BIG)
    assert left_of(unfinished, door) > 12_000
    assert left_of(waiting, door) > 200_000
    for newcomer in (unfinished, waiting):
        newcomer.connection_lost(None)
    await asyncio.wait(door.tasks)
    door.tasks.clear()
    assert left_of(unfinished, door) < EMPTY_BYTES
    assert left_of(waiting, door) < EMPTY_BYTES
    door.shard.pass_time(11)


@pytest.mark.parametrize("answer", ["accepted", "handed over", "rejected", "late", "malformed", "drained"])
async def test_newcomer_that_has_its_answer_holds_nothing_of_its_request(answer: str) -> None:
    def connect(_request: Request) -> tuple[str, str]:
        if answer == "rejected":
            raise ConnectRejected("no")
        return "room", "ada"

    handed_over: list[int] = []

    def take(owner: int, _request: UpgradeRequest, fd: int) -> None:
        handed_over.append(owner)
        os.close(fd)

    door = Door(Patient() if answer in ("late", "drained") else connect)
    if answer == "handed over":
        door.acceptor.placement = Elsewhere()  # type: ignore[assignment]
        door.acceptor.hand_over = take
    newcomer, client = door.greet()
    if answer == "handed over":
        client.get_extra_info = lambda name, default=None: Descriptor() if name == "socket" else default  # type: ignore[method-assign]
    request = head("/ws", LINE, "malformed" if answer == "malformed" else "Well: formed")
    newcomer.data_received(request + BIG)
    if answer == "late":
        door.shard.pass_time(10.1)
    elif answer == "drained":
        door.acceptor.close()
    if door.tasks:
        await asyncio.wait(door.tasks)
        door.tasks.clear()
    assert client.written or door.shard.admission.admitted or handed_over
    assert left_of(newcomer, door) < EMPTY_BYTES


class Elsewhere:
    """Every id is another shard's."""

    def final_owner(self, _connection_id: str) -> int:
        return 1


class Descriptor:
    family = socket.AF_INET

    def fileno(self) -> int:
        return 2


async def test_visitor_of_the_http_application_holds_nothing_of_its_request() -> None:
    class Application:
        paths = frozenset(("/ws",))

        def take(self, _client: asyncio.Transport, _data: bytes, _left_s: float, _peer: Peer | None) -> None: ...

    door = Door()
    door.acceptor.http = cast("HttpApplication", Application())
    taken, _ = door.greet(Visitor)
    taken.data_received(b"GET /" + BIG[:8000])
    taken.data_received(b" HTTP/1.1\r\n")
    gone, _ = door.greet(Visitor)
    gone.data_received(b"GET /" + BIG[:8000])
    gone.connection_lost(None)
    for visitor in (taken, gone):
        assert left_of(visitor, door) < EMPTY_BYTES


async def test_refusal_holds_its_answer_no_longer_than_its_socket_does() -> None:
    door = Door()
    for is_gone in (False, True):
        client: Any = NotedSocket()
        client.closing = is_gone
        refusal = Refusal(door.shard, BIG, door.shard.now + 10)
        refusal.take(client)
        assert held_bytes(refusal, door, door.shard, client) < EMPTY_BYTES
        refusal.connection_lost(None)
        assert held_bytes(refusal, door, door.shard) < EMPTY_BYTES


async def test_clients_that_came_and_went_leave_no_memory_until_their_deadlines() -> None:
    """Half of them in the middle of their heads, half while the application is asked."""

    async def connect(_request: Request) -> tuple[str, str]:
        await asyncio.Event().wait()
        return "room", ""

    requests = [head("/ws", LINE)[:-2], head("/ws", LINE) + BIG] * 100
    server = Server(connect, handshake_timeout=30)
    async with server.serve() as running:
        runtime = server._in_process.running()
        newcomers = runtime._acceptor.newcomers
        peers = [await RawPeer.dial(running.port) for _ in requests]
        await eventually(lambda: len(newcomers) == len(requests), "all have come")
        tracemalloc.start()
        try:
            for peer, request in zip(peers, requests, strict=True):
                peer.writer.write(request)
            await eventually(lambda: tracemalloc.get_traced_memory()[0] > 12_000_000, "all was read")
            for peer in peers:
                peer.reset()
            await eventually(lambda: not newcomers, "all have gone")
            await eventually(lambda: not runtime._tasks._tasks, "the application is asked no more")
            peers.clear()
            gc.collect()
            held_bytes_in_all, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert held_bytes_in_all < 1_000_000
