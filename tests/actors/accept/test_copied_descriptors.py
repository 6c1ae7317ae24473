"""Clients whose descriptors another process has too, as a child has that a library forked: they see the end all the same."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from typing import Any, cast

import pytest

from tests.actors.accept.test_half_close import LOOPS
from tests.support.sessions.transport_shell import NotedShard
from tests.support.wire.raw_peer import RawPeer
from wspulse import Server
from wspulse.actors.accept.handover import Handovers
from wspulse.actors.accept.newcomer import Newcomer
from wspulse.actors.mesh.message import UpgradeRequest
from wspulse.actors.mesh.placement import Placement
from wspulse.actors.mesh.placing.former_slots import FormerSlots
from wspulse.actors.transport.refusal import Refusal

GET = b"GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


async def application(scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


class Copies:
    """A copy of every socket that a loop accepts, as a child of a fork would have."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, kind: type[asyncio.Protocol]) -> None:
        self.fds: list[int] = []
        made = kind.connection_made

        def connection_made(protocol: asyncio.Protocol, transport: asyncio.BaseTransport) -> None:
            self.fds.append(os.dup(transport.get_extra_info("socket").fileno()))
            made(protocol, transport)

        monkeypatch.setattr(kind, "connection_made", connection_made)

    def close(self) -> None:
        for fd in self.fds:
            os.close(fd)


@pytest.mark.parametrize("http", [None, application], ids=["", "http"])
@pytest.mark.parametrize("what", ["complete", "unfinished"])
@pytest.mark.parametrize("loop", LOOPS)
def test_client_sees_the_end_though_its_descriptor_has_a_copy(
    loop: str, what: str, http: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies = Copies(monkeypatch, Newcomer)

    async def run() -> bytes:
        server = Server(lambda _request: ("room", ""), http_app=http)
        async with server.serve() as running, await RawPeer.dial(running.port) as peer:
            peer.writer.write(b"GET /ws HTTP/1.1\r\n" if what == "unfinished" else GET)
            if what == "unfinished":
                peer.writer.write_eof()
            return await peer.rest()

    try:
        with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
            answer = runner.run(asyncio.wait_for(run(), 5))
    finally:
        copies.close()
    assert len(copies.fds) == 1
    assert answer[9:12] == (b"" if what == "unfinished" else b"404" if http is None else b"200")


@pytest.mark.parametrize("loop", LOOPS)
def test_client_that_does_not_read_its_refusal_sees_the_end_when_it_is_given_up(loop: str) -> None:
    async def run() -> None:
        ours, theirs = socket.socketpair()
        copy = ours.dup()
        shard = NotedShard()
        refusal = Refusal(shard, b"x" * 10_000_000, shard.now)
        ours.setblocking(False)
        await asyncio.get_running_loop().connect_accepted_socket(lambda: refusal, ours)
        theirs.settimeout(5)
        shard.pass_time(2)
        await asyncio.sleep(0)
        while await asyncio.to_thread(theirs.recv, 1_000_000):
            pass
        copy.close()
        theirs.close()

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(run())


def test_client_of_a_handover_that_nobody_took_sees_the_end_when_the_worker_ends() -> None:
    ours, theirs = socket.socketpair()
    copy = ours.dup()
    theirs.settimeout(5)
    upgrade = UpgradeRequest("room", "ada", None, b"GET /ws HTTP/1.1", b"", None, 0.0, None)
    shard = NotedShard()
    shard.aborting = True
    handovers = Handovers(cast("Any", shard), Placement(1), FormerSlots(Placement(1), 0), {})
    handovers._nobody_took_it(upgrade, ours.detach())
    assert theirs.recv(1000).startswith(b"HTTP/1.1 503 ")
    assert theirs.recv(1000) == b""
    copy.close()
    theirs.close()
