"""`HttpApplication`: an ASGI application served on the WebSocket's own port, by uvicorn's protocol class.

One per worker, created by the runtime of a server with `http_app`. The acceptor gives it every connection whose first
request is not for the server itself, with the bytes read so far; from then on that connection is uvicorn's: keep-alive,
bodies, streaming, the application's own WebSockets; only the heads of its requests are bounded as ours are (`http_heads`). A
later request of such a connection that asks for the server's WebSocket comes back as a newcomer. Nothing here reads HTTP but
the path of the first line.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from email.utils import formatdate
from functools import partial
from importlib.util import find_spec
from logging import INFO, Logger, LogRecord, getLogger
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol, cast

from wspulse.actors.accept.http_heads import HeadBounds, bounded
from wspulse.actors.accept.proxies.trust import TrustedProxies
from wspulse.actors.values.asgi import Receive, Scope, Send
from wspulse.actors.values.log_limit import LogLimit
from wspulse.actors.values.options.server_options import ServerOptions
from wspulse.actors.values.request import INSECURE, SECURE, Request, path_of_target
from wspulse.actors.wire.answer import HTTPAnswer, parse_answer
from wspulse.actors.wire.handshake import HEALTH_PATH, Pages
from wspulse.actors.wire.peer import Peer

if TYPE_CHECKING:
    from uvicorn import Config
    from uvicorn.server import ServerState

__all__ = ["HttpApplication", "carried", "check_http_extra", "path_of_first_line"]

_LOOK_S = 0.02
"""Between two looks at whether uvicorn's connections have ended: they tell nobody."""

_LAST_REQUEST_S = 2.0
"""How long the request that closed the server may take to answer."""

_FIRST_LINE_BYTES = 16 * 1024
"""A longer first line is longer than a head may be: it is refused with the others."""

_MOST_KINDS = 50
"""Of uvicorn's lines, which has about thirty; those beyond share one limit."""

_SPEAKING = ("uvicorn", "websockets")
"""Packages whose lines uvicorn's logger has."""

_HTTP_SCHEMES = {INSECURE: "http", SECURE: "https"}

_server_log = getLogger("uvicorn.error")


def check_http_extra() -> None:
    """Raises ValueError where uvicorn is not installed."""
    if find_spec("uvicorn") is None:
        raise ValueError("wspulse: http_app: uvicorn is not installed; pip install 'wspulse[http]'")


class Entrance(Protocol):
    """The acceptor, as who is carried by it needs it."""

    path: str
    pages: Pages
    http: HttpApplication | None
    proxies: TrustedProxies | None

    def newcomer(self, peer: Peer | None) -> asyncio.Protocol: ...

    def answer(self, request: Request) -> bytes: ...

    def refuse(self, client: asyncio.Transport, answer: HTTPAnswer) -> None: ...


def carried(options: ServerOptions, acceptor: Entrance) -> HttpApplication | None:
    """The application that a server's options name, which the acceptor is to carry from now on."""
    if options.http_app is None:
        return None
    acceptor.http = HttpApplication(
        options.http_app,
        paths=(acceptor.path, HEALTH_PATH, *acceptor.pages),
        make_newcomer=acceptor.newcomer,
        answer=acceptor.answer,
        bounds=HeadBounds(options.handshake_timeout, acceptor.refuse),
        logger=options.logger,
        proxies=acceptor.proxies,
    )
    return acceptor.http


def path_of_first_line(data: bytes) -> str | None:
    """The path that a request asks for, decoded; "" where the line is none of HTTP/1; None while more bytes are needed."""
    line, end, _ = data.lstrip(b"\r\n").partition(b"\n")
    if not end and len(data) < _FIRST_LINE_BYTES:
        return None
    parts = line.rstrip(b"\r").split(b" ")
    return path_of_target(parts[1].decode("utf-8", "replace"))[0] if end and len(parts) == 3 else ""


class HttpApplication:
    """See the module. `paths` are the server's own; `make_newcomer` makes the protocol of a connection for them, and
    `answer` what a request for them is told that is no upgrade. `bounds` are those of every head."""

    def __init__(
        self,
        app: Callable[..., Any],
        *,
        paths: Collection[str],
        make_newcomer: Callable[[Peer | None], asyncio.Protocol],
        answer: Callable[[Request], bytes],
        bounds: HeadBounds,
        logger: Logger,
        proxies: TrustedProxies | None = None,
    ) -> None:
        check_http_extra()
        self.paths = frozenset(paths)
        self.make_newcomer = make_newcomer
        self._app = app
        self._answer = answer
        self._bounds = bounds
        self._protocol_class: Any = None
        self._logger = logger
        self._proxies = proxies
        self._config: Config
        self._state: ServerState
        self._loaded_app: Any = None
        self._lifespan: Any = None
        self._ticker: asyncio.TimerHandle | None = None
        self._strangers = _StrangersLines()

    # Start and stop.

    async def start(self) -> None:
        """Run the application's lifespan up to its start. Raises RuntimeError when that fails; uvicorn logs why."""
        from uvicorn import Config
        from uvicorn.server import ServerState

        # Its loggers hand their records on to the worker's: one log, in one form.
        # Where nobody would see the access log, uvicorn need not make its lines: 3 of 34 µs per request.
        is_access_logged = getLogger("uvicorn.access").isEnabledFor(INFO)
        # We say which client a request comes from: uvicorn would believe whatever 127.0.0.1 says.
        implementation = "h11" if find_spec("httptools") is None else "httptools"
        self._config = Config(
            self._app, log_config=None, access_log=is_access_logged, http=implementation, proxy_headers=False
        )
        self._config.load()
        self._protocol_class = bounded(self._config.http_protocol_class, self._bounds)
        self._loaded_app = self._config.loaded_app
        self._config.loaded_app = self._serve
        self._state = ServerState()
        ws_protocol_class = self._config.ws_protocol_class
        self._config.ws_protocol_class = cast("Any", partial(_Crossing, self, ws_protocol_class))
        self._tick()
        _server_log.addFilter(self._strangers)
        self._lifespan = self._config.lifespan_class(self._config)
        await self._lifespan.startup()
        if self._lifespan.should_exit:
            self._lifespan = None
            raise RuntimeError("wspulse: http_app: the lifespan failed on startup; see the log")

    def take(self, transport: asyncio.Transport, data: bytes, left_s: float, peer: Peer | None = None) -> None:
        """Make a connection uvicorn's, with what was read of it, and what is left of the time for its first head. `peer` is whom
        it comes from, where that is not what the socket says."""
        protocol = self._protocol_class(config=self._config, server_state=self._state, app_state=self._lifespan.state)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if peer is not None:
            protocol.peer = peer
            protocol.client, protocol.scheme = peer.address, _HTTP_SCHEMES[peer.scheme]
        protocol.first_received(data, left_s)

    async def drain(self, patience_s: float, exempt: asyncio.Task[Any] | None) -> None:
        """Let the requests in flight end, for `patience_s` at most, and then cancel them. `exempt` is a task that waits
        for this end itself."""
        if self._lifespan is None:
            return
        state = self._state
        spared = {exempt} & state.tasks if exempt is not None else set()
        for connection in list(state.connections):
            connection.shutdown()
        deadline = monotonic() + patience_s
        while state.tasks - spared or len(state.connections) > len(spared):
            if monotonic() > deadline:
                self._logger.warning(
                    "HTTP requests did not finish in time and are cancelled", extra={"requests": len(state.tasks)}
                )
                self._cut_off(spared)
                return
            await asyncio.sleep(_LOOK_S)

    async def stop(self) -> None:
        """End what is left, and the application's lifespan."""
        _server_log.removeFilter(self._strangers)
        if self._ticker is not None:
            self._ticker.cancel()
        lifespan, self._lifespan = self._lifespan, None
        if lifespan is None:
            return
        if self._state.tasks:
            await asyncio.wait(list(self._state.tasks), timeout=_LAST_REQUEST_S)
        self._cut_off(set())
        await lifespan.shutdown()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The application, but for the server's own paths: any request of a connection may ask for them, not only the
        first."""
        if scope["type"] == "http" and scope["path"] in self.paths:
            if self._proxies is not None:
                _see_through(self._proxies, scope)
            status, headers, body = parse_answer(self._answer(Request.from_scope(scope)))
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})
        else:
            if self._proxies is not None and scope["type"] != "lifespan":
                _see_through(self._proxies, scope)
            await self._loaded_app(scope, receive, send)

    def _cut_off(self, spared: set[asyncio.Task[Any]]) -> None:
        for task in self._state.tasks - spared:
            task.cancel()
        if not spared:
            for connection in list(self._state.connections):
                connection.transport.abort()

    def _tick(self) -> None:
        """The date of all answers, once a second."""
        headers = [(b"date", formatdate(usegmt=True).encode())] if self._config.date_header else []
        self._state.default_headers = headers + self._config.encoded_headers
        self._ticker = asyncio.get_running_loop().call_later(1.0, self._tick)


def _see_through(proxies: TrustedProxies, scope: Scope) -> None:
    """Have a scope say whom the request comes from, if trusted proxies have passed it on."""
    request = Request.from_scope(scope)
    peer = proxies.client_of(request.headers, Peer(request.remote_address, request.scheme))
    scope["client"] = peer.address
    scope["scheme"] = peer.scheme if scope["type"] == "websocket" else _HTTP_SCHEMES[peer.scheme]


class _StrangersLines:
    """A filter that lets few of each of uvicorn's lines pass: any client may cause them, above all the tracebacks of what its
    request makes the application raise. Applications log by that logger too: their own lines are theirs to bound."""

    def __init__(self) -> None:
        specs = filter(None, map(find_spec, _SPEAKING))
        self._folders = tuple(
            str(Path(each, "_"))[:-1] for spec in specs for each in spec.submodule_search_locations or ()
        )
        self._limits: dict[object, LogLimit] = {}

    def filter(self, record: LogRecord) -> bool:
        if not record.pathname.startswith(self._folders):
            return True
        # What varies may be part of the text.
        kind = record.msg if record.msg in self._limits or len(self._limits) < _MOST_KINDS else None
        not_logged = self._limits.setdefault(kind, LogLimit()).admit(monotonic())
        record.not_logged = not_logged
        return not_logged is not None


class _Crossing(asyncio.Protocol):
    """In the place of uvicorn's protocol class for WebSockets: it looks for whom the upgrade of a connection that is
    uvicorn's is meant, after uvicorn has set this as the connection's protocol."""

    def __init__(self, application: HttpApplication, ws_protocol_class: Any, **arguments: Any) -> None:
        self._application = application
        self._ws_protocol_class = ws_protocol_class
        self._arguments = arguments
        self._data = b""
        self._has_said_all = False
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._peer: Peer | None = getattr(self._transport.get_protocol(), "peer", None)
        asyncio.get_running_loop().call_soon(self._pass_on)

    def data_received(self, data: bytes) -> None:
        self._data += data

    def eof_received(self) -> bool:
        self._has_said_all = True
        return True

    def _pass_on(self) -> None:
        transport = self._transport
        if transport.is_closing():
            return
        if path_of_first_line(self._data) in self._application.paths:
            protocol: Any = self._application.make_newcomer(self._peer)
            transport.set_protocol(protocol)
            protocol.connection_made(transport)
        else:
            protocol = self._ws_protocol_class(**self._arguments)
            transport.set_protocol(protocol)
            protocol.connection_made(transport)
            if self._peer is not None:
                protocol.client, protocol.scheme = self._peer
        protocol.data_received(self._data)
        if self._has_said_all and not transport.is_closing():
            # The loop tells the end once, and reads no further.
            transport.pause_reading()
            transport.resume_reading()
