"""`Handovers`: descriptors on their way between the worker that accepted them and the shard that owns the connection id.

One per runtime. It sends them over the links, builds this shard's transports on those that come, and answers 503 for those
that nobody took in time.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from socket import socket

from wspulse.actors.mesh.link import ShardLink
from wspulse.actors.mesh.message import UpgradeRequest
from wspulse.actors.sessions.shard import Shard
from wspulse.actors.transport.refusal import Refusal
from wspulse.actors.transport.transfer.opening import close_for_good, open_transport, tcp_socket
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
        client = tcp_socket(fd, request.remote_address)
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
        client = tcp_socket(fd, request.remote_address)
        if shard.aborting:
            # The worker ends: nobody would wait for the client to read it.
            with suppress(OSError):
                client.send(answer)
            close_for_good(client)
            return
        open_transport(shard.loop, client, Refusal(shard, answer, request.deadline - shard.clock.behind_s))


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
    open_transport(shard.loop, client, transport)
