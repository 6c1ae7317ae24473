"""wspulse: a multi-core WebSocket server for Python.

Declare a server in a module, say chat.py:

    from wspulse import Connection, Frame, Request, Server

    server = Server(resume_window=30, max_message_size=65_536)  # seconds, bytes

    @server.connect
    async def connect(request: Request) -> tuple[str, str]:
        return request.query.get("room", "lobby"), request.query.get("id", "")  # room id, connection id

    @server.on_message
    async def relay(connection: Connection, frame: Frame) -> None:
        await server.broadcast(connection.room_id, frame)

and run it on all cores:

    python -m wspulse.supervisor --workers 4 --app chat:server

Room ids and connection ids are str, at most 256 bytes in UTF-8. Times are in seconds and sizes in bytes, unless a name says
otherwise. Calls fail with a subclass of `WspulseError`; a wrong argument raises TypeError or ValueError, and a call before the
server runs, or on a thread other than its loop's, RuntimeError.

Other modules: `wspulse.client`, a client that reconnects by itself; `wspulse.testing`, servers and clients for tests;
`wspulse.fastapi`, FastAPI's dependencies in `connect`.
"""

# The names are in `exports`, which is loaded with the first of them: a program that imports `wspulse.client` alone is no server,
# and does without it.
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
