"""Orders about rooms and who is in them."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.support.contract.application.noted import server
from wspulse import Connection

__all__ = ["close_room", "join", "join_many", "join_when_closed", "leave", "list_room", "presence", "rooms_of"]


async def one_of(connection: Connection, id: str, room: str) -> Connection:  # noqa: A002
    """Itself, or the member of a room that has this id, wherever it lives."""
    if not id:
        return connection
    return next(found for found in await server.get_connections(room) if found.id == id)


async def presence(_: Connection, room: Any) -> list[list[Any]]:
    found = sorted(await server.presence(room), key=lambda member: member.id)
    return [[each.id, list(each.rooms), sorted(each.state), each.suspended, each.shard] for each in found]


async def list_room(_: Connection, room: str) -> list[str]:
    return sorted(connection.id for connection in await server.get_connections(room))


async def close_room(_: Connection, room: str) -> int:
    found = await server.get_connections(room)
    await asyncio.gather(*(connection.close() for connection in found))
    return len(found)


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
