"""What one session's handlers set in `contextvars`, no other session sees, and its own later handlers do (contract.md §3)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.support.contract import MOUNTED
from tests.support.server_process import ServerProcess, serve_process, serve_uvicorn
from wspulse.actors.mesh.placement import Placement

APP = """
import asyncio
from contextvars import ContextVar
from wspulse import Frame, Server

user = ContextVar("user", default="nobody")

def connect(request):
    found = user.get()
    user.set("whoever dialled " + request.query["id"])
    return "room", request.query["id"], {"found": found}

server = Server(connect, resume_window=5)

@server.on_connect
def first(connection):
    found_here = user.get()
    user.set(connection.id)
    connection.send_nowait(Frame("connect", found_here))

def answer(connection, frame):
    if frame.event == "set":
        user.set(frame.decode(str))
    if frame.event == "found by connect":
        connection.send_nowait(Frame(frame.event, connection.state["found"]))
    else:
        connection.send_nowait(Frame(frame.event, user.get()))

async def answer_slowly(connection, frame):
    answer(connection, frame)
    await asyncio.sleep(0.02)
    answer(connection, Frame("after"))

@server.on_message
def talk(connection, frame):
    # Half of the frames are handled at once, half in a task.
    return answer_slowly(connection, frame) if frame.id == "slow" else answer(connection, frame)

@server.on_transport_restore
async def back(connection):
    connection.send_nowait(Frame("restore", user.get()))

asgi = server.asgi()
"""


@pytest.fixture(scope="module")
def server(workers: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("contexts")
    (folder / "app.py").write_text(APP)
    if workers == MOUNTED:
        with serve_uvicorn("app:asgi", cwd=folder) as server:
            yield server
    else:
        with serve_process("--app", "app:server", workers=workers, cwd=folder) as server:
            yield server


class Talker:
    """A client of a session, whose id is of shard 0, so that all share a process."""

    def __init__(self, socket: ClientConnection, name: str) -> None:
        self.socket = socket
        self.name = name

    @classmethod
    async def dial(cls, server: ServerProcess, workers: int, name: str = "") -> Talker:
        name = name or Placement(1 if workers == MOUNTED else workers).new_id(0)
        return cls(await connect(f"{server.url}?id={name}", proxy=None), name)

    async def hear(self, event: str) -> Any:
        frame = json.loads(await asyncio.wait_for(self.socket.recv(), 5))
        assert frame["event"] == event, frame
        return frame["payload"]

    async def say(self, event: str, payload: object = None, *, slow: bool) -> Any:
        await self.socket.send(json.dumps({"event": event, "payload": payload, "id": "slow" if slow else ""}))
        said = await self.hear(event)
        if slow:
            assert await self.hear("after") == (payload if event == "set" else said)
        return said


@pytest.mark.parametrize("slow", [False, True], ids=["sync", "async"])
async def test_what_a_sessions_handler_sets_its_later_ones_see_and_no_others(
    server: ServerProcess, workers: int, slow: bool
) -> None:
    first, second = [await Talker.dial(server, workers) for _ in range(2)]
    async with first.socket, second.socket:
        assert await first.hear("connect") == "nobody"
        assert await second.hear("connect") == "nobody"
        await first.say("set", "ann", slow=slow)
        await second.say("set", "ben", slow=slow)
        for later in (slow, not slow, slow):
            assert await first.say("get", slow=later) == "ann"
            assert await second.say("get", slow=later) == "ben"


async def test_handlers_of_a_resumed_session_see_what_those_before_it_set(server: ServerProcess, workers: int) -> None:
    talker = await Talker.dial(server, workers)
    await talker.hear("connect")
    await talker.say("set", "ann", slow=False)
    talker.socket.transport.abort()
    again = await Talker.dial(server, workers, talker.name)
    async with again.socket:
        assert await again.hear("restore") == "ann"
        assert await again.say("get", slow=True) == "ann"


async def test_handlers_that_wait_for_others_of_their_session_see_what_those_set(
    server: ServerProcess, workers: int
) -> None:
    talker = await Talker.dial(server, workers)
    async with talker.socket:
        await talker.hear("connect")
        for name, slow in (("ann", True), ("", False), ("ben", True), ("", True), ("", False)):
            event = "set" if name else "get"
            await talker.socket.send(json.dumps({"event": event, "payload": name, "id": "slow" if slow else ""}))
        heard = [json.loads(await asyncio.wait_for(talker.socket.recv(), 5))["payload"] for _ in range(8)]
        assert heard == ["ann", "ann", "ann", "ben", "ben", "ben", "ben", "ben"]


async def test_what_connect_sets_no_later_connect_sees(server: ServerProcess, workers: int) -> None:
    for _ in range(10):
        # So often that some are asked in one process, whoever accepts them.
        talker = await Talker.dial(server, workers)
        async with talker.socket:
            await talker.hear("connect")
            assert await talker.say("found by connect", slow=False) == "nobody"
