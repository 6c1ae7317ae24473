"""Orders about sessions, their ends, and the worker that has them."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

from tests.support.contract.application.noted import note, server
from wspulse import Connection, Frame

__all__ = [
    "block",
    "close_one",
    "close_self",
    "close_server",
    "end_self",
    "hold",
    "kick",
    "pause",
    "wait_closed",
    "where",
]


async def kick(_: Connection, id: str, room: str = "", **how: Any) -> None:  # noqa: A002
    await server.kick(id, **how)


async def close_one(_: Connection, room: str, id: str, **how: Any) -> bool:  # noqa: A002
    found = next(connection for connection in await server.get_connections(room) if connection.id == id)
    await found.close(**how)
    return found.closed


async def wait_closed(connection: Connection, room: str, id: str) -> bool:  # noqa: A002
    """Says "found" before it begins to wait."""
    found = next(other for other in await server.get_connections(room) if other.id == id)
    await connection.send(Frame("found"))
    await found.wait_closed()
    return found.closed


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
