"""`Deployment`: how a declared server runs, as far as its calls are concerned: where they go.

A `Server` has one and hands it every call. There are three: `InProcess` (a runtime of this process, a worker's or that of
`serve()`), `Mounted` (under an ASGI server, started by the first call) and `RemoteServer` (it runs elsewhere, behind a
control socket). None of them looks at how the server was declared.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from typing import Protocol

from wspulse.actors.runtime.runtime import ShardRuntime
from wspulse.actors.sessions.connections.connection import Connection
from wspulse.actors.sessions.connections.member import Member
from wspulse.actors.values.frame import Frame
from wspulse.actors.values.text.ids import NOBODY

__all__ = ["Deployment"]


class Deployment(Protocol):
    """Called in the loop of the server, with what the methods of `Server` that bear these names are called with; raises, or
    makes the awaiting raise, what they say.

    `send` and `broadcast` return None when all is done, else what is to be awaited: most of their calls are done at once,
    and a coroutine besides the server's own would cost them a tenth.
    """

    def running(self) -> ShardRuntime:
        """The runtime of this process, for what cannot wait. Raises RuntimeError where there is none."""

    def send(self, connection_id: str, frame: Frame) -> Awaitable[None] | None: ...

    def broadcast(self, room_id: str, frame: Frame, exclude: Iterable[str] = NOBODY) -> Awaitable[None] | None: ...

    def kick(self, connection_id: str, code: int, reason: str) -> Awaitable[None]: ...

    def get_connections(self, room_id: str) -> Awaitable[list[Connection]]: ...

    def presence(self, room_id: str) -> Awaitable[list[Member]]: ...
