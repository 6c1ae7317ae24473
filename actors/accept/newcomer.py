"""`Newcomer`: one accepted connection, from its first byte to its answer.

Made by the acceptor for each connection; or, where an HTTP application is served on the port too, a `Visitor`, since only the
path in its first line says for whom it comes. It gathers the request's head, has it checked and the application asked, in the
order of contract §2, and then gives its socket away: to a `Transport` of this shard, to the shard that owns the id, to a
`Refusal`, or to the HTTP application.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from socket import socket
from typing import Any, Protocol, cast

from wspulse.actors.accept.handover import call_soon
from wspulse.actors.accept.http_app import HttpApplication, path_of_first_line
from wspulse.actors.accept.identity import Asking, Identification, Identity
from wspulse.actors.accept.proxies.trust import TrustedProxies
from wspulse.actors.limits.places import Gate
from wspulse.actors.mesh.message import UpgradeRequest
from wspulse.actors.mesh.placement import Placement
from wspulse.actors.sessions.exact.claims import id_of_owner
from wspulse.actors.sessions.shard import Shard
from wspulse.actors.transport.client import address_of, shut_down
from wspulse.actors.transport.compression.choice import new_transport
from wspulse.actors.transport.limits import AHEAD_BYTES
from wspulse.actors.transport.refusal import Refusal
from wspulse.actors.transport.transport import Transport
from wspulse.actors.transport.upgrade import Upgrade
from wspulse.actors.values.errors import InTransitError
from wspulse.actors.values.health import Health
from wspulse.actors.values.request import Address, Request
from wspulse.actors.wire.answer import HTTPAnswer, rejection
from wspulse.actors.wire.compression.agreement import agreed
from wspulse.actors.wire.handshake import CheckedHead, Pages, check_request, switching_protocols
from wspulse.actors.wire.head import HeadGatherer, NoHTTPError, begins_request
from wspulse.actors.wire.peer import Peer

__all__ = ["Newcomer", "Visitor"]

_LAST_HEAD_S = 0.5
"""How long a request that is on its way when the server closes may take to be complete."""


class Entrance(Protocol):
    """The acceptor, as a newcomer sees it."""

    shard: Shard
    placement: Placement
    path: str
    pages: Pages
    health: Health
    identification: Identification
    gate: Gate | None
    http: HttpApplication | None
    proxies: TrustedProxies | None
    """Whose headers say whom a request comes from."""
    closed: bool
    newcomers: set[Newcomer]

    @property
    def hand_over(self) -> Callable[[int, UpgradeRequest, int], None]:
        """Sends an upgrade with its descriptor, which it then owns, to another shard."""

    @property
    def spawn(self) -> Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]:
        """Runs what the application is asked in a task that its owner keeps."""

    @property
    def took(self) -> Callable[[asyncio.BaseTransport], None]:
        """Is told of each connection."""

    @property
    def opened(self) -> Callable[[int], None]:
        """Is told of each other descriptor that is opened for one."""

    def left(self, newcomer: Newcomer) -> None:
        """It has its answer, or is gone."""


class Newcomer(asyncio.Protocol):
    """See the module. `peer` is whom it comes from, where that is not what the socket says."""

    __slots__ = (
        "_client",
        "_deadline",
        "_entrance",
        "_gatherer",
        "_has_said_all",
        "_head",
        "_held",
        "_leftover",
        "_peer",
        "_request",
        "_shard",
        "_task",
    )

    def __init__(self, entrance: Entrance, peer: Peer | None = None) -> None:
        self._entrance = entrance
        self._shard = entrance.shard
        self._peer = peer
        self._gatherer: HeadGatherer | None = HeadGatherer()
        self._leftover = b""
        self._client: asyncio.Transport | None = None
        self._request: Request | None = None
        self._head: CheckedHead | None = None
        self._deadline = 0.0
        self._task: asyncio.Task[None] | None = None
        self._held = False
        self._has_said_all = False

    # From the loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._client = client = cast("asyncio.Transport", transport)
        self._entrance.newcomers.add(self)
        self._entrance.took(client)
        # It cannot be cancelled, and holds this object for as long as a handshake may take: see `_leave`.
        self._deadline = self._shard.clock() + self._shard.options.handshake_timeout
        self._shard.at(self._deadline, self._late)
        if self._entrance.closed:
            self.drain()

    def data_received(self, data: bytes) -> None:
        client = self._client
        if client is None:
            return
        gatherer = self._gatherer
        if gatherer is None:
            self._leftover += data
            if len(self._leftover) > AHEAD_BYTES and not self._held:
                self._held = True
                client.pause_reading()
            return
        try:
            complete = gatherer.feed(data)
        except HTTPAnswer as answer:
            self.refuse(answer, gatherer.begun or data)
            return
        except NoHTTPError as error:
            self._hang_up(client, error)
            return
        if complete:
            self._gatherer = None
            self._leftover = gatherer.leftover
            self._check(client, gatherer.head)

    def eof_received(self) -> bool:
        """The client has ended its side of the stream. One whose request is complete still reads the answer to it."""
        self._has_said_all = self._client is not None and self._gatherer is None
        return self._has_said_all

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._client is not None:
            shut_down(self._client)
        self._leave()

    # Steps, in the order of contract §2.

    def _check(self, client: asyncio.Transport, head: bytes) -> None:
        entrance = self._entrance
        draining = self._shard.closing or entrance.closed
        checked = check_request(
            head,
            path=entrance.path,
            draining=draining,
            pages=entrance.pages,
            health=entrance.health,
            limit=None if entrance.gate is None else partial(self._admit, entrance.gate, client, head),
        )
        if isinstance(checked, HTTPAnswer):
            self.refuse(checked, head)
            return
        if self._shard.options.compression is not None:
            agreement = agreed(checked.head)
            if isinstance(agreement, HTTPAnswer):
                self.refuse(agreement, checked.head)
                return
            checked.agreement = agreement
        self._head = checked
        peer = self._peer_of(client, head)
        request = self._request = Request(checked.head, peer.address, peer.scheme)
        asking = entrance.identification.asking(request, checked.offered_subprotocols, checked.claim)
        try:
            awaitable = next(asking)
        except StopIteration as end:
            result = end.value
        else:
            self._task = entrance.spawn(self._go_on(asking, awaitable))
            return
        self._identified(result)

    def _admit(self, gate: Gate, client: asyncio.Transport, head: bytes) -> HTTPAnswer | None:
        return gate.admit(self, self._peer_of(client, head).address)

    async def _go_on(self, asking: Asking, awaitable: Awaitable[Any]) -> None:
        result = await self._entrance.identification.go_on(asking, awaitable, lambda: self._client is None)
        self._task = None
        self._identified(result)

    def _identified(self, result: Identity | HTTPAnswer) -> None:
        if isinstance(result, HTTPAnswer):
            self.refuse(result)
            return
        client, head, request = self._client, self._head, self._request
        if client is None or head is None or request is None:
            return
        room_id, connection_id, state, headers, subprotocol, resume, rooms, claim, is_made_up = result
        window_bits, further_headers = head.agreement
        headers += further_headers
        decisive_id = id_of_owner(connection_id, claim)
        owner = self._entrance.placement.final_owner(decisive_id)
        if self._shard.transit is not None and owner == self._shard.seat:
            try:
                owner = self._shard.transit.newcomer_goes_to(decisive_id)
            except InTransitError as in_transit:
                # A moment, unless the handshake's deadline comes first.
                in_transit.wait(partial(call_soon, self._shard, self._identified, result))
                return
        if owner == self._shard.seat:
            answer = switching_protocols(head.key, subprotocol, headers)
            upgrade = Upgrade(
                room_id,
                connection_id,
                state,
                request,
                answer,
                self._deadline,
                subprotocol,
                resume,
                rooms,
                claim,
                window_bits,
                is_made_up,
            )
            self._become(client, new_transport(self._shard, upgrade))
        else:
            handover = UpgradeRequest(
                room_id,
                connection_id,
                state,
                head.head,
                self._leftover,
                subprotocol,
                self._deadline + self._shard.clock.behind_s,
                request.remote_address,
                headers,
                resume,
                rooms,
                claim,
                request.scheme,
                client.get_extra_info("socket").family,
                window_bits,
            )
            self._hand_over(client, owner, handover)

    def _become(self, client: asyncio.Transport, transport: Transport) -> None:
        if self._leftover:
            transport.keep(self._leftover)
        if self._shard.places is not None:
            self._shard.places.pass_on(self, transport)
        self._leave()
        client.set_protocol(transport)
        if self._has_said_all:
            self._read_on(client)
        transport.connection_made(client)

    def _hand_over(self, client: asyncio.Transport, owner: int, upgrade: UpgradeRequest) -> None:
        """The descriptor travels; aborting our transport, with a copy of it open, sends nothing to the client."""
        try:
            copy = os.dup(cast("socket", client.get_extra_info("socket")).fileno())
        except OSError:
            self.refuse(rejection(503, "too many connections"))
            return
        self._entrance.opened(copy)
        client.pause_reading()
        self._leave()
        self._shard.metrics.handovers_out += 1
        client.abort()
        self._entrance.hand_over(owner, upgrade, copy)

    # Answers.

    @property
    def has_asked(self) -> bool:
        """Whether its request is complete, and not answered."""
        return self._request is not None

    def drain(self) -> None:
        """The server closes: answer 503. A client that has not finished its request does not look for an answer yet."""
        if self._gatherer is None:
            self.refuse(rejection(503, "server is shutting down"))
        else:
            self._shard.at(self._shard.clock() + _LAST_HEAD_S, self._drained)

    def _drained(self, _now: float) -> None:
        self.refuse(rejection(503, "server is shutting down"))

    def _late(self, _now: float) -> None:
        if self._client is None:
            return
        if self._gatherer is not None:
            self.refuse(rejection(408, "request timeout"))
        else:
            self.refuse(rejection(503, "the application did not answer in time"))

    def refuse(self, answer: HTTPAnswer, head: bytes = b"") -> None:
        """Answer in HTTP, once."""
        client = self._client
        if client is None:
            return
        if answer.is_refusal:
            head = self._request.head if self._request is not None else head or self._begun
            self._shard.journal.refused(answer, head, self._address(client, head))
        self._leave()
        if self._held and not client.is_closing():
            client.resume_reading()
        if self._has_said_all:
            self._read_on(client)
        Refusal(self._shard, answer.encode(), self._deadline).take(client)

    def _hang_up(self, client: asyncio.Transport, error: NoHTTPError) -> None:
        """Whoever it is would not understand an answer."""
        self._shard.journal.no_http(error.is_tls, self._address(client, b""))
        self._leave()
        shut_down(client)
        client.abort()

    def _address(self, client: asyncio.Transport, head: bytes) -> Address | None:
        """Whose it is, for the operator."""
        if self._request is not None:
            return self._request.remote_address
        return self._peer_of(client, head).address

    def _peer_of(self, client: asyncio.Transport, head: bytes) -> Peer:
        peer = self._peer or Peer(address_of(client))
        proxies = self._entrance.proxies
        return peer if proxies is None else proxies.seen(head, peer)

    @property
    def _begun(self) -> bytes:
        """What has come of a head that is not complete."""
        return self._gatherer.begun if self._gatherer is not None else b""

    def _read_on(self, client: asyncio.Transport) -> None:
        """The loop has told us that the client says nothing more: have it tell whoever has the socket next."""
        if not client.is_closing():
            client.pause_reading()
            client.resume_reading()

    def _leave(self) -> None:
        """The socket is another's now, or will be within this step. What is left is an empty object, for its deadline."""
        self._client = self._gatherer = self._request = self._head = None
        self._leftover = b""
        if self._task is not None:
            self._task.cancel()
            self._task = None
        self._entrance.left(self)


class Visitor(Newcomer):
    """A newcomer where an HTTP application is served too: the path in its first line says whose it is."""

    __slots__ = ("_first_bytes",)

    def __init__(self, entrance: Entrance, peer: Peer | None = None) -> None:
        super().__init__(entrance, peer)
        self._first_bytes: bytes | None = b""

    def data_received(self, data: bytes) -> None:
        client = self._client
        if self._first_bytes is not None and client is not None:
            data = self._first_bytes + data
            is_request = begins_request(data)
            path = path_of_first_line(data) if is_request else ""
            if path is None:
                self._first_bytes = data
                return
            self._first_bytes = None
            http = self._entrance.http
            if http is not None and path not in http.paths and is_request:
                self._leave()
                http.take(client, data, self._deadline - self._shard.clock(), self._peer)
                return
        super().data_received(data)

    def _leave(self) -> None:
        self._first_bytes = None
        super()._leave()
