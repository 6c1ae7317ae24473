"""What a server without pages of its own says at `/`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.actors.accept.test_client_pages import ask, identify
from wspulse import Server
from wspulse.actors.apps.builtin import builtin


async def test_visitor_is_told_what_this_is_and_where_the_websocket_is() -> None:
    async with Server(identify).serve(path="/live") as running:
        line, fields, body = await ask(running.port, "/")
        assert line == "HTTP/1.1 200 OK"
        assert fields["Content-Type"] == "text/plain; charset=utf-8"
        assert body == "This is a WebSocket server, running wspulse. Its WebSocket endpoint is /live\n"
        assert (await ask(running.port, "/", method="HEAD"))[0] == "HTTP/1.1 200 OK"
        assert (await ask(running.port, "/", method="OPTIONS"))[0] == "HTTP/1.1 404 Not Found", "a probe is not misled"
        assert (await ask(running.port, "/elsewhere"))[0] == "HTTP/1.1 404 Not Found"


async def test_server_without_it_answers_404() -> None:
    async with Server(identify, index=False).serve() as running:
        assert (await ask(running.port, "/"))[0] == "HTTP/1.1 404 Not Found"


async def test_pages_of_an_application_go_before() -> None:
    relay = builtin("relay")
    assert relay is not None
    async with relay.serve() as running:
        assert (await ask(running.port, "/"))[1]["Content-Type"].startswith("text/html")


async def test_http_application_answers_itself() -> None:
    async def web(_scope: dict[str, Any], _receive: object, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"its own"})

    pytest.importorskip("uvicorn")
    async with Server(identify, http_app=web).serve() as running:
        assert "its own" in (await ask(running.port, "/"))[2]


async def test_websocket_path_beats_it() -> None:
    async with Server(identify).serve(path="/") as running:
        assert (await ask(running.port, "/"))[0].startswith("HTTP/1.1 426 ")
