"""What an application that ships brings to its server, as the runtime asks for it."""

from __future__ import annotations

from typing import cast

import pytest
from websockets.asyncio.client import connect

from tests.support.eventually import eventually
from tests.support.wire.raw_peer import RawPeer
from wspulse import Connection, Request, Server
from wspulse.actors.accept.pages import StaticPage
from wspulse.actors.runtime.extension import Extended, Extension, Extensions
from wspulse.actors.wire.handshake import Pages


def identify(request: Request) -> tuple[str, str]:
    return "lobby", request.query.get("id", "")


class Picky(Extension):
    """Lets the connections of one name resume and no others."""

    def __init__(self, name: str) -> None:
        self.name = name

    def may_resume(self, connection: Connection) -> bool:
        return connection.id == self.name


async def test_extension_is_open_from_before_on_start_until_behind_on_stop() -> None:
    log: list[str] = []

    class Noted(Extension):
        def open(self, runtime: Extended) -> None:
            log.append(f"open on shard {runtime.shard.index} of {runtime.workers}")

        def close(self) -> None:
            log.append("close")

    server = Server(identify)
    server.on_start(lambda: log.append("on_start"))
    server.on_stop(lambda: log.append("on_stop"))
    server._extend(Noted())
    async with server.serve():
        pass
    assert log == ["open on shard 0 of 1", "on_start", "on_stop", "close"]


@pytest.mark.parametrize(
    ("extensions", "waits"),
    [
        ([], True),
        ([Extension()], True),
        ([Picky("ann")], True),
        ([Picky("bob")], False),
        ([Picky("ann"), Picky("bob")], False),
    ],
    ids=["no extension", "one without an opinion", "one says yes", "one says no", "one of two says no"],
)
async def test_lost_session_waits_for_its_client_unless_an_extension_says_no(
    extensions: list[Extension], waits: bool
) -> None:
    server = Server(identify, resume_window=30)
    ends: list[str] = []
    server.on_transport_drop(lambda connection, error: ends.append("suspended"))
    server.on_disconnect(lambda connection, error: ends.append("ended"))
    for extension in extensions:
        server._extend(extension)
    async with server.serve() as running:
        async with connect(f"{running.url}?id=ann", ping_interval=None) as client:
            client.transport.abort()
            await eventually(lambda: bool(ends), "the loss was seen")
        assert ends == ["suspended" if waits else "ended"]


async def test_every_extension_hears_in_its_turn_which_sessions_come_and_leave() -> None:
    log: list[str] = []

    class Noted(Extension):
        def __init__(self, name: str) -> None:
            self.name = name

        def halted(self, connection: Connection) -> None:
            log.append(f"{self.name} halted {connection}")

        def returned(self, connection: Connection) -> None:
            log.append(f"{self.name} returned {connection}")

        def departed(self, connection: Connection) -> None:
            log.append(f"{self.name} departed {connection}")

        def arrived(self, connection: Connection) -> None:
            log.append(f"{self.name} arrived {connection}")

    both = Extensions([Noted("one"), Noted("two")])
    both.halted(cast("Connection", "ann"))
    both.returned(cast("Connection", "eve"))
    both.departed(cast("Connection", "ann"))
    both.arrived(cast("Connection", "bob"))
    assert log == [
        "one halted ann",
        "two halted ann",
        "one returned eve",
        "two returned eve",
        "one departed ann",
        "two departed ann",
        "one arrived bob",
        "two arrived bob",
    ]


async def test_pages_of_every_extension_are_served_beside_the_websocket() -> None:
    class Page(Extension):
        def __init__(self, path: str, text: str) -> None:
            self.path, self.text = path, text

        def pages(self, websocket_path: str) -> Pages:
            return {self.path: StaticPage(f"{self.text} of {websocket_path}", "text/plain")}

    server = Server(identify)
    server._extend(Page("/one", "first"))
    server._extend(Page("/two", "second"))
    async with server.serve(path="/chat") as running:
        for path, text in (("/one", b"first of /chat"), ("/two", b"second of /chat")):
            async with await RawPeer.dial(running.port) as peer:
                peer.writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                assert (await peer.rest()).endswith(text)
