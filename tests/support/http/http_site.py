"""An HTTP application beside a server's WebSocket: it tells what it is doing, and holds what the test has it hold."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from tests.support.wire.raw_peer import RawPeer
from wspulse import Server
from wspulse.actors.sessions.shard import Shard

__all__ = ["GET", "TIMEOUT_S", "Application", "Site", "site", "statuses"]

TIMEOUT_S = 0.3
"""`handshake_timeout` of the server."""

GET = b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"


class Application:
    """An ASGI application; what it is doing can be waited for."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.gate = asyncio.Event()
        self.asked = 0
        """How often it has asked whether its client is there."""

    async def __call__(self, scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        if scope["type"] == "lifespan":
            while (await receive())["type"] != "lifespan.shutdown":
                await send({"type": "lifespan.startup.complete"})
            await send({"type": "lifespan.shutdown.complete"})
            return
        self.seen.append(scope["path"])
        size = 0
        match scope["path"]:
            case "/fail":
                raise LookupError("a fault")
            case "/wait":
                await self.gate.wait()
            case "/listen":
                await receive()
                while not self.gate.is_set():
                    self.asked += 1
                    ended = asyncio.ensure_future(receive())
                    await asyncio.wait({ended}, timeout=0.005)
                    ended.cancel()
            case "/upload":
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        self.seen.append("disconnected")
                        return
                    size += len(message["body"])
                    if not message["more_body"]:
                        break
            case "/stream":
                await send({"type": "http.response.start", "status": 200, "headers": []})
                await send({"type": "http.response.body", "body": b"begun", "more_body": True})
                await receive()
                while (await receive())["type"] != "http.disconnect":
                    pass
                self.seen.append("disconnected")
                return
        body = b"size %d" % size
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class Site:
    def __init__(self, port: int, application: Application, state: Any, shard: Shard) -> None:
        self.port = port
        self.application = application
        self.state = state
        self.shard = shard

    async def answer_to(self, *pieces: bytes, ends: bool = False) -> bytes:
        """Everything that comes until the connection ends."""
        async with await RawPeer.dial(self.port) as peer:
            for piece in pieces:
                peer.writer.write(piece)
            if ends:
                peer.writer.write_eof()
            return await peer.rest()


@asynccontextmanager
async def site(timeout_s: float = TIMEOUT_S) -> AsyncIterator[Site]:
    application = Application()
    server = Server(lambda _request: ("room", ""), http_app=application, handshake_timeout=timeout_s)
    async with server.serve() as running:
        runtime = server._in_process.running()
        assert runtime._http is not None
        yield Site(running.port, application, runtime._http._state, runtime.shard)


def statuses(answers: bytes) -> list[bytes]:
    return [answer[:3] for answer in answers.split(b"HTTP/1.1 ")[1:]]
