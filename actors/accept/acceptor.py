"""`Acceptor`: takes connections from the listening sockets that all workers share.

One per worker, created by the runtime. Each connection is a `Newcomer` until it has its answer: no session exists and no
callback but `connect` and `check_origin` runs before that. (contract §2)
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from time import monotonic
from typing import Any

from wspulse.actors.accept.http_app import HttpApplication
from wspulse.actors.accept.identity import Identification
from wspulse.actors.accept.listener import Introduction, Listener
from wspulse.actors.accept.listening import Listening
from wspulse.actors.accept.listenings import Listenings
from wspulse.actors.accept.newcomer import Newcomer, Visitor
from wspulse.actors.accept.proxies.introduced import Introduced
from wspulse.actors.accept.proxies.trust import TrustedProxies
from wspulse.actors.limits.accept_rate import AcceptRate
from wspulse.actors.limits.places import Gate
from wspulse.actors.mesh.message import UpgradeRequest
from wspulse.actors.mesh.placement import Placement
from wspulse.actors.sessions.shard import Shard
from wspulse.actors.transport.client import address_of
from wspulse.actors.transport.refusal import Refusal
from wspulse.actors.values.health import Health
from wspulse.actors.values.request import Address, Request
from wspulse.actors.wire.answer import HTTPAnswer, rejection
from wspulse.actors.wire.handshake import Pages, check_request
from wspulse.actors.wire.peer import Peer

__all__ = ["Acceptor"]

_NOBODY = TrustedProxies()

_REQUEST_S = 2.0
"""How long a process that leaves awaits requests of connections that it has accepted. Clients write theirs at once; what stays
silent is a probe, or a browser's spare connection."""

_TERMINATOR_KERNEL_BYTES = 16 * 1024
"""What the kernel holds between us and a terminator is hidden from the bounds of a slow client: 300 KB by default, 100 so."""


class Acceptor:
    """Accepts for one shard. `hand_over` sends an upgrade with its descriptor, which it then owns, to another shard; `spawn` runs
    what the application is asked in a task that its owner keeps; `trust` says whose word counts for where a client is."""

    def __init__(
        self,
        shard: Shard,
        placement: Placement,
        *,
        path: str,
        pages: Pages,
        health: Health,
        connect: Callable[[Request], Any],
        hand_over: Callable[[int, UpgradeRequest, int], None],
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
        trust: TrustedProxies = _NOBODY,
    ) -> None:
        self.shard = shard
        self.placement = placement
        self.path = path
        self.pages = pages
        self.health = health
        self.identification = Identification(shard, placement, connect)
        self.hand_over = hand_over
        self.gate: Gate | None = shard.places
        """Asked before `connect`, if there is a limit."""
        self.http: HttpApplication | None = None
        """Serves the requests that are not for us, if there is an HTTP application."""
        self.newcomers: set[Newcomer] = set()
        self.introduced: set[Introduced] = set()
        """Those of whom a proxy has yet to say where they come from."""
        self.trust = trust
        self.proxies = trust if trust.reads_headers else None
        self.took: Callable[[asyncio.BaseTransport], None] = _unnoticed
        self.opened: Callable[[int], None] = _unnoticed
        self.spawn = spawn
        self.closed = False
        self._listeners: Sequence[Listener] = ()
        self._listenings: Listenings | None = None
        self._gone: asyncio.Event = asyncio.Event()

    async def open(self, listeners: Sequence[Listener]) -> None:
        """Accept from `listeners`, which stay the caller's."""
        await self._listen(listeners).open()

    def _listen(self, listeners: Sequence[Listener]) -> Listenings:
        self._listeners = listeners
        self._listenings = listenings = Listenings([self._listening(each) for each in listeners])
        self.took, self.opened = listenings.took, listenings.opened
        if self.shard.options.accept_rate:
            self.took = AcceptRate(listenings, self._accept_share, self.shard.journal.accepts_limited, monotonic).took
        return listenings

    def _listening(self, listener: Listener) -> Listening:
        greet: Callable[..., asyncio.Protocol] = partial(Newcomer if self.http is None else Visitor, self)
        if listener.introduction is not Introduction.NONE:
            is_ours = listener.introduction is Introduction.TERMINATOR
            greet = partial(
                Introduced,
                self,
                _everybody if is_ours else self.trust.trusts,
                greet,
                _TERMINATOR_KERNEL_BYTES if is_ours else 0,
            )
        return Listening(listener.sock, greet, self.spawn, self.shard.options.logger)

    def _accept_share(self) -> float:
        return self.shard.options.accept_rate / self.placement.shards

    def newcomer(self, peer: Peer | None = None) -> asyncio.Protocol:
        """The protocol of a connection whose first request is for this server."""
        return Newcomer(self, peer)

    def answer(self, request: Request) -> bytes:
        """The answer to a request for one of our paths that is not an upgrade."""
        draining = self.shard.closing or self.closed
        checked = check_request(request.head, path=self.path, draining=draining, pages=self.pages, health=self.health)
        answer = checked if isinstance(checked, HTTPAnswer) else rejection(400, "a WebSocket upgrade is required here")
        if answer.is_refusal:
            self.shard.journal.refused(answer, request.head, request.remote_address)
        return answer.encode()

    def refuse(self, client: asyncio.Transport, answer: HTTPAnswer) -> None:
        """Have a client of the HTTP application told no."""
        peer: Peer | None = getattr(client.get_protocol(), "peer", None)
        self.shard.journal.refused(answer, None, address_of(client) if peer is None else peer.address)
        deadline = self.shard.clock() + self.shard.options.handshake_timeout
        Refusal(self.shard, answer.encode(), deadline).take(client)

    def listen_no_more(self) -> None:
        """Accept nobody else. Those who are here are let in, here or elsewhere."""
        if self._listenings is not None:
            self._listenings.close()
            self._listenings = None

    def listen_again(self) -> None:
        """Accept as before, as soon as there are descriptors for it."""
        if self._listenings is None and self._listeners and not self.closed:
            self._listen(self._listeners).begin()

    async def decided(self) -> None:
        """Wait until all who have asked to be let in know where they are. A request that has yet to come is awaited for a moment,
        since others go on serving, and who asks after that is refused."""
        shard = self.shard
        until = shard.clock() + _REQUEST_S
        shard.at(until, self._waited)
        while any(newcomer.has_asked for newcomer in self.newcomers) or (
            (self.newcomers or self.introduced) and shard.clock() < until
        ):
            self._gone.clear()
            await self._gone.wait()

    def _waited(self, _now: float) -> None:
        self._gone.set()

    def close(self) -> None:
        """Accept no more, and answer 503 to those that are not yet upgraded."""
        self.listen_no_more()
        self.closed = self.shard.journal.is_ending = True
        for introduced in list(self.introduced):
            introduced.drop()
        for newcomer in list(self.newcomers):
            newcomer.drain()

    async def quiet(self) -> None:
        """Wait until every newcomer has its answer, after `close`: half a second at most, since a request is not awaited for
        longer. Refusals are the shard's to wait for."""
        while self.newcomers:
            self._gone.clear()
            await self._gone.wait()

    def left(self, newcomer: Newcomer) -> None:
        self.newcomers.discard(newcomer)
        if self.shard.places is not None:
            self.shard.places.leave(newcomer)
        self._gone.set()


def _everybody(_address: Address | None) -> bool:
    """Nobody else can connect there."""
    return True


def _unnoticed(_what: object) -> None:
    """Nothing is accepted here."""
