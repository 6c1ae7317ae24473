"""The places that connections have in a simulated server, and that each connection has one, from its admission to its end."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

from tests.support.simulation.model.frames import CONNECTED
from wspulse.actors.limits.counts import Counts
from wspulse.actors.limits.places import Places

if TYPE_CHECKING:
    from tests.support.simulation.model.model import Model
    from tests.support.simulation.outside.peer import SimPeer
    from wspulse.actors.sessions.shard import Shard

__all__ = ["check_places", "check_places_at_rest", "give_places"]

_MANY = 1_000_000


class _Counts:
    """Of one process, which is all that is counted here."""

    def __init__(self) -> None:
        self.own = 0

    def add(self, _key: int) -> None:
        self.own += 1

    def remove(self, _key: int) -> None:
        self.own -= 1


def give_places(shard: Shard) -> None:
    """Have a shard count its connections, as one does whose server has a limit."""
    counts = cast("Counts", _Counts())
    shard.places = Places(counts, shard.metrics, max_connections=_MANY, max_connections_per_address=0)


def check_places(model: Model, shards: Iterable[Shard]) -> None:
    """At any moment: nobody is connected without a place, be it on the way between two processes."""
    held = sum(shard.places.held for shard in shards if shard.places is not None)
    connected = sum(session.state is CONNECTED for session in model.live.values())
    if held < connected:
        model.fail(f"{connected} sessions have connections, and {held} have places")


def check_places_at_rest(model: Model, shard: Shard, peers: Iterable[SimPeer]) -> None:
    """Nobody is on the way: each socket has one place, and nobody else has."""
    assert shard.places is not None
    transports = (peer.transport for peer in peers)
    are_open = sum(each.shard is shard and each._client is not None for each in transports)
    if shard.places.held != are_open or shard.places._counts.own != are_open:
        model.fail(
            f"{are_open} sockets are open, {shard.places.held} have places, of {shard.places._counts.own} counted"
        )
