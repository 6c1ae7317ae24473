"""Orders to send and to broadcast."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.support.contract.application.noted import server
from wspulse import Connection, Frame, SendBufferFullError

__all__ = [
    "broadcast",
    "broadcast_by_turns",
    "broadcast_from_thread",
    "broadcast_many",
    "broadcast_nowait",
    "number_until_gone",
    "send",
    "send_many",
    "send_to_old",
    "send_unencodable",
    "send_until_full",
]


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
