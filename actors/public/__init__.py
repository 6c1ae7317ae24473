"""wspulse: a multi-core WebSocket server for Python.

    from wspulse import Connection, Frame, Request, Server

    server = Server()

    @server.connect
    async def connect(request: Request) -> tuple[str, str]:
        return request.query.get("room", "lobby"), request.query.get("id", "")

    @server.on_message
    async def relay(connection: Connection, frame: Frame) -> None:
        await server.broadcast(connection.room_id, frame)

Run it with `python -m wspulse.supervisor --workers 4 --app module:server`. This package only re-exports.
"""

from wspulse.actors.codec import Codec, JSONCodec, MsgpackCodec
from wspulse.actors.connection import Connection
from wspulse.actors.context import Context, InvalidPayloadError
from wspulse.actors.errors import (
    ConnectionClosedError,
    ConnectionNotFoundError,
    ConnectRejected,
    ControlError,
    DuplicateConnectionIDError,
    SendBufferFullError,
    ServerClosedError,
    ShardUnavailableError,
    WspulseError,
)
from wspulse.actors.event_router import EventRouter
from wspulse.actors.frame import Frame
from wspulse.actors.origins import allow_origins
from wspulse.actors.recovery import recovery
from wspulse.actors.request import Request
from wspulse.actors.server import Server
from wspulse.supervisor.control_async_client import AsyncControl
from wspulse.supervisor.control_bridge import BridgeItem, BridgeRequest
from wspulse.supervisor.control_client import Control

__all__ = [
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
    "MsgpackCodec",
    "Request",
    "SendBufferFullError",
    "Server",
    "ServerClosedError",
    "ShardUnavailableError",
    "WspulseError",
    "allow_origins",
    "recovery",
]
