"""A chat with rooms: people join and leave them, see who is there and who is typing, and find the last 50 lines.

    CHAT_TOKENS=alice:rabbit,bob:builder CHAT_ADMINS=alice python -m wspulse.supervisor --workers 4 --app chat:server

Connect to ws://127.0.0.1:8000/ws?token=rabbit&tab=1, send {"id": "1", "event": "join", "payload": "tea"}, then
{"id": "2", "event": "say", "payload": {"room": "tea", "text": "hello"}}. Each is answered with its id, by the same event
or, if something was wrong, by "join.error". Every tab of a person is a connection of its own; give each a `tab` that it keeps.
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
from uuid import uuid4

import msgspec

from wspulse import (
    Connection,
    ConnectionNotFoundError,
    ConnectRejected,
    Context,
    EventRouter,
    Frame,
    ReplyError,
    Request,
    Server,
    ServerClosedError,
    recovery,
)

HISTORY_LINES = 50
LOGGED_IN_ELSEWHERE, BANNED = 4001, 4003

T = TypeVar("T")
# Without a colon, so that nobody can join the rooms "user:…", in which a person's tabs are.
RoomName = Annotated[str, msgspec.Meta(min_length=1, max_length=50, pattern="^[^:]*$")]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]


def read_tokens(text: str) -> dict[str, str]:
    """ "alice:rabbit,bob:builder" → token to name."""
    pairs = [entry.strip().partition(":") for entry in text.split(",") if entry.strip()]
    if not pairs or not all(name and token for name, _, token in pairs):
        raise SystemExit("chat.py: set CHAT_TOKENS to name:token pairs, as in CHAT_TOKENS=alice:rabbit,bob:builder")
    return {token: name for name, _, token in pairs}


class Say(msgspec.Struct):
    room: RoomName
    text: Text


class Whisper(msgspec.Struct):
    to: str
    text: Text


class Line(msgspec.Struct):
    number: int
    """Rises within a room: a client that gets a line twice, from the history and from the room, knows it by this."""
    name: str
    text: str
    at: float


class Store:
    """The lines of all rooms and who is banned, for all workers. SQLite blocks, so it has a thread of its own."""

    def __init__(self, path: str) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._path = path
        self._database: sqlite3.Connection | None = None

    async def open(self) -> None:
        await self._run(self._open)

    async def add(self, room: str, name: str, text: str) -> Line:
        at = time.time()
        add = "INSERT INTO line (room, name, text, at) VALUES (?, ?, ?, ?) RETURNING number"
        ((number,),) = await self._run(self._execute, add, room, name, text, at)
        return Line(number, name, text, at)

    async def last(self, room: str) -> list[Line]:
        last = "SELECT number, name, text, at FROM line WHERE room = ? ORDER BY number DESC LIMIT ?"
        return [Line(*row) for row in await self._run(self._execute, last, room, HISTORY_LINES)][::-1]

    async def ban(self, name: str) -> None:
        await self._run(self._execute, "INSERT OR IGNORE INTO banned VALUES (?)", name)

    async def is_banned(self, name: str) -> bool:
        return bool(await self._run(self._execute, "SELECT 1 FROM banned WHERE name = ?", name))

    async def close(self) -> None:
        if self._database is not None:
            await self._run(self._database.close)
        self._thread.shutdown()

    async def _run(self, function: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)

    def _open(self) -> None:
        # Several workers write: each waits for the other's transaction, at most for the timeout.
        self._database = sqlite3.connect(self._path, timeout=10, isolation_level=None)
        # The file keeps this mode: who finds it locked is not the only one that sets it at this moment.
        with suppress(sqlite3.OperationalError):
            self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=NORMAL")
        self._database.execute("CREATE TABLE IF NOT EXISTS line (number INTEGER PRIMARY KEY, room, name, text, at)")
        self._database.execute("CREATE INDEX IF NOT EXISTS line_of_room ON line (room, number)")
        self._database.execute("CREATE TABLE IF NOT EXISTS banned (name PRIMARY KEY)")

    def _execute(self, statement: str, *values: Any) -> list[Any]:
        assert self._database is not None
        return self._database.execute(statement, values).fetchall()


tokens = read_tokens(os.environ.get("CHAT_TOKENS", ""))
admins = os.environ.get("CHAT_ADMINS", "").split(",")
store = Store(os.environ.get("CHAT_DATABASE", "chat.db"))
# Somebody who loses the network for less than 30 s misses nothing, and the rooms do not see them leave and come back.
server = Server(
    resume_window=30,
    suspend_on_clean_close=False,
    on_duplicate="resume",
    max_message_size=8192,
    max_rooms_per_connection=20,
)
router = EventRouter()
server.on_message(router)
server.on_start(store.open)
server.on_stop(store.close)


@router.use
@recovery  # logs what a handler raises; then this answers, and the connection stays
def failed(context: Context, error: Exception) -> None:
    raise ReplyError({"code": "internal"})


@server.connect
def connect(request: Request) -> tuple[str, str, dict[str, str]]:
    token = request.query.get("token", "")
    if not token:
        raise ConnectRejected("a token is missing: connect with ?token=...")
    name = tokens.get(token)
    if name is None:
        raise ConnectRejected("this token is unknown")
    tab = request.query.get("tab") or uuid4().hex
    if len(tab) > 40:
        raise ConnectRejected("a tab's name has at most 40 characters", status=400)
    # An id for each tab, and a room for each person: what is broadcast there reaches all of their tabs.
    return f"user:{name}", f"{name}/{tab}", {"name": name}


@server.on_connect
async def welcome(connection: Connection) -> None:
    # A page cannot see why an upgrade was refused, but it sees the code of a close.
    if await store.is_banned(connection.state["name"]):
        await connection.close(BANNED, "banned")


@router.on("join")
async def join(context: Context, room: RoomName) -> dict[str, Any]:
    connection = context.connection
    if room not in connection.rooms:
        try:
            await connection.join(room)
        except ValueError:
            raise ReplyError({"code": "too_many_rooms"}) from None
        await tell_others(connection, room, "joined")
    # In this order nothing is missed: the newcomer is in the room already, and a line is kept before it is broadcast.
    return {"lines": await store.last(room), "people": await people(room)}


@router.on("leave")
async def leave(context: Context, room: RoomName) -> dict[str, str]:
    await context.connection.leave(checked(context, room))
    await tell_others(context.connection, room, "left")
    return {"left": room}


@router.on("say")
async def say(context: Context, message: Say) -> int:
    room = checked(context, message.room)
    line = await store.add(room, context.connection.state["name"], message.text)
    await server.broadcast(room, Frame("line", line, room=room))
    return line.number


@router.on("typing")
async def typing(context: Context, room: RoomName) -> None:
    await tell_others(context.connection, checked(context, room), "typing")


@router.on("who")
async def who(context: Context, room: RoomName) -> list[str]:
    return await people(checked(context, room))


@router.on("whisper")
async def whisper(context: Context, message: Whisper) -> dict[str, int]:
    tabs = await server.presence(f"user:{message.to}")
    if not tabs:
        raise ReplyError({"code": "not_here", "name": message.to})
    whispered = Frame("whisper", {"from": context.connection.state["name"], "text": message.text})
    await server.broadcast(f"user:{message.to}", whispered)
    return {"tabs": len(tabs)}


@router.on("log_out_others")
async def log_out_others(context: Context) -> dict[str, int]:
    connection = context.connection
    return {"tabs": await end_tabs(connection.state["name"], LOGGED_IN_ELSEWHERE, "logged in elsewhere", connection.id)}


@router.on("ban")
async def ban(context: Context, name: str) -> dict[str, int]:
    if context.connection.state["name"] not in admins:
        raise ReplyError({"code": "admins_only"})
    await store.ban(name)  # first: a tab that comes in this moment is found here, or finds it in `welcome`
    return {"tabs": await end_tabs(name, BANNED, "banned")}


@server.on_disconnect
async def farewell(connection: Connection, error: Exception | None) -> None:
    with suppress(ServerClosedError):  # when all leave because the server stops, nobody is there to hear it
        for room in connection.rooms[1:]:
            await tell_others(connection, room, "left")


def checked(context: Context, room: str) -> str:
    if room not in context.connection.rooms:
        raise ReplyError({"code": "join_first", "room": room})
    return room


async def tell_others(connection: Connection, room: str, event: str) -> None:
    frame = Frame(event, {"name": connection.state["name"], "tab": connection.id}, room=room)
    await server.broadcast(room, frame, exclude=[connection.id])


async def people(room: str) -> list[str]:
    return sorted({member.state["name"] for member in await server.presence(room)})


async def end_tabs(name: str, code: int, reason: str, but: str = "") -> int:
    """Close a person's tabs, on whichever worker they are; how many."""
    tabs = [tab.id for tab in await server.presence(f"user:{name}") if tab.id != but]
    for tab in tabs:
        with suppress(ConnectionNotFoundError):  # it has left in this moment
            await server.kick(tab, code, reason)
    return len(tabs)
