"""An event router's handler that returns a value answers the frame, and one that raises ReplyError answers it with an error."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.support.contract import MOUNTED
from tests.support.server_process import ServerProcess, serve_process, serve_uvicorn

APP = """
import asyncio
from wspulse import EventRouter, ReplyError, Server, recovery

router = EventRouter()
router.use(recovery())

@router.use
async def around(context):
    await context.next()

@router.on("add")
def add(context, numbers: list[int]):
    return sum(numbers)

@router.on("add later")
async def add_later(context, numbers: list[int]):
    await asyncio.sleep(0.01)
    return sum(numbers)

@router.on("refuse")
async def refuse(context):
    raise ReplyError({"code": "no"})

@router.on("say nothing")
def say_nothing(context):
    return None

@router.on("ask")
async def ask(context):
    answer = await context.connection.call(context.frame, 5)
    return answer.payload

server = Server(lambda request: ("room", request.query["id"]), on_message=router)
asgi = server.asgi()
"""


@pytest.fixture(scope="module")
def server(workers: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("replies")
    (folder / "app.py").write_text(APP)
    if workers == MOUNTED:
        with serve_uvicorn("app:asgi", cwd=folder) as server:
            yield server
    else:
        with serve_process("--app", "app:server", workers=workers, cwd=folder) as server:
            yield server


async def say(socket: ClientConnection, event: str, payload: object = None, number: str = "7") -> None:
    await socket.send(json.dumps({"event": event, "payload": payload, "id": number}))


async def hear(socket: ClientConnection) -> Any:
    return json.loads(await asyncio.wait_for(socket.recv(), 5))


@pytest.mark.parametrize("name", ["a", "b", "c", "d"])
async def test_client_is_answered_with_its_id_on_whichever_worker(server: ServerProcess, name: str) -> None:
    async with connect(f"{server.url}?id={name}", proxy=None) as socket:
        for event in ("add", "add later"):
            await say(socket, event, [1, 2])
            assert await hear(socket) == {"event": event, "payload": 3, "id": "7"}
        await say(socket, "refuse")
        assert await hear(socket) == {"event": "refuse.error", "payload": {"code": "no"}, "id": "7"}
        await say(socket, "add", "no numbers")
        assert (await hear(socket))["payload"]["code"] == "invalid_payload"
        await say(socket, "say nothing")
        await say(socket, "add", [1], number="")
        await say(socket, "add", [2], number="8")
        assert await hear(socket) == {"event": "add", "payload": 2, "id": "8"}


async def test_handler_that_asks_its_client_answers_with_what_that_says(server: ServerProcess) -> None:
    async with connect(f"{server.url}?id=asker", proxy=None) as socket:
        await say(socket, "ask", "who?")
        asked = await hear(socket)
        assert asked["id"] != "7"
        await say(socket, "ask", {"I": "am"}, asked["id"])
        assert await hear(socket) == {"event": "ask", "payload": {"I": "am"}, "id": "7"}
        await say(socket, "ask", "who?", number="8")
        await say(socket, "ask.error", "no", (await hear(socket))["id"])
        # What nobody catches is an answer too.
        assert await hear(socket) == {"event": "ask.error", "payload": "no", "id": "8"}
