"""`Newcomer`: what becomes of a connection before it has its answer, on a socket and a clock that the test has in its hand."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, cast

import pytest

from tests.support.sessions.transport_shell import NotedShard, NotedSocket
from tests.support.wire.raw_peer import head
from wspulse.actors.accept.acceptor import Acceptor
from wspulse.actors.accept.http_app import HttpApplication
from wspulse.actors.accept.newcomer import Newcomer, Visitor
from wspulse.actors.accept.pages import StaticPage
from wspulse.actors.mesh.message import UpgradeRequest
from wspulse.actors.mesh.placement import Placement
from wspulse.actors.transport.refusal import Refusal
from wspulse.actors.transport.transport import Transport
from wspulse.actors.values.health import Health
from wspulse.actors.values.request import Request
from wspulse.actors.wire.peer import Peer

AHEAD_BYTES = 512 * 1024
"""doc/inside/internals.md: what may come ahead of an answer before the socket is no longer read."""


class Door:
    """An acceptor without a listening socket."""

    def __init__(self, connect: Callable[[Request], Any] = lambda _: ("room", "ada"), shards: int = 1, **options: Any):
        self.shard = NotedShard(**options)
        self.handed_over: list[tuple[int, UpgradeRequest]] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.health = Health()
        self.acceptor = Acceptor(
            cast("Any", self.shard),
            Placement(shards),
            path="/ws",
            pages={"/": StaticPage("hello", "text/plain")},
            health=self.health,
            connect=connect,
            hand_over=lambda owner, request, _fd: self.handed_over.append((owner, request)),
            spawn=self._spawn,
        )

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(coroutine)
        self.tasks.append(task)
        return task

    def greet(self, kind: type[Newcomer] = Newcomer) -> tuple[Newcomer, NotedSocket]:
        newcomer = kind(self.acceptor)
        client = NotedSocket()
        client.protocol = newcomer
        newcomer.connection_made(client)
        return newcomer, client

    async def turn(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)


class Patient:
    """A `connect` that waits."""

    def __init__(self) -> None:
        self.gate: asyncio.Future[tuple[str, str]] = asyncio.get_running_loop().create_future()
        self.calls = 0

    def __call__(self, _request: Request) -> Awaitable[tuple[str, str]]:
        self.calls += 1
        return self.gate


def status(client: NotedSocket) -> bytes:
    return client.taken()[9:12]


async def test_what_comes_ahead_of_the_answer_is_kept_within_a_bound_and_handed_on() -> None:
    connect = Patient()
    door = Door(connect, max_message_size=1024 * 1024)
    newcomer, client = door.greet()
    newcomer.data_received(head("/ws"))
    newcomer.data_received(b"x" * AHEAD_BYTES)
    assert client.is_reading()
    newcomer.data_received(b"x")
    assert not client.is_reading()
    connect.gate.set_result(("room", "ada"))
    await door.turn()
    transport = client.protocol
    assert isinstance(transport, Transport)
    assert transport._parser.leftover_bytes == AHEAD_BYTES + 1
    assert not client.is_reading()
    assert not door.acceptor.newcomers


async def test_client_that_was_not_read_is_read_again_when_it_is_refused() -> None:
    door = Door(Patient())
    newcomer, client = door.greet()
    newcomer.data_received(head("/ws"))
    newcomer.data_received(b"x" * (AHEAD_BYTES + 1))
    door.shard.pass_time(10.1)
    assert status(client) == b"503"
    assert client.is_reading()
    await asyncio.wait(door.tasks)


async def test_request_that_is_not_complete_in_time_is_answered_408() -> None:
    door = Door()
    newcomer, client = door.greet()
    newcomer.data_received(b"GET /ws HTTP/1.1\r\n")
    door.shard.pass_time(9.9)
    assert client.taken() == b""
    door.shard.pass_time(0.2)
    assert status(client) == b"408"
    assert door.shard.metrics.upgrades_refused == 1


async def test_pages_and_health_are_no_refusals() -> None:
    door = Door()
    for path in ("/", "/healthz"):
        newcomer, client = door.greet()
        newcomer.data_received(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert status(client) == b"200"
    door.health.fail("a folder is gone")
    for path, answer in (("/", b"200"), ("/healthz", b"503")):
        newcomer, client = door.greet()
        newcomer.data_received(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert status(client) == answer
    probe = Request(b"GET /healthz HTTP/1.1\r\nHost: x", None)
    assert door.acceptor.answer(probe).startswith(b"HTTP/1.1 503 ")
    refused = door.shard.metrics.upgrades_refused
    newcomer, client = door.greet()
    newcomer.data_received(b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n")
    assert status(client) == b"404"
    assert door.shard.metrics.upgrades_refused == refused + 1


async def test_close_answers_complete_requests_at_once_and_others_after_half_a_second() -> None:
    door = Door(Patient())
    waiting, told = door.greet()
    waiting.data_received(head("/ws"))
    slow, late = door.greet()
    slow.data_received(b"GET /ws")
    door.acceptor.close()
    assert status(told) == b"503"
    door.shard.pass_time(0.4)
    assert late.taken() == b""
    door.shard.pass_time(0.2)
    assert status(late) == b"503"
    await asyncio.wait_for(door.acceptor.quiet(), 5)
    await asyncio.wait(door.tasks)


async def test_request_that_is_late_for_a_process_that_leaves_is_let_in() -> None:
    connect = Patient()
    door = Door(connect)
    newcomer, client = door.greet()
    newcomer.data_received(b"GET /ws")
    decided = asyncio.create_task(door.acceptor.decided())
    door.shard.pass_time(1.9)
    await door.turn()
    assert not decided.done()
    newcomer.data_received(head("/ws")[7:])
    door.shard.pass_time(1)
    await door.turn()
    assert not decided.done()
    connect.gate.set_result(("room", "ada"))
    await asyncio.wait_for(decided, 5)
    assert isinstance(client.protocol, Transport)


async def test_process_that_leaves_waits_two_seconds_for_one_that_asks_nothing() -> None:
    door = Door()
    door.greet()
    decided = asyncio.create_task(door.acceptor.decided())
    await door.turn()
    door.shard.pass_time(1.9)
    await door.turn()
    assert not decided.done()
    door.shard.pass_time(0.2)
    await asyncio.wait_for(decided, 5)
    await asyncio.wait_for(Door().acceptor.decided(), 5)


async def test_who_comes_when_the_acceptor_has_closed_is_answered_503() -> None:
    door = Door()
    door.acceptor.close()
    newcomer, client = door.greet()
    newcomer.data_received(head("/ws"))
    assert status(client) == b"503"
    _, silent = door.greet()
    door.shard.pass_time(0.6)
    assert status(silent) == b"503"
    assert not door.acceptor.newcomers


async def test_client_that_has_gone_when_it_is_refused_keeps_no_drain_waiting() -> None:
    door = Door()
    newcomer, client = door.greet()
    client.is_reset = True
    newcomer.data_received(b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n")
    assert isinstance(client.protocol, Refusal)
    assert not door.acceptor.newcomers
    assert door.shard.ending == [client.protocol]


async def test_answer_of_the_application_that_comes_too_late_changes_nothing() -> None:
    connect = Patient()
    door = Door(connect)
    newcomer, client = door.greet()
    newcomer.data_received(head("/ws"))
    door.shard.pass_time(10.1)
    assert status(client) == b"503"
    connect.gate.cancel()
    await asyncio.wait(door.tasks)
    assert isinstance(client.protocol, Refusal)
    assert door.tasks[0].cancelled()


@pytest.mark.parametrize("end", ["gone", "late", "closing"])
async def test_connect_is_not_asked_for_a_client_that_has_its_answer_or_is_gone(end: str) -> None:
    gate: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    asked: list[Request] = []

    async def check_origin(_request: Request) -> bool:
        try:
            await gate
        except asyncio.CancelledError:
            pass  # an application may catch it
        return True

    def connect(request: Request) -> tuple[str, str]:
        asked.append(request)
        return "room", "ada"

    door = Door(connect, check_origin=check_origin)
    newcomer, _ = door.greet()
    newcomer.data_received(head("/ws"))
    await door.turn()
    match end:
        case "gone":
            newcomer.connection_lost(None)
        case "late":
            door.shard.pass_time(10.1)
        case _:
            door.acceptor.close()
    await asyncio.wait(door.tasks)
    assert asked == []


async def test_connect_that_cancels_its_own_task_is_answered_500_at_once() -> None:
    async def connect(_request: Request) -> tuple[str, str]:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)
        return "room", "ada"

    door = Door(connect)
    newcomer, client = door.greet()
    newcomer.data_received(head("/ws"))
    await asyncio.wait(door.tasks)
    assert status(client) == b"500"


async def test_visitor_of_the_http_application_is_no_newcomer_any_more() -> None:
    taken: list[bytes] = []

    class Application:
        paths = frozenset(("/ws", "/healthz", "/"))

        def take(self, _client: asyncio.Transport, data: bytes, _left_s: float, _peer: Peer | None) -> None:
            taken.append(data)

    door = Door()
    door.acceptor.http = cast("HttpApplication", Application())
    visitor, client = door.greet(Visitor)
    visitor.data_received(b"GET /api HT")
    assert taken == []
    visitor.data_received(b"TP/1.1\r\n")
    assert taken == [b"GET /api HTTP/1.1\r\n"]
    assert not door.acceptor.newcomers
    door.shard.pass_time(30)
    door.acceptor.close()
    door.shard.pass_time(30)
    assert client.taken() == b""
