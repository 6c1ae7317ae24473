"""Mounted servers driven by the test clients of Starlette and FastAPI, and run by uvicorn."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient as FastAPIClient
from starlette.applications import Starlette
from starlette.routing import Mount, WebSocketRoute
from starlette.testclient import TestClient as StarletteClient
from starlette.testclient import WebSocketDenialResponse

from wspulse import Connection, ConnectRejected, Frame, Request, Server


def make_server(**options: Any) -> Server:
    server = Server(**options)

    @server.connect
    def connect(request: Request) -> tuple[str, str]:
        if "id" not in request.query:
            raise ConnectRejected("who are you?")
        return "lobby", request.query["id"]

    @server.on_message
    async def relay(connection: Connection, frame: Frame) -> None:
        await server.broadcast(connection.room_id, frame)

    return server


def test_fastapi_client_drives_a_mounted_server_whose_routes_broadcast() -> None:
    server = make_server()
    app = FastAPI(lifespan=server.asgi_lifespan)
    app.mount("/ws", server.asgi())

    @app.post("/say/{text}")
    async def say(text: str) -> list[str]:
        await server.broadcast("lobby", Frame("said", text))
        return [connection.id for connection in await server.get_connections("lobby")]

    with FastAPIClient(app) as client:
        with (
            client.websocket_connect("/ws/?id=ann") as ann,
            client.websocket_connect("/ws/?id=bob") as bob,
        ):
            ann.send_json({"event": "hi"})
            assert ann.receive_json() == bob.receive_json() == {"event": "hi"}
            assert sorted(client.post("/say/hello").json()) == ["ann", "bob"]
            assert ann.receive_json() == {"event": "said", "payload": "hello"}
        with pytest.raises(WebSocketDenialResponse) as denied, client.websocket_connect("/ws/"):
            pass
        assert (denied.value.status_code, denied.value.text) == (401, "who are you?")


@pytest.mark.parametrize("route", [Mount, WebSocketRoute])
def test_starlette_client_drives_a_server_that_no_lifespan_starts(route: Any) -> None:
    app = Starlette(routes=[route("/ws", make_server().asgi())])
    path = "/ws/?id=ann" if route is Mount else "/ws?id=ann"
    for _ in range(2):  # each time in another event loop
        with StarletteClient(app).websocket_connect(path) as ann:
            ann.send_text('{"event":"hi"}')
            assert ann.receive_json() == {"event": "hi"}


def test_application_can_be_begun_again() -> None:
    server = make_server(resume_window=30)
    app = Starlette(routes=[Mount("/ws", server.asgi())], lifespan=server.asgi_lifespan)
    for _ in range(2):
        with StarletteClient(app) as client, client.websocket_connect("/ws/?id=ann") as ann:
            ann.send_text("{}")
            assert ann.receive_json() == {}
