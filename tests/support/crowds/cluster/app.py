"""The hosts' side of `scripts/cluster-crowd`: it broadcasts what clients say, and notes what it does and when.

Each process has a file of notes in its folder, whose first line says which host and process it is. A line is a JSON list that
begins with the time of CLOCK_MONOTONIC, which is one clock for all processes of a machine.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from secrets import token_hex
from typing import Any

from wspulse import Accept, Connection, Frame, Request, Server

__all__ = ["server"]

_notes = Path(f"notes-{token_hex(8)}").open("a", buffering=1)  # noqa: SIM115 (for as long as the process lives)


def _note(*what: Any) -> None:
    print(json.dumps([time.monotonic(), *what]), file=_notes)


def _connect(request: Request) -> Accept:
    return Accept(request.query["room"], request.query["id"], state={"session": token_hex(8)})


server = Server(_connect)


@server.on_connect
async def begin(connection: Connection) -> None:
    _note("begin", connection.id, connection.state["session"])
    await connection.send(Frame("hello", connection.state["session"]))


@server.on_disconnect
async def end(connection: Connection, _error: BaseException | None) -> None:
    _note("end", connection.id, connection.state["session"])


@server.on_message
async def obey(connection: Connection, frame: Frame) -> None:
    session, (number, to) = connection.state["session"], frame.decode()
    room = connection.room_id
    _note("act", connection.id, session)
    try:
        if frame.event == "say":
            _note("issued", room, session, number)
            await server.broadcast(room, Frame("said", [session, number]))
            _note("kept", room, session, number)
        else:
            _note("asked", to, session, number)
            await server.send(to, Frame("told", [session, number]))
            _note("sent", to, session, number)
    except Exception as error:
        _note("failed", frame.event, session, number, type(error).__name__)
    await connection.send(Frame("done", number))


_note("process", os.environ["CROWD_HOST"], os.getpid())
