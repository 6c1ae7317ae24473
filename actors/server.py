"""`Server`: what the user declares, and what the application calls.

Created by the application at import time, once per process; it does nothing until a runtime attaches: the worker's, or
that of `serve()`. All methods may be called from any handler and any task of the worker's loop.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from logging import Logger
from typing import Any, TypeVar

import msgspec

from wspulse.actors.asgi.application import AsgiApplication
from wspulse.actors.asgi.joined import Joined
from wspulse.actors.asgi.mounted import Mounted
from wspulse.actors.mesh.message import ConnectionRecord, Kick, ListConnections, SendFrame
from wspulse.actors.runtime.runtime import ShardRuntime
from wspulse.actors.runtime.served import PresencePart
from wspulse.actors.sessions.connection import Connection
from wspulse.actors.sessions.remote_connection import RemoteConnection
from wspulse.actors.values.asgi import AsgiCallable
from wspulse.actors.values.codec import Codec
from wspulse.actors.values.config import ServerOptions
from wspulse.actors.values.errors import ConnectionNotFoundError, ServerClosedError, ShardUnavailableError
from wspulse.actors.values.frame import Frame
from wspulse.actors.values.request import Request
from wspulse.actors.wire.handshake import Pages

__all__ = ["Running", "Server"]

Handler = TypeVar("Handler", bound=Callable[..., Any])

_CALLBACKS = ("on_connect", "on_message", "on_disconnect", "on_transport_drop", "on_transport_restore")


class Running:
    """A server that runs in the current process: where it listens."""

    def __init__(self, host: str, port: int, path: str) -> None:
        self.host = host
        self.port = port
        self.path = path

    @property
    def url(self) -> str:
        """`ws://host:port/path`, without a query."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"ws://{host}:{self.port}{self.path}"


class Server:
    """A WebSocket server: who may connect, what happens then, and how to reach those who did.

    Every option has the default and range of contract.md §5 and raises ValueError "wspulse: <option>: ..." when it is
    wrong. Callbacks may be sync or async and may also be set by the decorators of the same names. With several workers
    each process has its own `Server` object, and all methods span all of them.
    """

    def __init__(
        self,
        connect: Callable[[Request], Any] | None = None,
        *,
        on_connect: Callable[..., Any] | None = None,
        on_message: Callable[..., Any] | None = None,
        on_disconnect: Callable[..., Any] | None = None,
        on_transport_drop: Callable[..., Any] | None = None,
        on_transport_restore: Callable[..., Any] | None = None,
        resume_window: float = 0,
        suspend_on_clean_close: bool = True,
        on_duplicate: str = "kick",
        subprotocols: Sequence[str] | None = None,
        ping_period: float = 10,
        pong_wait: float = 30,
        write_wait: float = 10,
        max_message_size: int = 512,
        send_buffer_size: int = 256,
        codec: Codec | None = None,
        check_origin: Callable[[Request], Any] | None = None,
        handshake_timeout: float = 10,
        publish_messages: bool = False,
        http_app: Callable[..., Any] | None = None,
        logger: Logger | None = None,
    ) -> None:
        options: dict[str, Any] = {
            "resume_window": resume_window,
            "suspend_on_clean_close": suspend_on_clean_close,
            "on_duplicate": on_duplicate,
            "subprotocols": subprotocols,
            "ping_period": ping_period,
            "pong_wait": pong_wait,
            "write_wait": write_wait,
            "max_message_size": max_message_size,
            "send_buffer_size": send_buffer_size,
            "check_origin": check_origin,
            "handshake_timeout": handshake_timeout,
            "publish_messages": publish_messages,
            "http_app": http_app,
        }
        if codec is not None:
            options["codec"] = codec
        if logger is not None:
            options["logger"] = logger
        self.options = ServerOptions(**options)
        self.handlers: dict[str, Callable[..., Any]] = {}
        self.start_handlers: list[Callable[[], Any]] = []
        self.stop_handlers: list[Callable[[], Any]] = []
        self.pages: Callable[[str], Pages] | None = None
        """Of a built-in application: WebSocket path → its pages."""
        self.presence: PresencePart[ShardRuntime] | None = None
        """Of a built-in application: who is in a room."""
        self.resumable: Callable[[Connection], bool] | None = None
        """Of a built-in application: whose sessions have the resume window; None: all."""
        self._connect: Callable[[Request], Any] | None = None
        self._runtime: ShardRuntime | None = None
        self._mounted: Mounted | None = None
        self._joined: Joined | None = None
        if connect is not None:
            self.connect(connect)
        callbacks = (on_connect, on_message, on_disconnect, on_transport_drop, on_transport_restore)
        for name, handler in zip(_CALLBACKS, callbacks, strict=True):
            if handler is not None:
                self._set(name, handler)

    # Declaration.

    def connect(self, handler: Handler) -> Handler:
        """Set who may connect: `handler(request)` returns (room_id, connection_id) or (room_id, connection_id, state).

        It runs in the worker that accepted the socket, before any frame is exchanged. Raising ConnectRejected refuses the
        upgrade. An empty connection id becomes a random UUID. (contract.md §2)
        """
        self._connect = _checked("connect", handler)
        return handler

    def on_connect(self, handler: Handler) -> Handler:
        """Set what runs once when a session begins: `handler(connection)`."""
        return self._set("on_connect", handler)

    def on_message(self, handler: Handler) -> Handler:
        """Set what runs for each inbound frame, one at a time per session: `handler(connection, frame)`."""
        return self._set("on_message", handler)

    def on_disconnect(self, handler: Handler) -> Handler:
        """Set what runs once when a session ends, after every on_message: `handler(connection, error)`."""
        return self._set("on_disconnect", handler)

    def on_transport_drop(self, handler: Handler) -> Handler:
        """Set what runs when a session is suspended: `handler(connection, error)`; error is None after a clean close."""
        return self._set("on_transport_drop", handler)

    def on_transport_restore(self, handler: Handler) -> Handler:
        """Set what runs when a suspended session has a transport again: `handler(connection)`."""
        return self._set("on_transport_restore", handler)

    def on_start(self, handler: Handler) -> Handler:
        """Add what runs once per worker before it accepts: `handler()`. What it raises stops the server at once."""
        self.start_handlers.append(_checked("on_start", handler))
        return handler

    def on_stop(self, handler: Handler) -> Handler:
        """Add what runs once per worker after its last session has ended: `handler()`, in reverse order."""
        self.stop_handlers.append(_checked("on_stop", handler))
        return handler

    def override(self, options: dict[str, Any]) -> None:
        """Replace options by name, as the command line does. Raises ValueError as construction does."""
        self.options = self.options.overridden(options)

    def checked_connect(self) -> Callable[[Request], Any]:
        """The connect handler. Raises ValueError when there is none."""
        if self._connect is None:
            raise ValueError(
                "wspulse: connect: required; pass Server(connect) or decorate a function with @server.connect"
            )
        return self._connect

    def _set(self, name: str, handler: Handler) -> Handler:
        self.handlers[name] = _checked(name, handler)
        return handler

    # Where this process stands.

    @property
    def shard(self) -> int:
        """The number of this process's shard, from 0. Raises RuntimeError before the server runs."""
        return self._running().shard.index

    @property
    def workers(self) -> int:
        """How many shards there are. Raises RuntimeError before the server runs."""
        return self._running().workers

    def attach(self, runtime: ShardRuntime) -> None:
        """Called by a runtime that starts. Raises RuntimeError when another one runs."""
        if self._runtime is not None and not self._runtime.server_closing:
            raise RuntimeError("wspulse: this server is running already")
        self._runtime = runtime

    def detach(self, runtime: ShardRuntime) -> None:
        """Called by a runtime that has stopped; the server stays closed until it is served again."""

    def _running(self) -> ShardRuntime:
        if self._runtime is None:
            if self._joined is not None:
                raise RuntimeError(
                    "wspulse: this process joined a server that runs elsewhere; it has only its async calls"
                )
            raise RuntimeError("wspulse: the server is not running")
        return self._runtime

    @property
    def runs_by_itself(self) -> bool:
        """Whether it listens on a port of its own in this process; False where it is mounted, and before it runs."""
        runtime = self._runtime
        if runtime is None or runtime.server_closing:
            return False
        return self._mounted is None or not self._mounted.owns(runtime)

    async def _reached(self, mounted: Mounted) -> ShardRuntime:
        """Where it is mounted it starts with the first call that needs it, if no lifespan has started it."""
        if self._runtime is None or mounted.owns(self._runtime):
            return await mounted.running()
        return self._runtime

    # Sending. (contract.md §4)

    async def send(self, connection_id: str, frame: Frame) -> None:
        """Queue a frame for one session, wherever it lives; frames to one id keep the order of the calls.

        Raises ConnectionNotFoundError, ConnectionClosedError, SendBufferFullError, what the codec raises, and
        ShardUnavailableError when the owner does not answer within 5 s.
        """
        if self._joined is not None:
            await self._joined.send(connection_id, frame)
            return
        runtime = self._running() if self._mounted is None else await self._reached(self._mounted)
        shard = runtime.shard
        wire = shard.encode(frame)
        owner = runtime.placement.shard_of(connection_id)
        if owner == shard.index:
            shard.find(connection_id).send(wire)
            return
        try:
            await runtime.ask(owner, SendFrame(connection_id, wire))
        except ShardUnavailableError:
            if runtime.server_closing:
                raise ConnectionNotFoundError(connection_id) from None
            raise

    async def broadcast(self, room_id: str, frame: Frame) -> None:
        """Queue a frame for every session of a room, on every shard, in one total order.

        Returns when the bus has taken the frame. Raises ServerClosedError, what the codec raises, and
        ShardUnavailableError when the bus stalled for 5 s (delivery is then unknown).
        """
        if self._joined is not None:
            await self._joined.broadcast(room_id, frame)
            return
        runtime = self._running() if self._mounted is None else await self._reached(self._mounted)
        if runtime.server_closing:
            raise ServerClosedError
        wire = runtime.shard.encode(frame)
        if not runtime.bus.publish(room_id, wire):
            await runtime.bus.publish_when_free(room_id, wire)

    def broadcast_nowait(self, room_id: str, frame: Frame) -> None:
        """`broadcast` for sync code: raises ShardUnavailableError at once when the bus is full."""
        runtime = self._running()
        if runtime.server_closing:
            raise ServerClosedError
        if not runtime.bus.publish(room_id, runtime.shard.encode(frame)):
            raise ShardUnavailableError("the bus is full")

    async def kick(self, connection_id: str) -> None:
        """Destroy a session now, bypassing the resume window: close 1000 "kicked", what is queued is discarded.

        Returns when the session is out of the table. Raises ConnectionNotFoundError, ServerClosedError,
        ShardUnavailableError.
        """
        if self._joined is not None:
            await self._joined.kick(connection_id)
            return
        runtime = self._running() if self._mounted is None else await self._reached(self._mounted)
        if runtime.server_closing:
            raise ServerClosedError
        await runtime.ask(runtime.placement.shard_of(connection_id), Kick(connection_id))

    async def get_connections(self, room_id: str) -> list[Connection]:
        """A snapshot of a room's sessions over all shards, suspended ones included.

        Raises ServerClosedError, and ShardUnavailableError when a shard is alive but silent; a dead one has no sessions.
        """
        if self._joined is not None:
            return await self._joined.get_connections(room_id)
        runtime = self._running() if self._mounted is None else await self._reached(self._mounted)
        if runtime.server_closing:
            raise ServerClosedError
        shard = runtime.shard
        room = shard.rooms.get(room_id)
        connections: list[Connection] = [session.connection for session in room.members()] if room is not None else []
        for records in await asyncio.gather(
            *(self._records(runtime, other, room_id) for other in runtime.refs if other != shard.index)
        ):
            connections += [RemoteConnection(runtime, record) for record in records]
        return connections

    async def _records(self, runtime: ShardRuntime, shard: int, room_id: str) -> list[ConnectionRecord]:
        if shard not in runtime.up_shards:
            return []
        try:
            result = await runtime.ask(shard, ListConnections(room_id))
        except ShardUnavailableError:
            if shard in runtime.up_shards:
                raise
            return []
        return msgspec.convert(result, list[ConnectionRecord])

    async def close(self) -> None:
        """Close the whole server: 1001 to all, every on_disconnect runs, then it returns. Idempotent.

        From inside a handler it waits for all callbacks but those of that handler's own session. Raises RuntimeError before
        the server runs.
        """
        await self._running().close()

    # Running without a supervisor.

    def asgi(self, *, join: str | None = None) -> AsgiCallable:
        """This server as an ASGI application, with one shard in the process that serves it.

        `app.mount("/ws", server.asgi())` in FastAPI or Starlette, which do not pass their lifespan on: give them
        `lifespan=server.asgi_lifespan`, or the server starts with its first connection and `on_stop` never runs. Heartbeat
        and framing are the ASGI server's own. See doc/http.md for what ASGI cannot express.

        With `join`, the control endpoint of a running `wspulse serve`, this process (and any number like it) holds no
        sessions: send, broadcast, kick and get_connections go to that server, and may raise ControlError too.
        """
        if join is not None:
            self._joined = Joined(join, self.options.logger)
            return self._joined
        return AsgiApplication(self._mount())

    @asynccontextmanager
    async def asgi_lifespan(self, app: object = None) -> AsyncIterator[None]:
        """The lifespan of an application in which this server is mounted: on_start first; last 1001 to all and on_stop.

        In a lifespan of your own: `async with server.asgi_lifespan(app): ...`. Raises what on_start raises.
        """
        served = self._joined or self._mount()
        started = await served.start()
        try:
            yield
        finally:
            if started:
                await served.stop()

    def _mount(self) -> Mounted:
        if self._mounted is None:
            self._mounted = Mounted(self)
        return self._mounted

    @asynccontextmanager
    async def serve(self, host: str = "127.0.0.1", port: int = 0, path: str = "/ws") -> AsyncIterator[Running]:
        """Run one shard inside the current process and loop, for tests, notebooks and small applications.

        Port 0 takes a free one. On the way out every session ends with 1001 and its on_disconnect runs. Raises ValueError
        without a `connect`, OSError when the address cannot be had.
        """
        self.checked_connect()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=4096)
        listener.setblocking(False)
        runtime = ShardRuntime(self, shard=0, workers=1, incarnation=1, listener=listener, path=path)
        try:
            await runtime.start()
            yield Running(host, listener.getsockname()[1], path)
        finally:
            try:
                await runtime.drain()
            finally:
                await runtime.stop()
                listener.close()


def _checked(name: str, handler: Handler) -> Handler:
    if not callable(handler):
        raise ValueError(f"wspulse: {name}: {handler!r} is not callable")
    return handler
