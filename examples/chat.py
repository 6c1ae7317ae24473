"""A chat with rooms: a token opens the door, and newcomers get the last 50 lines, which SQLite keeps for all workers.

    CHAT_TOKENS=alice:rabbit,bob:builder python -m wspulse.supervisor --workers 4 --app chat:server

Connect to ws://127.0.0.1:8000/ws?token=rabbit&room=tea and send {"event": "say", "payload": {"text": "hello"}}.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Annotated, Any, TypeVar

import msgspec

from wspulse import Connection, ConnectRejected, Context, EventRouter, Frame, Request, Server, ServerClosedError

HISTORY_LINES = 50

T = TypeVar("T")


def read_tokens(text: str) -> dict[str, str]:
    """ "alice:rabbit,bob:builder" → token to name."""
    pairs = [entry.strip().partition(":") for entry in text.split(",") if entry.strip()]
    if not pairs or not all(name and token for name, _, token in pairs):
        raise SystemExit("chat.py: set CHAT_TOKENS to name:token pairs, as in CHAT_TOKENS=alice:rabbit,bob:builder")
    return {token: name for name, _, token in pairs}


class Say(msgspec.Struct):
    text: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]


class Line(msgspec.Struct):
    number: int
    """Rises within a room: a client that gets a line twice, from the history and from the room, knows it by this."""
    name: str
    text: str
    at: float


class History:
    """The lines of all rooms. SQLite blocks, so it has a thread of its own."""

    def __init__(self, path: str) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="history")
        self._path = path
        self._database: sqlite3.Connection | None = None

    async def open(self) -> None:
        await self._run(self._open)

    async def add(self, room: str, name: str, text: str) -> Line:
        return await self._run(self._add, room, name, text, time.time())

    async def last(self, room: str) -> list[Line]:
        return await self._run(self._last, room)

    async def close(self) -> None:
        if self._database is not None:
            await self._run(self._database.close)
        self._thread.shutdown()

    async def _run(self, function: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)

    def _open(self) -> None:
        # Several workers write: each waits for the other's transaction, at most for the timeout.
        self._database = sqlite3.connect(self._path, timeout=10, isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=NORMAL")
        self._database.execute("CREATE TABLE IF NOT EXISTS line (number INTEGER PRIMARY KEY, room, name, text, at)")
        self._database.execute("CREATE INDEX IF NOT EXISTS line_of_room ON line (room, number)")

    def _add(self, room: str, name: str, text: str, at: float) -> Line:
        assert self._database is not None
        cursor = self._database.execute(
            "INSERT INTO line (room, name, text, at) VALUES (?, ?, ?, ?)", (room, name, text, at)
        )
        assert cursor.lastrowid is not None
        return Line(cursor.lastrowid, name, text, at)

    def _last(self, room: str) -> list[Line]:
        assert self._database is not None
        rows = self._database.execute(
            "SELECT number, name, text, at FROM line WHERE room = ? ORDER BY number DESC LIMIT ?", (room, HISTORY_LINES)
        )
        return [Line(*row) for row in rows][::-1]


tokens = read_tokens(os.environ.get("CHAT_TOKENS", ""))
history = History(os.environ.get("CHAT_DATABASE", "chat.db"))
# Who loses the network for less than 30 s misses nothing, and the room does not see them leave and come back.
server = Server(resume_window=30, suspend_on_clean_close=False, on_duplicate="resume", max_message_size=8192)
router = EventRouter()
server.on_message(router)
server.on_start(history.open)
server.on_stop(history.close)


@server.connect
def connect(request: Request) -> tuple[str, str, dict[str, str]]:
    token = request.query.get("token", "")
    if not token:
        raise ConnectRejected("a token is missing: connect with ?token=...")
    name = tokens.get(token)
    if name is None:
        raise ConnectRejected("this token is unknown")
    room = request.query.get("room", "lobby")
    if not 1 <= len(room) <= 50:
        raise ConnectRejected("a room's name has 1 to 50 characters", status=400)
    # One session per person and room: a resume keeps its room, so an id without it would lead back to the old one.
    return room, f"{room}/{name}", {"name": name}


@server.on_connect
async def welcome(connection: Connection) -> None:
    # In this order nothing is missed: the newcomer is in the room already, and a line is kept before it is broadcast.
    await connection.send(Frame("history", await history.last(connection.room_id)))
    await server.broadcast(connection.room_id, Frame("joined", {"name": connection.state["name"]}))


@router.on("say")
async def say(context: Context, message: Say) -> None:
    connection = context.connection
    line = await history.add(connection.room_id, connection.state["name"], message.text)
    await server.broadcast(connection.room_id, Frame("line", line))


@server.on_disconnect
async def farewell(connection: Connection, error: Exception | None) -> None:
    with suppress(ServerClosedError):  # when all leave because the server stops, nobody is there to hear it
        await server.broadcast(connection.room_id, Frame("left", {"name": connection.state["name"]}))
