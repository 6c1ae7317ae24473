"""examples/fastapi_app.py: mounted under uvicorn, and carried by two workers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from tests.examples.support import EXAMPLES
from tests.support.processes.server_process import ServerProcess, serve_process, serve_uvicorn


@pytest.fixture(scope="module", params=["mounted", "carried"])
def server(request: pytest.FixtureRequest) -> Iterator[ServerProcess]:
    if request.param == "mounted":
        with serve_uvicorn("fastapi_app:app", cwd=EXAMPLES) as process:
            yield process
    else:
        arguments = ("--app", "fastapi_app:server", "--http-app", "fastapi_app:app")
        with serve_process(*arguments, workers=2, cwd=EXAMPLES) as process:
            yield process


async def receive(socket: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(10):
        frame: dict[str, Any] = json.loads(await socket.recv())
        return frame


async def test_signed_in_users_talk_and_are_pushed_to(server: ServerProcess) -> None:
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{server.port}") as http:
        tokens = {}
        for name, password in (("ann", "rabbit"), ("bob", "builder")):
            tokens[name] = (await http.post("/login", json={"name": name, "password": password})).json()["token"]
        async with (
            connect(f"{server.url}?room=tea&token={tokens['ann']}") as ann,
            connect(f"{server.url}?room=tea&token={tokens['bob']}") as bob,
        ):
            await ann.send('{"payload": "hello"}')
            for person in (ann, bob):
                assert await receive(person) == {"event": "said", "payload": {"name": "ann", "text": "hello"}}
            headers = {"Authorization": f"Bearer {tokens['bob']}"}
            assert (await http.post("/rooms/tea/notices", json={"text": "cake"}, headers=headers)).status_code == 204
            for person in (ann, bob):
                assert await receive(person) == {"event": "notice", "payload": {"from": "bob", "text": "cake"}}
            assert (await http.get("/rooms/tea")).json() == ["ann", "bob"]


async def test_strangers_are_refused(server: ServerProcess) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await connect(f"{server.url}?token=forged")
    assert refused.value.response.status_code == 401
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{server.port}") as http:
        assert (await http.post("/login", json={"name": "ann", "password": "x"})).status_code == 401
        assert (await http.post("/rooms/tea/notices", json={"text": "x"})).status_code == 401
