"""`Introduced`: a connection that begins with a PROXY protocol header, until that has come.

Made by the acceptor for each connection of a listener that asks for such headers. It gives its socket away, with what the header
says: to a newcomer. Whoever is not trusted, or begins otherwise, is cut off: a proxy would not understand an answer in HTTP.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from socket import SO_SNDBUF, SOL_SOCKET
from typing import Protocol, cast

from wspulse.actors.sessions.shard import Shard
from wspulse.actors.transport.client import address_of, shut_down
from wspulse.actors.values.request import Address
from wspulse.actors.wire.peer import Peer
from wspulse.actors.wire.proxy_header import NoProxyHeaderError, ProxyHeaderGatherer

__all__ = ["Introduced"]


class Entrance(Protocol):
    """The acceptor, as it is needed here."""

    shard: Shard
    introduced: set[Introduced]
    closed: bool


class Introduced(asyncio.Protocol):
    """See the module. `trusts` says whether the socket's peer may speak for others; `greet` makes the newcomer. `kernel_bytes`:
    how much the kernel may hold for the peer, where that is not its own choice."""

    __slots__ = ("_client", "_entrance", "_gatherer", "_greet", "_kernel_bytes", "_own", "_trusts")

    def __init__(
        self,
        entrance: Entrance,
        trusts: Callable[[Address | None], bool],
        greet: Callable[[Peer], asyncio.Protocol],
        kernel_bytes: int = 0,
    ) -> None:
        self._entrance = entrance
        self._trusts = trusts
        self._greet = greet
        self._kernel_bytes = kernel_bytes
        self._gatherer = ProxyHeaderGatherer()
        self._client: asyncio.Transport | None = None
        self._own: Address | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._client = client = cast("asyncio.Transport", transport)
        self._own = address_of(client)
        if not self._trusts(self._own):
            self._cut_off("the sender is not a trusted proxy")
            return
        if self._entrance.closed:
            self.drop()
            return
        if self._kernel_bytes:
            client.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_SNDBUF, self._kernel_bytes)
        self._entrance.introduced.add(self)
        shard = self._entrance.shard
        shard.at(shard.clock() + shard.options.handshake_timeout, self._late)

    def data_received(self, data: bytes) -> None:
        client = self._client
        if client is None:
            return
        try:
            if not self._gatherer.feed(data):
                return
        except NoProxyHeaderError as error:
            self._cut_off(str(error))
            return
        self._leave()
        newcomer = self._greet(self._gatherer.peer or Peer(self._own))
        client.set_protocol(newcomer)
        newcomer.connection_made(client)
        if self._gatherer.leftover:
            newcomer.data_received(self._gatherer.leftover)

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._client is not None:
            shut_down(self._client)
        self._leave()

    def drop(self) -> None:
        """The server closes, and whoever it is has not said a word."""
        client = self._client
        self._leave()
        if client is not None:
            shut_down(client)
            client.abort()

    def _late(self, _now: float) -> None:
        if self._client is not None:
            self._cut_off("it did not arrive in time")

    def _cut_off(self, reason: str) -> None:
        if self._client is not None:
            self._entrance.shard.journal.not_introduced(reason, self._own)
            self.drop()

    def _leave(self) -> None:
        self._client = None
        self._entrance.introduced.discard(self)
