"""`Handovers`: descriptors on their way between the worker that accepted them and the shard that owns the connection id.

One per runtime. It sends them over the links, builds this shard's transports on those that come, and answers 503 for those
that nobody took in time.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from wspulse.actors.mesh.link import ShardLink
from wspulse.actors.mesh.message import UpgradeRequest
from wspulse.actors.sessions.shard import Shard
from wspulse.actors.transport.transport import Transport
from wspulse.actors.transport.upgrade import Upgrade
from wspulse.actors.values.request import Request
from wspulse.actors.wire.answer import rejection
from wspulse.actors.wire.handshake import key_of, switching_protocols

__all__ = ["Handovers"]

_LINGER_S = 1.0
"""How long a client has to read that its shard is not available: closing at once would reset what it has not read yet."""


class Handovers:
    """See the module. `links` may grow until the first handover."""

    def __init__(self, shard: Shard, links: Mapping[int, ShardLink]) -> None:
        self._shard = shard
        self._links = links
        self._refused: dict[socket.socket, asyncio.TimerHandle] = {}

    def hand_over(self, owner: int, request: UpgradeRequest, fd: int) -> None:
        """Send an upgrade with its descriptor, which is ours from now on, to another shard."""
        self._links[owner].hand_over(request, fd, self._nobody_took_it)

    def take_over(self, request: UpgradeRequest, fd: int) -> None:
        """Admit an upgrade that another worker accepted. Owns `fd`."""
        self._shard.metrics.handovers_in += 1
        _take_over(self._shard, request, fd)

    def close(self) -> None:
        """Let go of the clients that are being refused. The links are closed before."""
        for sock in list(self._refused):
            self._let_go(sock)

    def _nobody_took_it(self, fd: int) -> None:
        """The owner of the id did not come up in time."""
        self._shard.metrics.upgrades_refused += 1
        sock = socket.socket(fileno=fd)
        sock.setblocking(False)
        try:
            sock.send(rejection(503, "the shard of this connection id is not available").encode())
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            sock.close()
            return
        self._refused[sock] = self._shard.loop.call_later(_LINGER_S, self._let_go, sock)

    def _let_go(self, sock: socket.socket) -> None:
        self._refused.pop(sock).cancel()
        sock.close()


def _take_over(shard: Shard, request: UpgradeRequest, fd: int) -> None:
    """Build this shard's own transport on the descriptor; it admits itself in the next turn. Owns `fd`.

    No task of its own: the loop's coroutine has done all but wait for `connection_made` when it first gives way. A task begins
    one turn later, and hears of the transport another turn later.
    """
    sock = _tcp_socket(fd, request.remote_address)
    upgrade = Upgrade(
        request.room_id,
        request.connection_id,
        request.state,
        Request.from_head(request.head, request.remote_address),
        switching_protocols(key_of(request.head), request.subprotocol),
        request.deadline,
    )
    transport = Transport(shard, upgrade)
    if request.leftover:
        # Before the loop reads anything newer.
        transport.keep(request.leftover)
    opening = shard.loop.connect_accepted_socket(lambda: transport, sock)
    try:
        opened: asyncio.Future[None] = opening.send(None)
    except OSError:
        sock.close()
        return
    opened.add_done_callback(partial(_end, opening))


def _end(opening: Coroutine[Any, Any, Any], _opened: asyncio.Future[None]) -> None:
    """Let the coroutine return; what it gives back is known."""
    with suppress(StopIteration):
        opening.send(None)


def _tcp_socket(fd: int, remote_address: tuple[str, int] | None) -> socket.socket:
    """The descriptor as a socket, without asking the kernel what we know."""
    if remote_address is None:
        sock = socket.socket(fileno=fd)
    else:
        family = socket.AF_INET6 if ":" in remote_address[0] else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, fileno=fd)
    sock.setblocking(False)
    return sock
