"""`server.asgi(join=...)`: applications in other processes that push to the rooms of a running supervisor."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.testclient import TestClient, WebSocketDenialResponse

from tests.support.contract.server import contract_server
from wspulse import AsyncControl, ConnectionNotFoundError, Frame, Request, Server
from wspulse.actors.asgi.remote_server import RemoteServer


def identify(request: Request) -> tuple[str, str]:
    return "lobby", ""


def application(endpoint: str) -> Starlette:
    server = Server(identify)

    async def say(request: HttpRequest) -> Response:
        await server.broadcast(request.path_params["room"], Frame("said", "from the web"))
        members = await server.get_connections(request.path_params["room"])
        await members[0].send(Frame("to one"))
        return JSONResponse(sorted(member.id for member in members))

    async def kick(request: HttpRequest) -> Response:
        await server.kick(request.path_params["name"])
        try:
            await server.kick(request.path_params["name"])
        except ConnectionNotFoundError as error:
            return JSONResponse(str(error))
        return JSONResponse("still there")

    async def nowait(_: HttpRequest) -> Response:
        with pytest.raises(RuntimeError, match="only the async calls"):
            server.broadcast_nowait("lobby", Frame())
        return JSONResponse(None)

    async def wrong_ids(_: HttpRequest) -> Response:
        number: Any = 5
        for kind, call in (
            ("room", server.broadcast(number, Frame())),
            ("room", server.get_connections(number)),
            ("connection", server.send(number, Frame())),
            ("connection", server.kick(number)),
        ):
            with pytest.raises(TypeError, match=f"wspulse: a {kind} id must be a str, not int: 5"):
                await call
        return JSONResponse(None)

    routes = [
        Route("/wrong", wrong_ids),
        Route("/say/{room}", say, methods=["POST"]),
        Route("/kick/{name}", kick, methods=["POST"]),
        Route("/nowait", nowait),
        Mount("/ws", server.asgi(join=endpoint)),
    ]
    return Starlette(routes=routes, lifespan=server.asgi_lifespan)


async def test_application_beside_a_server_pushes_to_lists_and_kicks_its_connections() -> None:
    with contract_server(2) as server:
        assert server.process.control is not None
        room, name = server.new_id("room"), server.new_id("ann")
        async with await server.client(name, room) as ann:
            with TestClient(application(server.process.control)) as web:
                assert web.get("/wrong").status_code == 200
                assert web.post(f"/say/{room}").json() == [name]
                assert sorted([(await ann.receive())["event"], (await ann.receive())["event"]]) == ["said", "to one"]
                assert web.post(f"/kick/{name}").json() == f"wspulse: connection not found: {name}"
                assert await ann.closed() == (1000, "kicked")
                assert web.get("/nowait").status_code == 200
                with pytest.raises(WebSocketDenialResponse), web.websocket_connect("/ws/"):
                    pass


def test_application_starts_while_the_server_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(RemoteServer, "control_client", partial(AsyncControl, timeout=0.3))
    server = Server(identify)
    app = Starlette(routes=[Mount("/ws", server.asgi(join=f"ipc://{tmp_path}/nobody"))])
    with TestClient(Starlette(lifespan=server.asgi_lifespan, routes=app.routes)):
        assert "is not answering yet" in caplog.text
