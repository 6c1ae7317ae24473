"""`Handovers`: descriptors on their way between the worker that accepted them and the shard that owns the connection id.

One per runtime. It sends them over the links, builds this shard's transports on those that come, and answers 503 for those
that nobody took in time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from functools import partial
from socket import AF_INET, AF_INET6, IPPROTO_TCP, SHUT_RDWR, SOCK_STREAM, socket
from typing import Any

from wspulse.actors.mesh.link import ShardLink
from wspulse.actors.mesh.message import UpgradeRequest
from wspulse.actors.sessions.shard import Shard
from wspulse.actors.transport.refusal import Refusal
from wspulse.actors.transport.transport import Transport
from wspulse.actors.transport.upgrade import Upgrade
from wspulse.actors.values.request import Request
from wspulse.actors.wire.answer import rejection
from wspulse.actors.wire.handshake import key_of, switching_protocols

__all__ = ["Handovers"]


class Handovers:
    """See the module. `links` may grow until the first handover."""

    def __init__(self, shard: Shard, links: Mapping[int, ShardLink]) -> None:
        self._shard = shard
        self._links = links

    def hand_over(self, owner: int, request: UpgradeRequest, fd: int) -> None:
        """Send an upgrade with its descriptor, which is ours from now on, to another shard."""
        self._links[owner].hand_over(request, fd, partial(self._nobody_took_it, request))

    def take_over(self, request: UpgradeRequest, fd: int) -> None:
        """Admit an upgrade that another worker accepted. Owns `fd`, also where it raises."""
        self._shard.metrics.handovers_in += 1
        client = _tcp_socket(fd, request.remote_address)
        try:
            _take_over(self._shard, request, client)
        except BaseException:
            client.close()
            raise

    def _nobody_took_it(self, request: UpgradeRequest, fd: int) -> None:
        """The owner of the id did not come up in time."""
        shard = self._shard
        refusal = rejection(503, "the shard of this connection id is not available")
        shard.journal.refused(refusal, request.head, request.remote_address, request.connection_id)
        answer = refusal.encode()
        client = _tcp_socket(fd, request.remote_address)
        if shard.aborting:
            # The worker ends: nobody would wait for the client to read it.
            with suppress(OSError):
                client.send(answer)
            _close(client)
            return
        _open(shard.loop, client, Refusal(shard, answer, request.deadline - shard.clock.behind_s))


def _take_over(shard: Shard, request: UpgradeRequest, client: socket) -> None:
    """Build this shard's own transport on the socket; it admits itself in the next turn."""
    upgrade = Upgrade(
        request.room_id,
        request.connection_id,
        request.state,
        Request.from_head(request.head, request.remote_address),
        switching_protocols(key_of(request.head), request.subprotocol, request.headers),
        request.deadline - shard.clock.behind_s,
        request.subprotocol,
        request.resume,
        request.rooms,
        request.claim,
    )
    transport = Transport(shard, upgrade)
    if request.leftover:
        # Before the loop reads anything newer.
        transport.keep(request.leftover)
    _open(shard.loop, client, transport)


def _open(loop: asyncio.AbstractEventLoop, client: socket, protocol: asyncio.Protocol) -> None:
    """Give a socket to a protocol.

    No task of its own: the loop's coroutine has done all but wait for `connection_made` when it first gives way. A task begins
    one turn later, and hears of the transport another turn later.
    """
    opening = loop.connect_accepted_socket(lambda: protocol, client)
    try:
        opened: asyncio.Future[None] = opening.send(None)
    except OSError:
        _close(client)
        return
    opened.add_done_callback(partial(_end, opening))


def _close(client: socket) -> None:
    """For good: the client sees the end, whoever else has the descriptor."""
    with suppress(OSError):
        client.shutdown(SHUT_RDWR)
    client.close()


def _end(opening: Coroutine[Any, Any, Any], _opened: asyncio.Future[None]) -> None:
    """Let the coroutine return; what it gives back is known."""
    with suppress(StopIteration):
        opening.send(None)


def _tcp_socket(fd: int, remote_address: tuple[str, int] | None) -> socket:
    """The descriptor as a socket, without asking the kernel what we know."""
    if remote_address is None:
        client = socket(fileno=fd)
    else:
        family = AF_INET6 if ":" in remote_address[0] else AF_INET
        client = socket(family, SOCK_STREAM, IPPROTO_TCP, fileno=fd)
    client.setblocking(False)
    return client
