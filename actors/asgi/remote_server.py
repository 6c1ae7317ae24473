"""`RemoteServer`: the deployment of a server that runs elsewhere, behind the control socket of its supervisor.

Created by `server.asgi(join=...)` in a process, a web application's, that holds none of the server's sessions: what it
sends, broadcasts, kicks and lists goes over the control socket. It accepts no WebSocket itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from logging import Logger
from typing import Any, ClassVar, NoReturn, TypeVar

from wspulse.actors.asgi.application import lifespan_of
from wspulse.actors.asgi.control_client import ControlClient, ListedConnection
from wspulse.actors.asgi.http import answer_http
from wspulse.actors.asgi.socket import answer_events
from wspulse.actors.calls.in_process import InProcess
from wspulse.actors.runtime.runtime import ShardRuntime
from wspulse.actors.sessions.connections.connection import Connection, Resumption
from wspulse.actors.sessions.connections.member import Member
from wspulse.actors.values.asgi import Receive, Scope, Send
from wspulse.actors.values.errors import (
    BadRequestError,
    ConnectionClosedError,
    ConnectionNotFoundError,
    ControlError,
    SendBufferFullError,
    ServerClosedError,
    ShardUnavailableError,
    error_from_code,
    error_subject,
    id_error,
)
from wspulse.actors.values.frame import Frame
from wspulse.actors.values.request import Request
from wspulse.actors.values.text.ids import NOBODY, can_exist, checked_excluded, checked_room_id
from wspulse.actors.wire.answer import rejection

__all__ = ["RemoteServer", "RemoteServerConnection"]

Result = TypeVar("Result")

_SAME_ERRORS = frozenset(
    error.code
    for error in (
        ConnectionClosedError,
        ConnectionNotFoundError,
        SendBufferFullError,
        ServerClosedError,
        ShardUnavailableError,
    )
)

_ELSEWHERE = rejection(404, "the WebSockets of this application are served by wspulse, at its own address").encode()


class RemoteServer:
    """See the module, and `Deployment` for what its calls promise; besides they raise ControlError when the supervisor does
    not answer. An ASGI application too: its lifespan opens and closes the control client."""

    control_client: ClassVar[type[ControlClient]]
    """Given by the package `wspulse`, which may use both of its halves; this one may not import the other."""

    def __init__(self, endpoint: str, logger: Logger, in_process: InProcess) -> None:
        self._endpoint = endpoint
        self._logger = logger
        self._in_process = in_process
        self._control: ControlClient | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def control(self) -> ControlClient:
        """The client of this event loop."""
        loop = asyncio.get_running_loop()
        if self._control is None or self._loop is not loop:
            self._control, self._loop = self.control_client(self._endpoint), loop
        return self._control

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        match scope["type"]:
            case "lifespan":
                await lifespan_of(self.start, self.stop, self._logger, receive, send)
            case "websocket":
                await receive()
                for event in answer_events(_ELSEWHERE, scope):
                    await send(event)
            case _:
                await answer_http(scope, send)

    async def start(self) -> bool:
        """Look whether the supervisor is there. It may come later, and may be restarted."""
        try:
            await self.control.ping()
        except ControlError as error:
            self._logger.warning("the wspulse server to join is not answering yet", extra={"reason": str(error)})
        return True

    async def stop(self) -> None:
        control, self._control = self._control, None
        if control is not None:
            control.close()

    # Calls.

    def running(self) -> ShardRuntime:
        if self._in_process.runtime is None:
            raise RuntimeError(
                "wspulse: this process has joined a server that runs elsewhere: only the async calls work here; "
                "from another thread, use wspulse.Control"
            )
        return self._in_process.runtime

    async def send(self, connection_id: str, frame: Frame) -> None:
        _check_exists(connection_id)
        await _as_here(self.control.send(connection_id, frame))

    async def broadcast(self, room_id: str, frame: Frame, exclude: Iterable[str] = NOBODY) -> None:
        excluded = sorted(filter(can_exist, checked_excluded(exclude)))
        if not isinstance(room_id, str):
            raise id_error("room", room_id)
        if not can_exist(room_id):
            return
        await _as_here(self.control.broadcast(room_id, frame, excluded))

    async def kick(self, connection_id: str, code: int, reason: str) -> None:
        _check_exists(connection_id)
        await _as_here(self.control.kick(connection_id, code, reason))

    async def join(self, connection_id: str, room_id: str) -> None:
        await _as_membership(self.control.join(connection_id, room_id))

    async def leave(self, connection_id: str, room_id: str) -> None:
        await _as_membership(self.control.leave(connection_id, room_id))

    async def presence(self, room_id: str) -> list[Member]:
        if not isinstance(room_id, str):
            raise id_error("room", room_id)
        if not can_exist(room_id):
            return []
        found = await _as_here(self.control.presence(room_id))
        if found.missing_shards:
            raise ShardUnavailableError(f"shard {found.missing_shards[0]} did not answer")
        return [Member(each.id, each.rooms, each.state, each.suspended, each.since, each.shard) for each in found]

    async def get_connections(self, room_id: str) -> list[Connection]:
        if not isinstance(room_id, str):
            raise id_error("room", room_id)  # the control socket takes None for all rooms
        if not can_exist(room_id):
            return []
        found = await _as_here(self.control.connections(room_id))
        if found.missing_shards:
            raise ShardUnavailableError(f"no answer from shard {', '.join(map(str, found.missing_shards))}")
        return [RemoteServerConnection(self, connection) for connection in found]


def _check_exists(connection_id: object) -> None:
    """Raises ConnectionNotFoundError for an id that nobody can have, and TypeError for what is none."""
    if not isinstance(connection_id, str):
        raise id_error("connection", connection_id)
    if not can_exist(connection_id):
        raise ConnectionNotFoundError(connection_id)


async def _as_here(call: Awaitable[Result]) -> Result:
    """The result, or the error that the server's own method raises: that and no ControlError, which says here that the server
    is away."""
    try:
        return await call
    except ControlError as error:
        if error.error_code in _SAME_ERRORS:
            raise error_from_code(error.error_code, error_subject(error)) from None
        raise


async def _as_membership(call: Awaitable[None]) -> None:
    """As `_as_here`; ids are checked before, so what the owner refuses is one room too many, or the first one."""
    try:
        await _as_here(call)
    except ControlError as error:
        if error.error_code == BadRequestError.code:
            problem = str(error).removeprefix("wspulse: ").removeprefix("bad request: ")
            raise ValueError(f"wspulse: {problem}") from None
        raise


class RemoteServerConnection(Connection):
    """A connection of a server that runs elsewhere, addressed by its id: a later session of the same id is meant too."""

    __slots__ = ("_closed", "_id", "_queued", "_rooms", "_server", "_suspended")

    def __init__(self, server: RemoteServer, listed: ListedConnection) -> None:
        self._server = server
        self._id = listed.id
        self._rooms = listed.rooms or (listed.room,)
        self._suspended = listed.state == "suspended"
        self._queued = listed.queued
        self._closed = False

    @property
    def id(self) -> str:
        return self._id

    @property
    def room_id(self) -> str:
        return self._rooms[0]

    @property
    def rooms(self) -> tuple[str, ...]:
        return self._rooms

    @property
    def request(self) -> Request:
        self._refuse("request")

    @property
    def resumed_with(self) -> Resumption | None:
        self._refuse("resumed_with")

    @property
    def state(self) -> dict[str, Any]:
        self._refuse("state")

    @property
    def subprotocol(self) -> str | None:
        self._refuse("subprotocol")

    @property
    def suspended(self) -> bool:
        return self._suspended

    @property
    def queued(self) -> int:
        return self._queued

    @property
    def latency_s(self) -> float | None:
        self._refuse("latency_s")

    @property
    def closed(self) -> bool:
        return self._closed

    async def send(self, frame: Frame) -> None:
        await self._server.send(self._id, frame)

    def send_nowait(self, frame: Frame) -> None:
        self._refuse("send_nowait")

    async def call(self, frame: Frame, timeout_s: float = 5.0) -> Frame:
        self._refuse("call")

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """End the session as `server.kick` does: over the control socket there is no gentler way."""
        try:
            await self._server.kick(self._id, code, reason)
        except ConnectionNotFoundError:
            pass
        self._closed = True

    async def join(self, room_id: str) -> None:
        try:
            await self._server.join(self._id, checked_room_id(room_id))
        except ConnectionNotFoundError:
            raise ConnectionClosedError(self._id) from None

    async def leave(self, room_id: str) -> None:
        try:
            await self._server.leave(self._id, checked_room_id(room_id))
        except ConnectionNotFoundError:
            pass

    async def wait_closed(self) -> None:
        self._refuse("wait_closed")

    def _refuse(self, what: str) -> NoReturn:
        raise RuntimeError(
            f"wspulse: {what}: not available in a process that joined the server; the connection lives elsewhere"
        )
