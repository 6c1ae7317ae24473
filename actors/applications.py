"""The applications that need no code: `relay` and `echo`."""

from __future__ import annotations

from collections.abc import Awaitable

from wspulse.actors.connection import Connection
from wspulse.actors.errors import ShardUnavailableError
from wspulse.actors.frame import Frame
from wspulse.actors.request import Request
from wspulse.actors.server import Server

__all__ = ["builtin"]

_MAX_MESSAGE_BYTES = 64 * 1024
"""The library's default of 512 bytes suits an application that knows its messages; these do not."""


def _identify(request: Request) -> tuple[str, str]:
    return request.query.get("room", "lobby"), request.query.get("id", "")


def _relay() -> Server:
    server = Server(_identify, max_message_size=_MAX_MESSAGE_BYTES)

    @server.on_message
    def relay(connection: Connection, frame: Frame) -> Awaitable[None] | None:
        try:
            server.broadcast_nowait(connection.room_id, frame)
        except ShardUnavailableError:
            # The bus is full: its sender waits for it, and is not read meanwhile.
            return server.broadcast(connection.room_id, frame)
        return None

    return server


def _echo() -> Server:
    server = Server(_identify, max_message_size=_MAX_MESSAGE_BYTES)

    @server.on_message
    def echo(connection: Connection, frame: Frame) -> None:
        connection.send_nowait(frame)

    return server


_BUILTIN = {"relay": _relay, "echo": _echo}


def builtin(name: str) -> Server | None:
    """A new server of that name, or None.

    Both take the room from `?room=` (default "lobby") and the connection id from `?id=`. `relay` broadcasts every inbound
    frame to its room; `echo` answers the sender with the same frame.
    """
    make = _BUILTIN.get(name)
    return make() if make is not None else None
