"""wspulse: a multi-core WebSocket server for Python.

    from wspulse import Connection, Frame, Request, Server

    server = Server()

    @server.connect
    async def connect(request: Request) -> tuple[str, str]:
        return request.query.get("room", "lobby"), request.query.get("id", "")

    @server.on_message
    async def relay(connection: Connection, frame: Frame) -> None:
        await server.broadcast(connection.room_id, frame)

Run it with `python -m wspulse.supervisor --workers 4 --app module:server`. The names are in `exports`, which is loaded with the
first of them: a program that imports `wspulse.client` alone is no server, and does without it.
"""

# ruff: noqa: F405 (the names are where the star comes from)

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wspulse.exports import *  # noqa: F403

__all__ = [
    "Accept",
    "AsyncControl",
    "BridgeItem",
    "BridgeRequest",
    "Codec",
    "ConnectRejected",
    "Connection",
    "ConnectionClosedError",
    "ConnectionNotFoundError",
    "Context",
    "Control",
    "ControlError",
    "DuplicateConnectionIDError",
    "EventRouter",
    "Frame",
    "InvalidPayloadError",
    "JSONCodec",
    "Member",
    "MsgpackCodec",
    "RawCodec",
    "ReplyError",
    "Request",
    "SendBufferFullError",
    "Server",
    "ServerClosedError",
    "ShardUnavailableError",
    "WspulseError",
    "allow_origins",
    "recovery",
]


if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module 'wspulse' has no attribute {name!r}", name=name, obj=sys.modules[__name__])
        from wspulse import exports

        globals().update({each: getattr(exports, each) for each in __all__})
        return globals()[name]

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
