"""`Newcomer`: one accepted connection, from its first byte to its answer.

Made by the acceptor for each connection; or, where an HTTP application is served on the port too, a `Visitor`, since only the
path in its first line says for whom it comes. It gathers the request's head, has it checked and the application asked, in the
order of contract.md §2, and then gives its socket away: to a `Transport` of this shard, to the shard that owns the id, to a
`Refusal`, or to the HTTP application.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine
from socket import socket
from typing import Any, Protocol, cast

from wspulse.actors.accept.http_app import HttpApplication, path_of_first_line
from wspulse.actors.accept.identity import Asking, Identification, Identity
from wspulse.actors.mesh.message import UpgradeRequest
from wspulse.actors.mesh.placement import Placement
from wspulse.actors.sessions.shard import Shard
from wspulse.actors.transport.refusal import Refusal
from wspulse.actors.transport.transport import AHEAD_BYTES, Transport
from wspulse.actors.transport.upgrade import Upgrade
from wspulse.actors.values.request import Request
from wspulse.actors.wire.answer import HTTPAnswer, rejection
from wspulse.actors.wire.handshake import CheckedHead, Pages, check_request, choose_subprotocol, switching_protocols
from wspulse.actors.wire.head import HeadGatherer

__all__ = ["Newcomer", "Visitor"]

_LAST_HEAD_S = 0.5
"""How long a request that is on its way when the server closes may take to be complete."""


class Entrance(Protocol):
    """The acceptor, as a newcomer sees it."""

    shard: Shard
    placement: Placement
    path: str
    pages: Pages
    identification: Identification
    http: HttpApplication | None
    closed: bool
    newcomers: set[Newcomer]

    @property
    def hand_over(self) -> Callable[[int, UpgradeRequest, int], None]:
        """Sends an upgrade with its descriptor, which it then owns, to another shard."""

    @property
    def spawn(self) -> Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]:
        """Runs what the application is asked in a task that its owner keeps."""

    def left(self, newcomer: Newcomer) -> None:
        """It has its answer, or is gone."""


class _Lateness:
    """The deadline of a newcomer, which cannot be cancelled: it lets go of one that has its answer."""

    __slots__ = ("newcomer",)

    def __init__(self, newcomer: Newcomer) -> None:
        self.newcomer: Newcomer | None = newcomer

    def __call__(self, _now: float) -> None:
        if self.newcomer is not None:
            self.newcomer.late()


class Newcomer(asyncio.Protocol):
    """See the module."""

    __slots__ = (
        "_answered",
        "_client",
        "_deadline",
        "_entrance",
        "_gatherer",
        "_head",
        "_held",
        "_lateness",
        "_leftover",
        "_request",
        "_shard",
        "_task",
    )

    def __init__(self, entrance: Entrance) -> None:
        self._entrance = entrance
        self._shard = entrance.shard
        self._gatherer: HeadGatherer | None = HeadGatherer()
        self._leftover = b""
        self._client: asyncio.Transport
        self._request: Request
        self._head: CheckedHead
        self._deadline = 0.0
        self._lateness: _Lateness
        self._task: asyncio.Task[None] | None = None
        self._held = False
        self._answered = False

    # From the loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._client = cast("asyncio.Transport", transport)
        self._entrance.newcomers.add(self)
        self._deadline = self._shard.clock() + self._shard.options.handshake_timeout
        self._lateness = _Lateness(self)
        self._shard.at(self._deadline, self._lateness)
        if self._entrance.closed:
            self.drain()

    def data_received(self, data: bytes) -> None:
        if self._answered:
            return
        gatherer = self._gatherer
        if gatherer is None:
            self._leftover += data
            if len(self._leftover) > AHEAD_BYTES and not self._held:
                self._held = True
                self._client.pause_reading()
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
        self._leave()
        if self._task is not None:
            self._task.cancel()

    # Steps, in the order of contract.md §2.

    def _check(self, head: bytes) -> None:
        entrance = self._entrance
        draining = self._shard.closing or entrance.closed
        checked = check_request(head, path=entrance.path, draining=draining, pages=entrance.pages)
        if isinstance(checked, HTTPAnswer):
            self.refuse(checked)
            return
        self._head = checked
        peer = self._client.get_extra_info("peername")
        address = (peer[0], peer[1]) if isinstance(peer, tuple) and len(peer) >= 2 else None
        self._request = Request.from_head(head, address)
        asking = entrance.identification.asking(self._request)
        try:
            awaitable = next(asking)
        except StopIteration as end:
            result = end.value
        else:
            self._task = entrance.spawn(self._go_on(asking, awaitable))
            return
        self._identified(result)

    async def _go_on(self, asking: Asking, awaitable: Awaitable[Any]) -> None:
        result = await self._entrance.identification.go_on(asking, awaitable, lambda: self._answered)
        self._task = None
        self._identified(result)

    def _identified(self, result: Identity | HTTPAnswer) -> None:
        if isinstance(result, HTTPAnswer):
            self.refuse(result)
            return
        subprotocol = choose_subprotocol(self._shard.options.subprotocols, self._head.offered_subprotocols)
        _, connection_id, _ = result
        owner = self._entrance.placement.shard_of(connection_id)
        if owner == self._shard.index:
            self._become_transport(result, subprotocol)
        else:
            self._hand_over(owner, result, subprotocol)

    def _become_transport(self, identity: Identity, subprotocol: str | None) -> None:
        answer = switching_protocols(self._head.key, subprotocol)
        transport = Transport(self._shard, Upgrade(*identity, self._request, answer, self._deadline))
        if self._leftover:
            transport.keep(self._leftover)
        self._leave()
        self._client.set_protocol(transport)
        transport.connection_made(self._client)

    def _hand_over(self, owner: int, identity: Identity, subprotocol: str | None) -> None:
        """The descriptor travels; aborting our transport, with a copy of it open, sends nothing to the client."""
        self._client.pause_reading()
        copy = os.dup(cast("socket", self._client.get_extra_info("socket")).fileno())
        request = UpgradeRequest(
            *identity,
            self._head.head,
            self._leftover,
            subprotocol,
            self._deadline,
            self._request.remote_address,
        )
        self._leave()
        self._shard.metrics.handovers_out += 1
        self._client.abort()
        self._entrance.hand_over(owner, request, copy)

    # Answers.

    def drain(self) -> None:
        """The server closes: answer 503. A client that has not finished its request does not look for an answer yet."""
        if self._gatherer is None:
            self.refuse(rejection(503, "server is shutting down"))
        else:
            self._shard.at(self._shard.clock() + _LAST_HEAD_S, self._drained)

    def _drained(self, _now: float) -> None:
        self.refuse(rejection(503, "server is shutting down"))

    def late(self) -> None:
        """The time for the upgrade is over."""
        if self._answered:
            return
        if self._gatherer is not None:
            self.refuse(rejection(408, "request timeout"))
        else:
            self.refuse(rejection(503, "the application did not answer in time"))

    def refuse(self, answer: HTTPAnswer) -> None:
        """Answer in HTTP, once."""
        if self._answered:
            return
        self._leave()
        if self._task is not None:
            self._task.cancel()
        if answer.status >= 400:
            self._shard.metrics.upgrades_refused += 1
        if self._held and not self._client.is_closing():
            self._client.resume_reading()
        Refusal(self._shard, answer.encode(), self._deadline).take(self._client)

    def _leave(self) -> None:
        """The socket is another's now, or will be within this step."""
        self._answered = True
        self._lateness.newcomer = None
        self._leftover = b""
        self._entrance.left(self)


class Visitor(Newcomer):
    """A newcomer where an HTTP application is served too: the path in its first line says whose it is."""

    __slots__ = ("_first_bytes",)

    def __init__(self, entrance: Entrance) -> None:
        super().__init__(entrance)
        self._first_bytes: bytes | None = b""

    def data_received(self, data: bytes) -> None:
        if self._first_bytes is not None and not self._answered:
            data = self._first_bytes + data
            path = path_of_first_line(data)
            if path is None:
                self._first_bytes = data
                return
            self._first_bytes = None
            http = self._entrance.http
            if http is not None and path not in http.paths:
                self._leave()
                http.take(self._client, data)
                return
        super().data_received(data)
