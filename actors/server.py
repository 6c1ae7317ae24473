"""`Server`: what users declare, call and run.

Created by the application at import time, once per process; it does nothing until a runtime attaches: the worker's, or
that of `serve()`. `Declaration` has its decorators, `Calls` what reaches its connections; here stands how it runs.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from logging import Logger
from typing import Any

from wspulse.actors.accept.listener import Listener
from wspulse.actors.asgi.application import AsgiApplication
from wspulse.actors.asgi.mounted import Mounted
from wspulse.actors.asgi.remote_server import RemoteServer
from wspulse.actors.calls.calls import Calls
from wspulse.actors.calls.deployment import Deployment
from wspulse.actors.calls.in_process import InProcess
from wspulse.actors.declaration import Declaration
from wspulse.actors.runtime.closing import PATIENCE_S, checked_patience
from wspulse.actors.runtime.runtime import ShardRuntime
from wspulse.actors.values.asgi import AsgiCallable
from wspulse.actors.values.codec import Codec
from wspulse.actors.values.options.server_options import DEFAULTS
from wspulse.actors.values.request import Request

__all__ = ["Running", "Server"]


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


class Server(Declaration, Calls):
    """A WebSocket server: who may connect, what happens then, and how to reach those who are connected.

    doc/reference/options.md lists the options with their defaults and ranges; a wrong value raises ValueError "wspulse:
    <option>: ...". Callbacks may be sync or async, and may also be set with the decorators of the same names. With several
    workers each process has a `Server` object of its own, and what it calls reaches the connections of all workers.
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
        on_transfer_out: Callable[..., Any] | None = None,
        on_transfer_in: Callable[..., Any] | None = None,
        resume_window: float = DEFAULTS.resume_window,
        suspend_on_clean_close: bool = DEFAULTS.suspend_on_clean_close,
        on_duplicate: str = DEFAULTS.on_duplicate,
        subprotocols: Sequence[str] | None = None,
        ping_period: float = DEFAULTS.ping_period,
        pong_wait: float = DEFAULTS.pong_wait,
        write_wait: float = DEFAULTS.write_wait,
        max_message_size: int = DEFAULTS.max_message_size,
        send_buffer_size: int = DEFAULTS.send_buffer_size,
        send_buffer_bytes: int = DEFAULTS.send_buffer_bytes,
        max_rooms_per_connection: int = DEFAULTS.max_rooms_per_connection,
        max_connections: int = DEFAULTS.max_connections,
        max_connections_per_address: int = DEFAULTS.max_connections_per_address,
        accept_rate: int = DEFAULTS.accept_rate,
        max_frames_per_second: int = DEFAULTS.max_frames_per_second,
        max_bytes_per_second: int = DEFAULTS.max_bytes_per_second,
        compression: str | None = DEFAULTS.compression,
        codec: Codec | None = None,
        check_origin: Callable[[Request], Any] | None = None,
        handshake_timeout: float = DEFAULTS.handshake_timeout,
        slow_handler: float = DEFAULTS.slow_handler,
        handler_timeout: float = DEFAULTS.handler_timeout,
        cancel_on_disconnect: bool = DEFAULTS.cancel_on_disconnect,
        access_log: bool = DEFAULTS.access_log,
        publish_messages: bool = DEFAULTS.publish_messages,
        http_app: Callable[..., Any] | None = None,
        client: bool = DEFAULTS.client,
        index: bool = DEFAULTS.index,
        logger: Logger | None = None,
    ) -> None:
        # By name, all that stands above: `Declaration` looks for callbacks and options.
        super().__init__(locals())
        self._in_process = InProcess()
        self._mounted: Mounted | None = None
        self._remote: RemoteServer | None = None
        self._deployment: Deployment = self._in_process

    def attach(self, runtime: ShardRuntime) -> None:
        """Called by a runtime that starts in this process. Raises RuntimeError if another one is running."""
        self._in_process.attach(runtime)

    def asgi(self, *, join: str | None = None) -> AsgiCallable:
        """This server as an ASGI application, with one shard in the process that serves it.

        In FastAPI or Starlette: `app.mount("/ws", server.asgi())`. These do not pass their lifespan on to what is mounted: give
        them `lifespan=server.asgi_lifespan`; otherwise the server starts with its first connection, and `on_stop` never runs.
        Framing and heartbeats are up to the ASGI server. doc/howto/http.md says what ASGI cannot express.

        With `join`, the control endpoint of a running `wspulse serve`, this process, like any number of others, holds no
        sessions: its async calls go to that server, and may also raise ControlError.
        """
        if join is not None:
            self._deployment = self._remote = RemoteServer(join, self.options.logger, self._in_process)
            return self._remote
        return AsgiApplication(self._mount())

    @asynccontextmanager
    async def asgi_lifespan(self, app: object = None) -> AsyncIterator[None]:
        """The lifespan of an application in which this server is mounted: runs on_start, and at the end closes all sessions
        with 1001 and runs on_stop.

        In a lifespan of your own: `async with server.asgi_lifespan(app): ...`. Raises what on_start raises.
        """
        served = self._remote or self._mount()
        started = await served.start()
        try:
            yield
        finally:
            if started:
                await served.stop()

    def _mount(self) -> Mounted:
        if self._mounted is None:
            self._mounted = Mounted(self, self._in_process)
            if self._remote is None:
                self._deployment = self._mounted
        return self._mounted

    @asynccontextmanager
    async def serve(
        self, host: str = "127.0.0.1", port: int = 0, path: str = "/ws", *, patience_s: float = PATIENCE_S
    ) -> AsyncIterator[Running]:
        """Run one shard inside the current process and loop, for tests, notebooks and small applications.

        Port 0 picks a free port. On exit every session ends with 1001 and its on_disconnect runs; callbacks that are still
        running after `patience_s` (0 to 3600 s) are cancelled, and those that do not end within another second are abandoned.
        Raises ValueError without a `connect` or for a wrong `patience_s`, OSError if the address is not available.
        """
        self.checked_connect()
        patience_s = checked_patience(patience_s)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.create_server((host, port), family=family, backlog=4096) as listener:
            listener.setblocking(False)
            runtime = ShardRuntime(self, shard=0, workers=1, incarnation=1, listeners=[Listener(listener)], path=path)
            try:
                await runtime.start()
                yield Running(host, listener.getsockname()[1], path)
            finally:
                await runtime.end(patience_s)
