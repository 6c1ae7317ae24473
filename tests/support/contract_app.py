"""The application of the contract's end-to-end tests: it notes every callback in a file, and does what clients order.

Options come as JSON in CONTRACT_OPTIONS, the file's name in CONTRACT_LOG. A frame with the event "do" is an order, carried
out by the worker that holds the sender; its answer has the event "done" and the order's id.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from typing import Any
from uuid import uuid4

from wspulse import (
    Accept,
    Connection,
    ConnectRejected,
    Frame,
    ReplyError,
    Request,
    SendBufferFullError,
    Server,
)

server = Server(**json.loads(os.environ.get("CONTRACT_OPTIONS", "{}")))
_log = os.open(os.environ["CONTRACT_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
_background: set[asyncio.Task[None]] = set()


class Outcome(BaseException):
    """As what a panic of a Rust extension raises."""


RAISED: dict[str, type[BaseException]] = {
    "": RuntimeError,
    "cancelled": asyncio.CancelledError,
    "exit": SystemExit,
    "interrupt": KeyboardInterrupt,
    "outcome": Outcome,
}


def note(kind: str, connection: Connection, error: BaseException | None = None, detail: Any = None) -> None:
    """One line, one write: lines of several workers never mix."""
    entry = {
        "kind": kind,
        "id": connection.id,
        "session": connection.state["session"],
        "error": type(error).__name__ if error is not None else None,
        "detail": detail,
        "shard": server.shard,
    }
    os.write(_log, json.dumps(entry).encode() + b"\n")


@server.connect
async def connect(request: Request) -> tuple[str, str, dict[str, Any]] | Accept:
    query = request.query
    if "wait" in query:
        await asyncio.sleep(float(query["wait"]))
    if query.get("token") == "wrong":
        raise ConnectRejected("bad token")
    if query.get("token") == "broken":
        raise RuntimeError("secret detail")
    if "rooms" in query:
        state = {"session": uuid4().hex, "slow": ""}
        return Accept(query.get("room", "lobby"), query.get("id", ""), rooms=query["rooms"].split(","), state=state)
    return query.get("room", "lobby"), query.get("id", ""), {"session": uuid4().hex, "slow": query.get("slow", "")}


async def slowly(connection: Connection, callback: str) -> None:
    """A client that connects with `?slow=on_disconnect:0.2` makes that callback of its session take that long."""
    name, _, seconds = connection.state["slow"].partition(":")
    if name == callback:
        await asyncio.sleep(float(seconds))
        note(f"{callback} returns", connection)


@server.on_connect
async def on_connect(connection: Connection) -> None:
    note("connect", connection)
    await slowly(connection, "on_connect")


@server.on_disconnect
async def on_disconnect(connection: Connection, error: BaseException | None) -> None:
    note("disconnect", connection, error, list(connection.rooms))
    await slowly(connection, "on_disconnect")


if server.options.resume_window:

    @server.on_transport_drop
    async def on_transport_drop(connection: Connection, error: BaseException | None) -> None:
        note("drop", connection, error)
        await slowly(connection, "on_transport_drop")

    @server.on_transport_restore
    async def on_transport_restore(connection: Connection) -> None:
        note("restore", connection)
        await slowly(connection, "on_transport_restore")


@server.on_message
async def on_message(connection: Connection, frame: Frame) -> None:
    if frame.event == "note":
        note("message", connection, detail=frame.decode())
    elif frame.event == "slow note":
        await asyncio.sleep(0.02)
        note("message", connection, detail=frame.decode())
    elif frame.event == "echo":
        await connection.send(frame)
    elif frame.event == "say":
        await server.broadcast(connection.room_id, frame)
    elif frame.event == "room":
        await connection.send(Frame("room", frame.room, frame.id, room="told"))
    elif frame.event == "raise":
        raise RAISED[frame.decode() or ""]("the handler of this test raises")
    elif frame.event == "do":
        order = frame.decode(dict[str, Any])
        if order.pop("in_background", False):
            task = asyncio.create_task(carry_out(connection, frame.id, order))
            _background.add(task)
            task.add_done_callback(_background.discard)
        else:
            await carry_out(connection, frame.id, order)


async def carry_out(connection: Connection, number: str, order: dict[str, Any]) -> None:
    try:
        result = await OPERATIONS[order.pop("op")](connection, **order)
    except Exception as error:
        result = {"error": type(error).__name__, "text": str(error)}
    if not connection.closed:
        await connection.send(Frame("done", result, number))


async def send(_: Connection, to: str, payload: Any = None, event: str = "sent") -> None:
    await server.send(to, Frame(event, payload))


async def send_many(_: Connection, to: str, count: int, size: int = 0) -> None:
    for number in range(count):
        await server.send(to, Frame("numbered", [number, "x" * size]))


async def send_until_full(_: Connection, to: str, size: int) -> int:
    """How many numbered frames a session takes until its buffer is full."""
    count = 0
    try:
        while count < 100_000:
            await server.send(to, Frame("numbered", [count, "x" * size]))
            count += 1
            await asyncio.sleep(0)
    except SendBufferFullError:
        pass
    return count


async def send_unencodable(connection: Connection) -> None:
    await server.broadcast(connection.room_id, Frame("never", object()))


async def broadcast(_: Connection, room: str, payload: Any = None, event: str = "said", exclude: Any = ()) -> None:
    await server.broadcast(room, Frame(event, payload), exclude)


async def broadcast_nowait(
    _: Connection, room: str, payload: Any = None, event: str = "said", exclude: Any = ()
) -> None:
    server.broadcast_nowait(room, Frame(event, payload), exclude)


async def broadcast_from_thread(_: Connection, room: str, payload: Any, exclude: Any) -> None:
    await asyncio.to_thread(server.from_thread.broadcast, room, Frame("said", payload), exclude)


async def broadcast_by_turns(_: Connection, room: str, count: int, exclude: list[str]) -> None:
    """In one turn: those with an even number to all, the others but to some."""
    for number in range(count):
        server.broadcast_nowait(room, Frame("numbered", [number]), exclude if number % 2 else ())


async def broadcast_many(
    _: Connection, room: str, count: int, size: int = 0, pause_every: int = 0, first: int = 0
) -> int:
    for number in range(first, first + count):
        await server.broadcast(room, Frame("numbered", [number, "x" * size]))
        if pause_every and number % pause_every == 0:
            await asyncio.sleep(0.001)
    return count


async def number_until_gone(_: Connection, room: str, id: str) -> int:  # noqa: A002
    """Broadcast numbered frames until the session of that id has ended."""
    found = next(connection for connection in await server.get_connections(room) if connection.id == id)
    gone = asyncio.create_task(found.wait_closed())
    number = 0
    while not gone.done():
        for _turn in range(2):
            await server.broadcast(room, Frame("numbered", [number]))
            number += 1
        await asyncio.sleep(0.001)
    return number


async def kick(_: Connection, id: str, room: str = "", **how: Any) -> None:  # noqa: A002
    await server.kick(id, **how)


async def presence(_: Connection, room: Any) -> list[list[Any]]:
    found = sorted(await server.presence(room), key=lambda member: member.id)
    return [[each.id, list(each.rooms), sorted(each.state), each.suspended, each.shard] for each in found]


async def list_room(_: Connection, room: str) -> list[str]:
    return sorted(connection.id for connection in await server.get_connections(room))


async def close_one(_: Connection, room: str, id: str, **how: Any) -> bool:  # noqa: A002
    found = next(connection for connection in await server.get_connections(room) if connection.id == id)
    await found.close(**how)
    return found.closed


async def close_room(_: Connection, room: str) -> int:
    found = await server.get_connections(room)
    await asyncio.gather(*(connection.close() for connection in found))
    return len(found)


async def wait_closed(connection: Connection, room: str, id: str) -> bool:  # noqa: A002
    """Says "found" before it begins to wait."""
    found = next(other for other in await server.get_connections(room) if other.id == id)
    await connection.send(Frame("found"))
    await found.wait_closed()
    return found.closed


async def send_to_old(connection: Connection, room: str, id: str) -> list[str]:  # noqa: A002
    """Take a connection of the room, wait for its end and for a later session of its id, then address the old one."""
    found = next(other for other in await server.get_connections(room) if other.id == id)
    await connection.send(Frame("found"))
    await found.wait_closed()
    while not any(other.id == id for other in await server.get_connections(room)):  # noqa: ASYNC110
        await asyncio.sleep(0.01)  # no event tells of a session of another worker
    try:
        await found.send(Frame("to the old session"))
    except Exception as error:
        return [type(error).__name__]
    return ["sent"]


async def one_of(connection: Connection, id: str, room: str) -> Connection:  # noqa: A002
    """Itself, or the member of a room that has this id, wherever it lives."""
    if not id:
        return connection
    return next(found for found in await server.get_connections(room) if found.id == id)


async def join(connection: Connection, to: Any, id: str = "", room: str = "") -> list[str]:  # noqa: A002
    member = await one_of(connection, id, room)
    await member.join(to)
    return list(member.rooms)


async def join_many(connection: Connection, count: int, prefix: str) -> int:
    """How many rooms it could join, one after another."""
    for number in range(count):
        await connection.join(f"{prefix}{number}")
    return len(connection.rooms)


async def leave(connection: Connection, to: Any, id: str = "", room: str = "") -> list[str]:  # noqa: A002
    member = await one_of(connection, id, room)
    await member.leave(to)
    return list(member.rooms)


async def rooms_of(connection: Connection, id: str = "", room: str = "") -> list[str]:  # noqa: A002
    return list((await one_of(connection, id, room)).rooms)


async def join_when_closed(connection: Connection, room: str, id: str, to: str) -> list[str]:  # noqa: A002
    """Take a connection, wait for its end, then have it join and leave."""
    member = await one_of(connection, id, room)
    await server.kick(id)
    await member.leave(to)
    try:
        await member.join(to)
    except Exception as error:
        return [type(error).__name__]
    return ["joined"]


async def call(connection: Connection, room: str = "", id: str = "", timeout_s: float = 5, **asked: Any) -> list[Any]:  # noqa: A002
    """Ask the client of a connection of the room, or the one who orders it. Says "called" before it waits for another one."""
    if id:
        connections = await server.get_connections(room)
        called = next(other for other in connections if other.id == id)
        await connection.send(Frame("called"))
        connection = called
    try:
        answer = await connection.call(Frame(asked.get("event", "ask"), asked.get("payload")), timeout_s)
    except ReplyError as error:
        return ["ReplyError", error.payload]
    return [answer.event, answer.decode()]


async def call_and_give_up(connection: Connection, seconds: float) -> str:
    try:
        async with asyncio.timeout(seconds):
            await connection.call(Frame("ask"))
    except TimeoutError as error:
        return str(error)
    return "answered"


async def close_self(connection: Connection, **how: Any) -> None:
    await connection.close(**how)


async def close_server(_: Connection) -> None:
    await server.close()


async def block(_: Connection, seconds: float) -> None:
    time.sleep(seconds)  # noqa: ASYNC251 - the worker's loop is to be stuck


async def pause(_: Connection, seconds: float) -> None:
    await asyncio.sleep(seconds)


async def hold(connection: Connection, on_cancel: str = "", seconds: float | None = None) -> None:
    """Wait for what never comes, or so long; note when that is cancelled, and take it as told."""
    note("held", connection)
    times = 0
    never = asyncio.get_running_loop().create_future()
    while True:
        try:
            await asyncio.wait([never], timeout=seconds)
            return
        except asyncio.CancelledError:
            note("cancelled", connection)
            times += 1
            if on_cancel == "swallow":
                return
            if on_cancel == "clean up":
                await asyncio.sleep(0.2)
                note("cleaned", connection)
            if on_cancel != "refuse" or times == 2:
                raise


async def end_self(connection: Connection, how: str) -> None:
    """End the own session, or the server with it, from inside its handler, and go on."""
    if how == "server":
        await server.close()
    elif how == "close":
        await connection.close()
    elif how == "close in a task":
        await asyncio.gather(connection.close())
    else:
        await server.kick(connection.id)
    await asyncio.sleep(0.1)
    note("went on", connection)


async def where(_: Connection) -> list[int]:
    return [server.shard, os.getpid()]


OPERATIONS: dict[str, Any] = {
    operation.__name__: operation
    for operation in (
        send,
        send_many,
        send_until_full,
        send_unencodable,
        broadcast,
        broadcast_nowait,
        broadcast_from_thread,
        broadcast_by_turns,
        broadcast_many,
        number_until_gone,
        kick,
        presence,
        list_room,
        close_one,
        close_room,
        wait_closed,
        call,
        call_and_give_up,
        send_to_old,
        join,
        join_many,
        leave,
        rooms_of,
        join_when_closed,
        close_self,
        close_server,
        block,
        pause,
        hold,
        end_self,
        where,
    )
}
