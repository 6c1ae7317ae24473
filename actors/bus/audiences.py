"""`Audiences`: which shards a room's messages may reach, as far as this shard was told. No I/O, no clock.

The bus owns it, for its flow control. Every other shard tells which rooms it has joined: all of them when it can first tell us
something, then each before its subscription takes effect, and each that it has left after its subscription is certainly gone.
So a shard that a message reaches is in the room's audience, but for what is published while its word is on the way. Of a
shard that has told nothing yet everything is possible: it is in every audience. So is this shard itself, which tells itself
nothing: its own mark comes back when the forwarder has taken all that came before.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["Audiences"]

EVERYBODY = -1


class Audiences:
    """See the module. An audience is an integer in which the bit of each shard that is in it is set; rooms are known by their
    topics."""

    __slots__ = ("_incarnations", "_rooms", "_untold")

    def __init__(self) -> None:
        self._rooms: dict[bytes, int] = {}
        self._incarnations: dict[int, int] = {}
        """Of each shard that has told something, who it was then."""
        self._untold = EVERYBODY

    def of(self, topic: bytes) -> int:
        return self._rooms.get(topic, 0) | self._untold

    def joined(self, shard: int, incarnation: int, topics: Iterable[bytes], *, are_all: bool) -> None:
        """A shard has joined these rooms; `are_all`: and is in no others."""
        if not self._is_heard(shard, incarnation):
            return
        bit = 1 << shard
        if are_all:
            self._forget(shard)
            self._untold &= ~bit
        elif self._untold & bit:
            return  # it is in every audience until it tells of all
        rooms = self._rooms
        for topic in topics:
            rooms[topic] = rooms.get(topic, 0) | bit

    def left(self, shard: int, incarnation: int, topics: Iterable[bytes]) -> None:
        """A shard gets nothing more of these rooms."""
        if not self._is_heard(shard, incarnation) or self._untold >> shard & 1:
            return
        rest = ~(1 << shard)
        rooms = self._rooms
        for topic in topics:
            audience = rooms.get(topic, 0) & rest
            if audience:
                rooms[topic] = audience
            else:
                rooms.pop(topic, None)

    def shard_up(self, shard: int, incarnation: int) -> None:
        """What an earlier incarnation told is void."""
        if incarnation > self._incarnations.get(shard, 0):
            self._begin(shard, incarnation)

    def shard_down(self, shard: int, incarnation: int) -> None:
        """An incarnation has ended, and with it its subscriptions."""
        if self._incarnations.get(shard) == incarnation:
            self._begin(shard, incarnation)

    def _is_heard(self, shard: int, incarnation: int) -> bool:
        """Whether this is no word of an earlier life."""
        known = self._incarnations.get(shard, 0)
        if incarnation > known:
            self._begin(shard, incarnation)
        return incarnation >= known

    def _begin(self, shard: int, incarnation: int) -> None:
        self._forget(shard)
        self._incarnations[shard] = incarnation
        self._untold |= 1 << shard

    def _forget(self, shard: int) -> None:
        """One pass over all rooms, which only the beginnings and ends of shards cost: 10 ms for 100,000 rooms."""
        bit = 1 << shard
        if not self._untold & bit:
            self._rooms = {topic: rest for topic, audience in self._rooms.items() if (rest := audience & ~bit)}
