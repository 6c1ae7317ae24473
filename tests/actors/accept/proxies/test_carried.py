"""An HTTP application on the server's port knows the clients behind proxies, in each request of a connection."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.support.wire.raw_peer import head
from wspulse import Connection, Frame, Server
from wspulse.actors.accept.listener import Introduction, Listener
from wspulse.actors.accept.proxies.trust import TrustedProxies
from wspulse.actors.runtime.runtime import ShardRuntime

HEADER = b"PROXY TCP4 198.51.100.1 127.0.0.1 4711 80\r\n"
GET = b"GET /who HTTP/1.1\r\nHost: x\r\n\r\n"


async def web(scope: Any, receive: Any, send: Any) -> None:
    """Says whom it is asked by."""
    if scope["type"] == "lifespan":
        while (message := await receive())["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": f"{message['type']}.complete"})
        return
    told = json.dumps([*(scope["client"] or ()), scope["scheme"]])
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": told})
        await send({"type": "websocket.close"})
        return
    body = told.encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


async def greet(connection: Connection) -> None:
    request = connection.request
    assert request.remote_address is not None
    await connection.send(Frame("you", [*request.remote_address, request.scheme]))


@asynccontextmanager
async def served(introduction: Introduction, *, reads_headers: bool) -> AsyncIterator[int]:
    server = Server(lambda _request: ("room", ""), on_connect=greet, http_app=web)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        trust = TrustedProxies(["127.0.0.1"], reads_headers=reads_headers)
        listeners = [Listener(listener, introduction)]
        runtime = ShardRuntime(server, shard=0, workers=1, incarnation=1, listeners=listeners, path="/ws", trust=trust)
        try:
            await runtime.start()
            yield listener.getsockname()[1]
        finally:
            await runtime.end(5)


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def told(self, request: bytes) -> object:
        """What the application answers to a request."""
        self.writer.write(request)
        answer = await asyncio.wait_for(self.reader.readuntil(b"]"), 5)
        return json.loads(answer[answer.index(b"[") :])


@asynccontextmanager
async def dialled(port: int, first: bytes) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(first)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("path", ["/ws", "/other"])
async def test_proxy_header_counts_for_each_request_of_its_connection(path: str) -> None:
    async with served(Introduction.PROXY, reads_headers=False) as port, dialled(port, HEADER) as client:
        assert await client.told(GET) == ["198.51.100.1", 4711, "http"]
        assert await client.told(GET) == ["198.51.100.1", 4711, "http"]
        assert await client.told(head(path)) == ["198.51.100.1", 4711, "ws"]


@pytest.mark.parametrize("path", ["/ws", "/other"])
async def test_headers_count_for_the_request_that_has_them(path: str) -> None:
    lines = "X-Forwarded-For: 6.6.6.6, 198.51.100.1", "X-Forwarded-Proto: https"
    forwarded = GET[:-2] + "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n"
    async with served(Introduction.NONE, reads_headers=True) as port, dialled(port, b"") as client:
        own = client.writer.get_extra_info("sockname")
        assert await client.told(forwarded) == ["198.51.100.1", 0, "https"]
        assert await client.told(GET) == [*own, "http"]
        assert await client.told(head(path, *lines)) == ["198.51.100.1", 0, "wss"]


@pytest.mark.parametrize("introduction", [Introduction.NONE, Introduction.PROXY])
async def test_nobody_believes_headers_that_the_server_was_not_told_to(introduction: Introduction) -> None:
    lines = "X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https"
    forged = GET[:-2] + "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n"
    first = b"PROXY TCP4 127.0.0.1 127.0.0.1 4711 80\r\n" if introduction is Introduction.PROXY else b""
    async with served(introduction, reads_headers=False) as port, dialled(port, first) as client:
        own = ["127.0.0.1", 4711] if first else [*client.writer.get_extra_info("sockname")]
        assert await client.told(forged) == [*own, "http"]
        assert await client.told(head("/other", *lines)) == [*own, "ws"]


async def test_both_count_where_both_are_trusted() -> None:
    header = b"PROXY TCP4 127.0.0.1 127.0.0.1 4711 80\r\n"
    async with served(Introduction.PROXY, reads_headers=True) as port:
        async with dialled(port, header) as client:
            assert await client.told(head("/ws", "X-Forwarded-For: 198.51.100.1")) == ["198.51.100.1", 0, "ws"]
        # Whom the header names is not trusted to name others.
        async with dialled(port, HEADER) as client:
            assert await client.told(head("/ws", "X-Forwarded-For: 6.6.6.6")) == ["198.51.100.1", 4711, "ws"]
