"""Clients that send their request and end their side of the stream: they still read, and get their answer (contract §2)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import uvloop

from tests.actors.accept.test_newcomer import Door, Patient
from tests.support.eventually import eventually
from tests.support.shards.shards import serve_shards
from tests.support.wire.raw_peer import RawPeer, head
from wspulse import ConnectRejected, Request, Server
from wspulse.actors.accept.pages import StaticPage

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "uvloop": uvloop.new_event_loop,
    "asyncio": asyncio.new_event_loop,
}

BIG_PAGE = "x" * 3_000_000
"""More than the kernel takes at once."""


class Host:
    """A server whose `connect` says at once, later, or no."""

    def __init__(self) -> None:
        self.server = Server(self.connect)

    def connect(self, request: Request) -> Any:
        match request.query["how"]:
            case "no":
                raise ConnectRejected("no")
            case "later":
                return self.later()
            case _:
                return "room", request.query.get("id", "")

    async def later(self) -> tuple[str, str]:
        await asyncio.sleep(0.05)
        return "room", ""


REQUESTS = {
    "health": (b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", b"200"),
    "a page": (b"GET /page HTTP/1.1\r\nHost: x\r\n\r\n", b"200"),
    "no page": (b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n", b"404"),
    "a head that is too long": (head("/ws", "X: " + "x" * 17_000), b"431"),
    "who is refused": (head("/ws?how=no"), b"401"),
    "an upgrade": (head("/ws?how=yes"), b"101"),
    "an upgrade that is decided later": (head("/ws?how=later"), b"101"),
}


async def asked(port: int, request: bytes) -> bytes:
    async with await RawPeer.dial(port) as peer:
        peer.writer.write(request)
        peer.writer.write_eof()
        return await peer.rest()


@pytest.mark.parametrize("what", REQUESTS)
@pytest.mark.parametrize("loop", LOOPS)
def test_client_that_ends_its_side_behind_its_request_gets_the_answer(loop: str, what: str) -> None:
    request, status = REQUESTS[what]

    async def run() -> bytes:
        server = Host().server
        async with server.serve() as running:
            server._in_process.running()._acceptor.pages = {"/page": StaticPage(BIG_PAGE, "text/plain")}
            return await asked(running.port, request)

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        answer = runner.run(run())
    assert answer[9:12] == status, answer[:200]
    if what == "a page":
        assert len(answer.partition(b"\r\n\r\n")[2]) == len(BIG_PAGE)


async def test_client_that_ends_its_side_is_answered_by_the_shard_that_owns_its_id() -> None:
    async with serve_shards(lambda: Host().server, 2) as shards:
        for number in range(10):
            answer = await asked(shards.port, head(f"/ws?how=yes&id=m{number}"))
            assert answer.startswith(b"HTTP/1.1 101 "), answer[:200]
        assert sum(runtime.shard.metrics.handovers_in for runtime in shards.runtimes) > 0


async def test_client_that_ends_its_side_inside_its_request_is_let_go_at_once() -> None:
    server = Host().server
    async with server.serve() as running:
        newcomers = server._in_process.running()._acceptor.newcomers
        assert await asked(running.port, head("/ws?how=yes")[:-2]) == b""
        await eventually(lambda: not newcomers, "the newcomer is gone")


async def test_client_that_ends_its_side_and_goes_holds_up_no_drain() -> None:
    """The refusal hears that the client has nothing to say and ends at once, instead of waiting for that a second."""
    connect = Patient()
    server = Server(connect)
    async with server.serve() as running:
        runtime = server._in_process.running()
        peer = await RawPeer.dial(running.port)
        peer.writer.write(head("/ws"))
        peer.writer.write_eof()
        await eventually(lambda: connect.calls, "connect is asked")
        await peer.close()
        newcomer = next(iter(runtime._acceptor.newcomers))
        await eventually(lambda: newcomer._has_said_all, "the newcomer knows")
        async with asyncio.timeout(0.5):
            await runtime.drain()


async def test_client_whose_end_came_before_its_answer_is_read_on_by_who_has_it_next() -> None:
    for answer in (("room", "ada"), None):
        connect = Patient()
        door = Door(connect)
        newcomer, client = door.greet()
        newcomer.data_received(head("/ws"))
        assert newcomer.eof_received()
        client.reading = False
        if answer is not None:
            connect.gate.set_result(answer)
            await door.turn()
        else:
            door.shard.pass_time(10.1)
            await asyncio.wait(door.tasks)
        assert client.protocol is not newcomer
        assert client.is_reading()
