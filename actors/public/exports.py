"""What `import wspulse` gives, loaded when the first of its names is asked for. It re-exports, and gives one half of wspulse what
it needs of the other.
"""

from wspulse.actors.accept.accept import Accept
from wspulse.actors.accept.origins import allow_origins
from wspulse.actors.asgi.remote_server import RemoteServer
from wspulse.actors.events.context import Context, InvalidPayloadError
from wspulse.actors.events.recovery import recovery
from wspulse.actors.events.router import EventRouter
from wspulse.actors.server import Server
from wspulse.actors.sessions.connections.connection import Connection
from wspulse.actors.sessions.connections.member import Member
from wspulse.actors.values.codec import Codec, JSONCodec, MsgpackCodec, RawCodec
from wspulse.actors.values.errors import (
    ConnectionClosedError,
    ConnectionNotFoundError,
    ConnectRejected,
    ControlError,
    DuplicateConnectionIDError,
    ReplyError,
    SendBufferFullError,
    ServerClosedError,
    ShardUnavailableError,
    WspulseError,
)
from wspulse.actors.values.frame import Frame
from wspulse.actors.values.request import Request
from wspulse.supervisor.client.asynchronous import AsyncControl
from wspulse.supervisor.client.blocking import Control
from wspulse.supervisor.client.bridge import BridgeItem, BridgeRequest

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

RemoteServer.control_client = AsyncControl
