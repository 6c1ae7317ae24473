"""Orders to call clients."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.support.contract.application.noted import server
from wspulse import Connection, Frame, ReplyError

__all__ = ["call", "call_and_give_up"]


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
