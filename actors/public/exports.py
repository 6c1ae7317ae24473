"""The names of `wspulse`, imported when the first of them is used. This module re-exports them, and hands the workers' half of
the package the one class that it needs of the supervisor's.
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
