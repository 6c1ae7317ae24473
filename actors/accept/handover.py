"""`Handovers`: descriptors on their way between the worker that accepted them and the shard that owns the connection id.

One per runtime. It sends them over the links, builds this shard's transports on those that come, sends on what comes for an id
whose newcomers are another's while sessions move, and answers 503 for those that nobody took in time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from socket import socket
from time import monotonic

from wspulse.actors.mesh.link import ShardLink
from wspulse.actors.mesh.mailbox import HANDOVER_MARGIN_S
from wspulse.actors.mesh.message import UpgradeRequest
from wspulse.actors.mesh.placement import Placement
from wspulse.actors.mesh.placing.former_slots import FormerSlots
from wspulse.actors.sessions.exact.claims import id_of_owner
from wspulse.actors.sessions.shard import Shard
from wspulse.actors.transport.compression.choice import new_transport
from wspulse.actors.transport.refusal import Refusal
from wspulse.actors.transport.transfer.opening import close_for_good, open_transport, stream_socket
from wspulse.actors.transport.upgrade import Upgrade
from wspulse.actors.values.errors import InTransitError
from wspulse.actors.values.request import Request
from wspulse.actors.wire.answer import rejection
from wspulse.actors.wire.handshake import key_of, switching_protocols

__all__ = ["Handovers", "call_soon"]


class Handovers:
    """See the module. `links` are those to other processes by seat, and may grow and shrink."""

    def __init__(self, shard: Shard, placement: Placement, former: FormerSlots, links: Mapping[int, ShardLink]) -> None:
        self._shard = shard
        self._placement = placement
        self._former = former
        self._links = links
        self._in_transit: dict[int, UpgradeRequest] = {}
        """Descriptors whose id is between two processes."""

    def close(self) -> None:
        """Refuse those that still wait to know where they belong."""
        while self._in_transit:
            fd, request = self._in_transit.popitem()
            self._nobody_took_it(request, fd)

    def hand_over(self, owner: int, request: UpgradeRequest, fd: int) -> None:
        """Send an upgrade with its descriptor, which is ours from now on, to another seat."""
        link = self._links.get(owner)
        if link is None:
            self._nobody_took_it(request, fd)
        else:
            link.hand_over(request, fd, partial(self._given_back, owner, request))

    def take_over(self, request: UpgradeRequest, fd: int) -> None:
        """Admit an upgrade that another worker accepted, or send it on. Owns `fd`, also where it raises."""
        self._shard.metrics.handovers_in += 1
        self._take_or_send_on(request, fd)

    def _take_or_send_on(self, request: UpgradeRequest, fd: int) -> None:
        try:
            decisive_id = id_of_owner(request.connection_id, request.claim)
            seat = self._seat_of_newcomer(decisive_id)
        except InTransitError as in_transit:
            self._in_transit[fd] = request
            in_transit.wait(partial(call_soon, self._shard, self._is_known, request, fd))
            return
        if seat != self._shard.seat:
            self._shard.metrics.handovers_out += 1
            self.hand_over(seat, request, fd)
            return
        client = stream_socket(fd, request.family)
        try:
            _take_over(self._shard, request, client)
        except BaseException:
            client.close()
            raise

    def _seat_of_newcomer(self, connection_id: str) -> int:
        """Which seat decides about a newcomer that was sent here. Raises InTransitError.

        Not the table: while sessions move, whoever has the id still, or to whom it goes, decides; and who sent it here may go by
        a table that we do not know yet, or not know ours.
        """
        transit = self._shard.transit
        if transit is not None:
            return transit.newcomer_goes_to(connection_id)
        owner = self._former.owner_of(connection_id)
        return self._shard.seat if owner is None else owner

    def _is_known(self, request: UpgradeRequest, fd: int) -> None:
        if self._in_transit.get(fd) is not request:
            return
        del self._in_transit[fd]
        if monotonic() >= request.deadline:
            self._nobody_took_it(request, fd)
        else:
            self._take_or_send_on(request, fd)

    def _given_back(self, seat: int, request: UpgradeRequest, fd: int) -> None:
        """Nobody took it in time at that seat, or nobody is there any more: then the owner may be another."""
        owner = self._placement.final_owner(id_of_owner(request.connection_id, request.claim))
        if owner == seat or monotonic() >= request.deadline - HANDOVER_MARGIN_S:
            self._nobody_took_it(request, fd)
        elif owner == self._shard.seat:
            self._take_or_send_on(request, fd)
        else:
            self.hand_over(owner, request, fd)

    def _nobody_took_it(self, request: UpgradeRequest, fd: int) -> None:
        """The owner of the id did not come up in time."""
        shard = self._shard
        refusal = rejection(503, "the shard of this connection id is not available")
        shard.journal.refused(refusal, request.head, request.remote_address, request.connection_id)
        answer = refusal.encode()
        client = stream_socket(fd, request.family)
        if shard.aborting:
            # The worker ends: nobody would wait for the client to read it.
            with suppress(OSError):
                client.send(answer)
            close_for_good(client)
            return
        open_transport(shard.loop, client, Refusal(shard, answer, request.deadline - shard.clock.behind_s))


def call_soon(shard: Shard, call: Callable[..., object], *arguments: object) -> None:
    """From the loop, which takes what it raises."""
    shard.loop.call_soon(call, *arguments, context=shard.context)


def _take_over(shard: Shard, request: UpgradeRequest, client: socket) -> None:
    """Build this shard's own transport on the socket; it admits itself in the next turn."""
    upgrade = Upgrade(
        request.room_id,
        request.connection_id,
        request.state,
        Request.from_head(request.head, request.remote_address, request.scheme),
        switching_protocols(key_of(request.head), request.subprotocol, request.headers),
        request.deadline - shard.clock.behind_s,
        request.subprotocol,
        request.resume,
        request.rooms,
        request.claim,
        request.window_bits,
    )
    transport = new_transport(shard, upgrade)
    if shard.places is not None and (refusal := shard.places.admit(transport, request.remote_address)) is not None:
        # Another has come between its count in the process that accepted it and this one.
        shard.journal.refused(refusal, request.head, request.remote_address, request.connection_id)
        open_transport(shard.loop, client, Refusal(shard, refusal.encode(), upgrade.deadline))
        return
    if request.leftover:
        # Before the loop reads anything newer.
        transport.keep(request.leftover)
    coming = shard.admission.coming
    # From here on this shard decides about its id: a session of it does not move away.
    coming.add(transport)
    if not open_transport(shard.loop, client, transport):
        coming.discard(transport)
        if shard.places is not None:
            shard.places.leave(transport)
