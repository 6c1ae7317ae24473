"""What becomes of `check_origin`'s answer, on a socket of our own and under an ASGI server (contract §2)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest

from tests.support.eventually import eventually
from tests.support.http.asgi_peer import AsgiPeer
from tests.support.wire.raw_peer import RawPeer, head
from wspulse import Connection, ConnectRejected, Request, Server, allow_origins

CheckOrigin = Callable[[Request], Any]


class Answer(NamedTuple):
    status: int
    body: bytes = b""


Dial = Callable[[str], Awaitable[Answer]]


class Noted:
    """A server with this check, and who came past it."""

    def __init__(self, check_origin: CheckOrigin, **options: Any) -> None:
        self.connects = 0
        self.sessions: list[str] = []
        self.server = Server(self._connect, check_origin=check_origin, **options)
        self.server.on_connect(self._on_connect)

    def _connect(self, _request: Request) -> tuple[str, str]:
        self.connects += 1
        return "room", "ada"

    def _on_connect(self, connection: Connection) -> None:
        self.sessions.append(connection.id)


@asynccontextmanager
async def on_a_socket(server: Server) -> AsyncIterator[Dial]:
    async with server.serve() as running:

        async def dial(origin: str) -> Answer:
            async with await RawPeer.dial(running.port) as peer:
                peer.writer.write(head("/ws", f"Origin: {origin}"))
                answer = await peer.head()
                status = int(answer.split()[1])
                return Answer(status, b"" if status == 101 else await peer.rest())

        yield dial


@asynccontextmanager
async def under_asgi(server: Server) -> AsyncIterator[Dial]:
    async with server.asgi_lifespan():

        async def dial(origin: str) -> Answer:
            peer = AsgiPeer(server.asgi())
            peer.scope["headers"].append((b"origin", origin.encode()))
            async with peer:
                first = (await peer.gets(1))[0]
                if first["type"] == "websocket.accept":
                    return Answer(101)
                return Answer(first["status"], (await peer.gets(2))[1]["body"])

        yield dial


Way = Callable[[Server], Any]


@pytest.fixture(params=[on_a_socket, under_asgi])
def way(request: pytest.FixtureRequest) -> Way:
    way: Way = request.param
    return way


async def yes(_request: Request) -> bool:
    await asyncio.sleep(0)
    return True


async def no(_request: Request) -> bool:
    await asyncio.sleep(0)
    return False


@pytest.mark.parametrize("check_origin", [lambda _request: False, lambda _request: None, no])
async def test_origin_that_is_not_allowed_is_refused_with_403_before_connect_is_asked(
    way: Way, check_origin: CheckOrigin
) -> None:
    noted = Noted(check_origin)
    async with way(noted.server) as dial:
        assert await dial("https://evil.example") == (403, b"origin not allowed")
    assert (noted.connects, noted.sessions) == (0, [])


@pytest.mark.parametrize("check_origin", [lambda _request: True, lambda _request: "yes", yes])
async def test_origin_that_is_allowed_comes_in(way: Way, check_origin: CheckOrigin) -> None:
    noted = Noted(check_origin)
    async with way(noted.server) as dial:
        assert (await dial("https://good.example")).status == 101
    assert (noted.connects, noted.sessions) == (1, ["ada"])


async def test_listed_origins_come_in_and_others_do_not(way: Way) -> None:
    noted = Noted(allow_origins(["https://good.example"]))
    async with way(noted.server) as dial:
        assert [(await dial(origin)).status for origin in ("https://GOOD.example:443", "https://evil.example")] == [
            101,
            403,
        ]
    assert noted.connects == 1


def raises(error: BaseException, *, is_async: bool) -> CheckOrigin:
    def check(_request: Request) -> bool:
        raise error

    async def check_later(_request: Request) -> bool:
        await asyncio.sleep(0)
        raise error

    return check_later if is_async else check


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
async def test_check_that_rejects_says_with_what_and_why(way: Way, is_async: bool) -> None:
    noted = Noted(raises(ConnectRejected("not from there", 451), is_async=is_async))
    async with way(noted.server) as dial:
        assert await dial("https://evil.example") == (451, b"not from there")
    assert noted.connects == 0


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("error", [LookupError("a secret"), SystemExit(3)])
async def test_check_that_fails_is_answered_with_500_and_told_to_the_log_alone(
    way: Way, error: BaseException, is_async: bool, caplog: pytest.LogCaptureFixture
) -> None:
    noted = Noted(raises(error, is_async=is_async), logger=logging.getLogger("wspulse.test"))
    async with way(noted.server) as dial:
        assert await dial("https://evil.example") == (500, b"internal server error")
        assert (await dial("https://evil.example")).status == 500, "the server goes on"
    assert noted.connects == 0
    assert [record.message for record in caplog.records] == ["connect or check_origin raised"] * 2
    assert caplog.records[0].exc_info is not None
    assert caplog.records[0].exc_info[1] is error


class Slow:
    """A check that does not return by itself."""

    def __init__(self) -> None:
        self.running = 0
        self.cancelled = 0

    async def __call__(self, _request: Request) -> bool:
        self.running += 1
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return True


async def test_check_that_does_not_return_is_cancelled_when_the_handshake_has_timed_out(way: Way) -> None:
    slow = Slow()
    noted = Noted(slow, handshake_timeout=0.1)
    async with way(noted.server) as dial:
        assert await dial("https://good.example") == (503, b"the application did not answer in time")
        await eventually(lambda: slow.cancelled == 1, "the check is cancelled")
    assert noted.connects == 0


async def test_check_is_cancelled_when_its_client_has_gone() -> None:
    slow = Slow()
    noted = Noted(slow, handshake_timeout=60)
    async with noted.server.serve() as running:
        async with await RawPeer.dial(running.port) as peer:
            peer.writer.write(head("/ws"))
            await eventually(lambda: slow.running == 1, "the check runs")
            peer.reset()
        await eventually(lambda: slow.cancelled == 1, "the check is cancelled")
    assert noted.connects == 0


async def test_check_sees_the_request_as_connect_does(way: Way) -> None:
    seen: list[Request] = []

    def check(request: Request) -> bool:
        seen.append(request)
        return False

    async with way(Noted(check).server) as dial:
        await dial("https://page.example")
    (request,) = seen
    assert request.headers.get("ORIGIN") == "https://page.example"
    assert request.path.startswith("/ws")
