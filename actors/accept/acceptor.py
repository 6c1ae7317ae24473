"""`Acceptor`: takes connections from the listening socket that all workers share.

One per worker, created by the runtime. Each connection is a `Newcomer` until it has its answer: no session exists and no
callback but `connect` and `check_origin` runs before that. (contract.md §2)
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from socket import socket
from typing import Any

from wspulse.actors.accept.http_app import HttpApplication
from wspulse.actors.accept.identity import Identification
from wspulse.actors.accept.listening import Listening
from wspulse.actors.accept.newcomer import Newcomer, Visitor, address_of
from wspulse.actors.mesh.message import UpgradeRequest
from wspulse.actors.mesh.placement import Placement
from wspulse.actors.sessions.shard import Shard
from wspulse.actors.transport.refusal import Refusal
from wspulse.actors.values.health import Health
from wspulse.actors.values.request import Request
from wspulse.actors.wire.answer import HTTPAnswer, rejection
from wspulse.actors.wire.handshake import Pages, check_request

__all__ = ["Acceptor"]


class Acceptor:
    """Accepts for one shard. `hand_over` sends an upgrade with its descriptor, which it then owns, to another shard; `spawn` runs
    what the application is asked in a task that its owner keeps."""

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
    ) -> None:
        self.shard = shard
        self.placement = placement
        self.path = path
        self.pages = pages
        self.health = health
        self.identification = Identification(shard, placement, connect)
        self.hand_over = hand_over
        self.http: HttpApplication | None = None
        """Who serves what is not for us, where there is one."""
        self.newcomers: set[Newcomer] = set()
        self.took: Callable[[asyncio.BaseTransport], None] = _unnoticed
        self.opened: Callable[[int], None] = _unnoticed
        self.spawn = spawn
        self.closed = False
        self._listener: socket | None = None
        self._listening: Listening | None = None
        self._gone: asyncio.Event = asyncio.Event()

    async def open(self, listener: socket) -> None:
        """Accept from `listener`, which stays the caller's."""
        await self._listen(listener).open()

    def _listen(self, listener: socket) -> Listening:
        greet = self.newcomer if self.http is None else partial(Visitor, self)
        listening = Listening(listener, greet, self.spawn, self.shard.options.logger)
        self._listener, self._listening = listener, listening
        self.took, self.opened = listening.took, listening.opened
        return listening

    def newcomer(self) -> asyncio.Protocol:
        """The protocol of a connection whose first request is for this server."""
        return Newcomer(self)

    def answer(self, request: Request) -> bytes:
        """What a request for one of our paths is answered that is no upgrade."""
        draining = self.shard.closing or self.closed
        checked = check_request(request.head, path=self.path, draining=draining, pages=self.pages, health=self.health)
        answer = checked if isinstance(checked, HTTPAnswer) else rejection(400, "an upgrade is needed here")
        if answer.is_refusal:
            self.shard.journal.refused(answer, request.head, request.remote_address)
        return answer.encode()

    def refuse(self, client: asyncio.Transport, answer: HTTPAnswer) -> None:
        """Have a client of the HTTP application told no."""
        self.shard.journal.refused(answer, None, address_of(client))
        deadline = self.shard.clock() + self.shard.options.handshake_timeout
        Refusal(self.shard, answer.encode(), deadline).take(client)

    def listen_no_more(self) -> None:
        """Accept nobody else. Those who are here are let in, here or elsewhere."""
        if self._listening is not None:
            self._listening.close()
            self._listening = None

    def listen_again(self) -> None:
        """Accept as before, as soon as there are descriptors for it."""
        if self._listener is not None and self._listening is None and not self.closed:
            self._listen(self._listener).begin()

    async def decided(self) -> None:
        """Wait until all who have asked to be let in know where they are."""
        while any(newcomer.has_asked for newcomer in self.newcomers):
            self._gone.clear()
            await self._gone.wait()

    def close(self) -> None:
        """Accept no more, and answer 503 to those that are not yet upgraded."""
        self.listen_no_more()
        self.closed = self.shard.journal.is_ending = True
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
        self._gone.set()


def _unnoticed(_what: object) -> None:
    """Nothing is accepted here."""
