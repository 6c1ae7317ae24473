"""`Acceptor`: takes connections from the listening socket that all workers share, and asks the application who they are.

One per worker, created by the runtime. Each connection is a `Newcomer` until its upgrade is valid and its owner is known;
then it becomes a `Transport` of this shard, or its descriptor travels to the shard that owns the id. No session exists and
no callback but `connect` and `check_origin` runs before that. (contract.md §2)
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, cast

from wspulse.actors.accept.http_app import HttpApplication, path_of_first_line
from wspulse.actors.accept.identity import checked_identity
from wspulse.actors.mesh.message import UpgradeRequest
from wspulse.actors.mesh.placement import Placement
from wspulse.actors.sessions.shard import Shard
from wspulse.actors.transport.transport import Transport
from wspulse.actors.transport.upgrade import Upgrade
from wspulse.actors.values.errors import ConnectRejected
from wspulse.actors.values.request import Request
from wspulse.actors.wire.answer import HTTPAnswer, rejection
from wspulse.actors.wire.handshake import Pages, check_request, choose_subprotocol, switching_protocols
from wspulse.actors.wire.handshake import Upgrade as ValidUpgrade
from wspulse.actors.wire.head import HeadGatherer

__all__ = ["Acceptor"]

_BACKLOG = 4096
"""`create_server` calls listen again, so it must be given the size that the supervisor chose."""

_LEFTOVER_BYTES = 512 * 1024
"""What a client may send behind its request before it is answered; beyond that its socket is not read."""

_LAST_HEAD_S = 0.5
"""How long a request that is on its way when the server closes may take to be complete."""

_LINGER_S = 1.0
"""How long a refused client has to read the answer and close."""


class Acceptor:
    """Accepts for one shard. `hand_over` sends an upgrade with its descriptor, which it then owns, to another shard."""

    def __init__(
        self,
        shard: Shard,
        placement: Placement,
        *,
        path: str,
        pages: Pages,
        connect: Callable[[Request], Any],
        hand_over: Callable[[int, UpgradeRequest, int], None],
    ) -> None:
        self.shard = shard
        self.placement = placement
        self.path = path
        self.pages = pages
        self.connect = connect
        self.hand_over = hand_over
        self.http: HttpApplication | None = None
        """Who serves what is not for us, where there is one."""
        self.newcomers: set[_Newcomer] = set()
        self.closed = False
        self._server: asyncio.Server | None = None
        self._gone: asyncio.Event = asyncio.Event()

    async def open(self, listener: socket.socket) -> None:
        """Accept from `listener`, which stays the caller's."""
        loop = asyncio.get_running_loop()
        greet = self.newcomer if self.http is None else partial(_Visitor, self)
        self._server = await loop.create_server(greet, sock=listener.dup(), backlog=_BACKLOG)

    def newcomer(self) -> asyncio.Protocol:
        """The protocol of a connection whose first request is for this server."""
        return _Newcomer(self)

    def answer(self, head: bytes) -> bytes:
        """What a request for one of our paths is answered that is no upgrade."""
        answer = check_request(head, path=self.path, draining=self.shard.closing, pages=self.pages)
        return (answer if isinstance(answer, HTTPAnswer) else rejection(400, "an upgrade is needed here")).encode()

    def close(self) -> None:
        """Accept no more, and answer 503 to those that are not yet upgraded."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.closed = True
        for newcomer in list(self.newcomers):
            newcomer.drain()

    async def quiet(self) -> None:
        """Wait until every newcomer's socket is gone: about two seconds at most after `close`."""
        while self.newcomers:
            self._gone.clear()
            await self._gone.wait()

    def left(self, newcomer: _Newcomer) -> None:
        self.newcomers.discard(newcomer)
        self._gone.set()


class _Newcomer(asyncio.Protocol):
    """One accepted connection, from its first byte to its answer."""

    __slots__ = (
        "_acceptor",
        "_answered",
        "_deadline",
        "_gatherer",
        "_held",
        "_leftover",
        "_request",
        "_shard",
        "_socket",
        "_task",
        "_valid",
    )

    def __init__(self, acceptor: Acceptor) -> None:
        self._acceptor = acceptor
        self._shard = acceptor.shard
        self._gatherer: HeadGatherer | None = HeadGatherer()
        self._leftover = b""
        self._socket: asyncio.Transport
        self._request: Request
        self._valid: ValidUpgrade
        self._deadline = 0.0
        self._task: asyncio.Task[None] | None = None
        self._held = False
        self._answered = False

    # From the loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._socket = cast("asyncio.Transport", transport)
        self._acceptor.newcomers.add(self)
        self._deadline = self._shard.clock() + self._shard.options.handshake_timeout
        self._shard.at(self._deadline, self._late)
        if self._acceptor.closed:
            self.drain()

    def data_received(self, data: bytes) -> None:
        if self._answered:
            return
        gatherer = self._gatherer
        if gatherer is None:
            self._leftover += data
            if len(self._leftover) > _LEFTOVER_BYTES and not self._held:
                self._held = True
                self._socket.pause_reading()
            return
        try:
            complete = gatherer.feed(data)
        except HTTPAnswer as answer:
            self.refuse(answer)
            return
        if complete:
            self._gatherer = None
            self._leftover = gatherer.leftover
            self._check(gatherer.head)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._answered = True
        if self._task is not None:
            self._task.cancel()
        self._acceptor.left(self)

    # Steps, in the order of contract.md §2.

    def _check(self, head: bytes) -> None:
        acceptor = self._acceptor
        draining = self._shard.closing or acceptor.closed
        valid = check_request(head, path=acceptor.path, draining=draining, pages=acceptor.pages)
        if isinstance(valid, HTTPAnswer):
            self.refuse(valid)
            return
        self._valid = valid
        peer = self._socket.get_extra_info("peername")
        address = (peer[0], peer[1]) if isinstance(peer, tuple) and len(peer) >= 2 else None
        self._request = Request.from_head(head, address)
        check_origin = self._shard.options.check_origin
        if check_origin is None:
            self._step(acceptor.connect, self._identified)
        else:
            self._step(check_origin, self._origin_checked)

    def _step(self, call: Callable[[Request], Any], then: Callable[[Any], None]) -> None:
        """Ask the application something, then go on; its coroutine runs as this newcomer's task."""
        try:
            result = call(self._request)
        except (Exception, SystemExit) as error:
            self._application_refused(error)
            return
        if hasattr(result, "__await__"):
            self._task = asyncio.get_running_loop().create_task(self._await(result, then))
        else:
            then(result)

    async def _await(self, awaitable: Awaitable[Any], then: Callable[[Any], None]) -> None:
        try:
            result = await awaitable
        except asyncio.CancelledError as error:
            if self._answered:
                raise
            self._application_refused(error)
            return
        except (Exception, SystemExit) as error:
            self._application_refused(error)
            return
        self._task = None
        if not self._answered:
            then(result)

    def _application_refused(self, error: BaseException) -> None:
        if isinstance(error, ConnectRejected):
            self.refuse(rejection(error.status, error.text))
            return
        self._shard.options.logger.error("connect or check_origin raised", exc_info=error)
        self.refuse(rejection(500, "internal server error"))

    def _origin_checked(self, allowed: Any) -> None:
        if allowed:
            self._step(self._acceptor.connect, self._identified)
        else:
            self.refuse(rejection(403, "origin not allowed"))

    def _identified(self, answer: Any) -> None:
        try:
            room_id, connection_id, state = checked_identity(answer)
        except Exception as error:
            self._application_refused(error)
            return
        if self._shard.closing:
            self.refuse(rejection(503, "server is shutting down"))
            return
        placement = self._acceptor.placement
        if not connection_id:
            connection_id = placement.new_id(self._shard.index)
        subprotocol = choose_subprotocol(self._shard.options.subprotocols, self._valid.offered_subprotocols)
        owner = placement.shard_of(connection_id)
        if owner == self._shard.index:
            self._become_transport(room_id, connection_id, state, subprotocol)
        else:
            self._hand_over(owner, room_id, connection_id, state, subprotocol)

    def _become_transport(
        self, room_id: str, connection_id: str, state: dict[str, Any] | None, subprotocol: str | None
    ) -> None:
        answer = switching_protocols(self._valid.key, subprotocol)
        upgrade = Upgrade(room_id, connection_id, state, self._request, answer, self._deadline)
        transport = Transport(self._shard, upgrade)
        if self._leftover:
            transport.keep(self._leftover)
        if self._held and not transport.held:
            transport.hold()
        self._answered = True
        self._acceptor.left(self)
        self._socket.set_protocol(transport)
        transport.connection_made(self._socket)

    def _hand_over(
        self, owner: int, room_id: str, connection_id: str, state: dict[str, Any] | None, subprotocol: str | None
    ) -> None:
        """The descriptor travels; aborting our transport, with a copy of it open, sends nothing to the client."""
        self._socket.pause_reading()
        copy = os.dup(cast("socket.socket", self._socket.get_extra_info("socket")).fileno())
        request = UpgradeRequest(
            room_id,
            connection_id,
            state,
            self._valid.head,
            self._leftover,
            subprotocol,
            self._deadline,
            self._request.remote_address,
        )
        self._answered = True
        self._shard.metrics.handovers_out += 1
        self._socket.abort()
        self._acceptor.hand_over(owner, request, copy)

    # Answers.

    def drain(self) -> None:
        """The server closes: answer 503. A client that has not finished its request does not look for an answer yet."""
        if self._gatherer is None:
            self.refuse(rejection(503, "server is shutting down"))
        else:
            self._shard.at(self._shard.clock() + _LAST_HEAD_S, self._drained)

    def _drained(self, _now: float) -> None:
        self.refuse(rejection(503, "server is shutting down"))

    def _late(self, _now: float) -> None:
        if self._answered:
            return
        if self._gatherer is not None:
            self.refuse(rejection(408, "request timeout"))
        else:
            self.refuse(rejection(503, "the application did not answer in time"))

    def refuse(self, answer: HTTPAnswer) -> None:
        """Answer in HTTP, and let the client read it before the socket ends."""
        if self._answered:
            return
        self._answered = True
        if self._task is not None:
            self._task.cancel()
        if answer.status >= 400:
            self._shard.metrics.upgrades_refused += 1
        socket = self._socket
        if socket.is_closing():
            return
        socket.write(answer.encode())
        if self._held:
            socket.resume_reading()
        if socket.can_write_eof():
            socket.write_eof()
        self._shard.at(self._shard.clock() + _LINGER_S, self._give_up)

    def _give_up(self, now: float) -> None:
        shard = self._shard
        if self._socket.get_write_buffer_size() and now < self._deadline and not shard.closing:
            # A page on its way to a slow network is longer than one line.
            shard.at(now + _LINGER_S, self._give_up)
        else:
            self._socket.abort()


class _Visitor(_Newcomer):
    """A newcomer where an HTTP application is served too: the path in its first line says whose it is."""

    __slots__ = ("_first_bytes",)

    def __init__(self, acceptor: Acceptor) -> None:
        super().__init__(acceptor)
        self._first_bytes: bytes | None = b""

    def data_received(self, data: bytes) -> None:
        if self._first_bytes is not None and not self._answered:
            data = self._first_bytes + data
            path = path_of_first_line(data)
            if path is None:
                self._first_bytes = data
                return
            self._first_bytes = None
            http = self._acceptor.http
            if http is not None and path not in http.paths:
                self._answered = True
                self._acceptor.left(self)
                http.take(self._socket, data)
                return
        super().data_received(data)
