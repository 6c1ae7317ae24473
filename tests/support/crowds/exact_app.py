"""The server's side of `scripts/exact-crowd`: it passes on what clients say, and notes what it has taken.

It is what `--app` of that server is; its notes are files in its folder, one for each worker, a JSON list a line.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path
from secrets import token_hex
from typing import Any

from wspulse import Accept, Connection, Frame, Request, Server, WspulseError

__all__ = ["server"]

PADDING = "x" * 4000

_notes = Path(f"notes-{os.getpid()}").open("a", buffering=1)  # noqa: SIM115 (for as long as the worker lives)


def _connect(request: Request) -> Accept:
    first, *further = request.query["rooms"].split(",")
    return Accept(first, request.query["id"], rooms=further)


server = Server(_connect)


def _note(*what: Any) -> None:
    print(json.dumps(what), file=_notes)


@server.on_connect
async def begin(connection: Connection) -> None:
    # What tells its session from others of that id; it goes along when the session moves to another worker.
    connection.state["key"] = token_hex(6)
    _note("begin", connection.id, connection.state["key"], time.monotonic())


@server.on_disconnect
async def end(connection: Connection, error: BaseException | None) -> None:
    _note("end", connection.id, connection.state.get("key"), time.monotonic(), repr(error))


@server.on_message
async def obey(connection: Connection, frame: Frame) -> None:
    """The payload is the client's number of the frame, where to, the number in that stream, and whether it is the last one."""
    number, to, place, is_last = frame.decode()
    _note("taken", connection.id, connection.state["key"], number, time.monotonic())
    if number % 13 == 5:
        # What comes meanwhile waits, and is acknowledged.
        await asyncio.sleep(1.5)
    trouble = unanswered = ""
    try:
        if frame.event == "say":
            await server.broadcast(to, Frame("said", [connection.id, to, place, is_last]))
        elif frame.event == "whisper":
            await server.send(to, Frame("whispered", [connection.id, place, is_last]))
        else:
            for each in range(to):
                await server.broadcast(f"own {connection.id}", Frame("flooded", [place + each, PADDING, is_last]))
    except WspulseError as error:
        trouble = type(error).__name__
    try:
        await connection.send(Frame("answered", [number, is_last]))
    except WspulseError as error:
        unanswered = type(error).__name__
    _note("handled", connection.id, number, time.monotonic(), trouble, unanswered)
