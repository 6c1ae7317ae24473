"""The application of the contract's end-to-end tests: it notes every callback in a file, and does what clients order.

Options come as JSON in CONTRACT_OPTIONS, the file's name in CONTRACT_LOG; with CONTRACT_TRANSFERS transfers are noted, too. A
frame with the event "do" is an order, carried out by the worker that holds the sender; its answer has the event "done" and the
order's id.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any
from uuid import uuid4

from tests.support.contract.application.noted import note, server
from tests.support.contract.application.orders import carry_out
from wspulse import Accept, Connection, ConnectRejected, Frame, Request

__all__ = ["server"]

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


if os.environ.get("CONTRACT_TRANSFERS"):

    @server.on_transfer_out
    async def on_transfer_out(connection: Connection) -> None:
        note("transfer out", connection)

    @server.on_transfer_in
    async def on_transfer_in(connection: Connection) -> None:
        note("transfer in", connection)


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
