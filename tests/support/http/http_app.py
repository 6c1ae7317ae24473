"""An HTTP application for the contract's server to carry: `--http-app tests.support.http.http_app:app`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from tests.support.contract.application.app import server
from tests.support.http.http_client import CHUNK
from wspulse import Frame

__all__ = ["app"]


async def hello(_: Request) -> Response:
    return PlainTextResponse("hello")


async def upload(request: Request) -> Response:
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
    return PlainTextResponse(str(size))


async def download(request: Request) -> Response:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(int(request.query_params["chunks"])):
            yield CHUNK

    return StreamingResponse(chunks())


async def say(request: Request) -> Response:
    await server.broadcast(request.path_params["room"], Frame("said", request.query_params["text"]))
    return JSONResponse({"shard": server.shard})


async def members(request: Request) -> Response:
    return JSONResponse(sorted(member.id for member in await server.get_connections(request.path_params["room"])))


async def slow(request: Request) -> Response:
    note(f"slow begins {server.shard}")
    await asyncio.sleep(float(request.query_params["seconds"]))
    return PlainTextResponse("slow")


async def close(_: Request) -> Response:
    await server.close()
    return PlainTextResponse("closed")


async def echo(socket: WebSocket) -> None:
    await socket.accept()
    async for text in socket.iter_text():
        await socket.send_text(text)


def note(line: str) -> None:
    """Into the file that HTTP_APP_LOG names, if it does."""
    if name := os.environ.get("HTTP_APP_LOG"):
        with Path(name).open("a") as file:
            file.write(line + "\n")


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[None]:
    note(f"start {server.shard}")
    yield
    note(f"stop {server.shard}")


app = Starlette(
    routes=[
        Route("/", hello),
        Route("/upload", upload, methods=["POST"]),
        Route("/download", download),
        Route("/say/{room}", say, methods=["POST"]),
        Route("/members/{room}", members),
        Route("/slow", slow),
        Route("/close", close, methods=["POST"]),
        WebSocketRoute("/app-ws", echo),
    ],
    lifespan=lifespan,
)
