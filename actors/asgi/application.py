"""`AsgiApplication`: a server as an ASGI application, to be mounted in another one or run by any ASGI server.

Created by `server.asgi()`. It asks `connect` who comes, as the acceptor does for a listening socket, and hands who may
come to the shard of this process; the ASGI server does what is HTTP and WebSocket framing. (contract §2; what ASGI
cannot express is listed in doc/howto/http.md.)
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from logging import Logger

from wspulse.actors.accept.identity import Identification, Identity
from wspulse.actors.asgi.http import answer_http
from wspulse.actors.asgi.mounted import Mounted
from wspulse.actors.asgi.socket import AsgiSocket, answer_events
from wspulse.actors.runtime.runtime import ShardRuntime
from wspulse.actors.transport.compression.choice import new_transport
from wspulse.actors.transport.upgrade import Upgrade
from wspulse.actors.values.asgi import Receive, Scope, Send
from wspulse.actors.values.errors import text_of
from wspulse.actors.values.request import Request
from wspulse.actors.values.text.exact import Claim, claim_in
from wspulse.actors.wire.answer import HTTPAnswer, rejection
from wspulse.actors.wire.handshake import head_without_claims, without_claims

__all__ = ["AsgiApplication", "lifespan_of"]

_REFUSED_EVENTS = 2
"""uvicorn's "disconnect" for its answer, then for the end of its socket."""

_REFUSED_S = 0.2


class AsgiApplication:
    """Serves the scopes `websocket` and `lifespan`, and the browser's client over HTTP; other HTTP requests are answered 426."""

    def __init__(self, mounted: Mounted) -> None:
        self._mounted = mounted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        match scope["type"]:
            case "websocket":
                await self._websocket(scope, receive, send)
            case "lifespan":
                await lifespan_of(self._mounted.start, self._mounted.stop, self._mounted.logger, receive, send)
            case "http":
                await answer_http(scope, send, self._mounted.pages)
            case other:
                raise ValueError(
                    f"wspulse: ASGI scope type {other!r} is not supported; supported are websocket, http and lifespan"
                )

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        runtime = await self._mounted.started()
        shard = runtime.shard
        claim, offered = claim_in(scope.get("subprotocols") or ()), without_claims(scope.get("subprotocols") or ())
        request = Request.from_scope(_without_claims(scope))
        deadline = shard.clock() + shard.options.handshake_timeout
        identity: Identity | HTTPAnswer | None = None
        try:
            identity = await self._identify(runtime, request, offered, claim)
        finally:
            if shard.places is not None and not isinstance(identity, tuple):
                shard.places.leave(request)
        if isinstance(identity, HTTPAnswer):
            shard.journal.refused(identity, request.head, request.remote_address)
            for event in answer_events(identity.encode(), scope):
                await send(event)
            await _await_end(receive)
            return
        # What the same client did before, above all dropping its last connection, is to be known first.
        await asyncio.sleep(0)
        room_id, connection_id, state, headers, subprotocol, resume, rooms, claim, _ = identity
        # What the transport writes as its answer; the ASGI server makes the real one.
        accept = "".join(("HTTP/1.1 101 \r\n", *(f"{name}: {value}\r\n" for name, value in headers), "\r\n")).encode(
            "latin-1"
        )
        upgrade = Upgrade(room_id, connection_id, state, request, accept, deadline, subprotocol, resume, rooms, claim)
        transport = new_transport(shard, upgrade)
        if shard.places is not None:
            shard.places.pass_on(request, transport)
        asgi_socket = AsgiSocket(shard, transport, scope, send, subprotocol)
        transport.connection_made(asgi_socket)
        reader = shard.loop.create_task(asgi_socket.read(receive))
        # An ASGI server that fails in `receive` has lost the connection.
        reader.add_done_callback(lambda _task: asgi_socket.abort())
        try:
            await asgi_socket.ended
        except asyncio.CancelledError:
            # hypercorn ends its connections so, and tells the lifespan afterwards.
            await asgi_socket.say_farewell()
            raise
        finally:
            reader.cancel()
            await asyncio.gather(reader, asgi_socket.finish(), return_exceptions=True)
        if not asgi_socket.accepted:
            await _await_end(receive)

    async def _identify(
        self, runtime: ShardRuntime, request: Request, offered: Sequence[str], claim: Claim | None
    ) -> Identity | HTTPAnswer:
        """Ask the application, in the order of contract §2 and within the time that an upgrade may take."""
        shard = runtime.shard
        if shard.closing:
            return rejection(503, "server is shutting down")
        places = shard.places
        if places is not None and (refusal := places.admit(request, request.remote_address)) is not None:
            return refusal
        try:
            async with asyncio.timeout(shard.options.handshake_timeout):
                identification = Identification(shard, runtime.placement, self._mounted.connect)
                return await identification.identify(request, offered, claim)
        except TimeoutError:
            return rejection(503, "the application did not answer in time")


def _without_claims(scope: Scope) -> Scope:
    """The scope as the application may see it: nobody is told what a client claims."""
    offered = scope.get("subprotocols") or ()
    names = without_claims(offered)
    if len(names) == len(offered):
        return scope
    headers = []
    for name, value in scope["headers"]:
        if name.lower() == b"sec-websocket-protocol":
            line = head_without_claims(b"\r\nsec-websocket-protocol:" + value)
            value = line.partition(b":")[2]  # noqa: PLW2901
            if not value:
                continue
        headers.append((name, value))
    return {**scope, "headers": headers, "subprotocols": list(names)}


async def lifespan_of(
    start: Callable[[], Awaitable[bool]],
    stop: Callable[[], Awaitable[None]],
    logger: Logger,
    receive: Receive,
    send: Send,
) -> None:
    """Speak the lifespan protocol; `stop` runs if `start` said True."""
    await receive()
    try:
        started = await start()
    except asyncio.CancelledError:
        raise
    except BaseException as error:
        # Servers take a lifespan that raises for an application without one, and serve on.
        logger.exception("on_start raised")
        await send({"type": "lifespan.startup.failed", "message": text_of(error)})
        if not isinstance(error, Exception):
            raise
        return
    await send({"type": "lifespan.startup.complete"})
    try:
        await receive()
    finally:
        if started:
            await stop()
    await send({"type": "lifespan.shutdown.complete"})


async def _await_end(receive: Receive) -> None:
    """After a refusal: uvicorn logs an error where the application returns before the answer's socket is closed."""
    try:
        async with asyncio.timeout(_REFUSED_S):
            for _ in range(_REFUSED_EVENTS):
                await receive()
    except Exception:
        pass  # some servers wait here, and some say that there is nothing to come
