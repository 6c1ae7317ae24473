"""`Audiences`: which shards a room's messages may reach, as far as this shard was told. No I/O, no clock.

The bus owns it, for its flow control. Every other shard tells which rooms it has joined: all of them when it can first tell us
something, then each before its subscription takes effect, and each that it has left after its subscription is certainly gone.
So a shard that a message reaches is in the room's audience, but for what is published while its word is on the way. Of a
shard that has told nothing yet everything is possible: it is in every audience. So is this shard itself, which tells itself
nothing: its own mark comes back when the forwarder has taken all that came before.

A shard that is silent can tell nothing, and joins nothing either: what it had told others, they tell. That hearsay holds until
its own word comes, or it is silent no more; where there is none, it holds up nobody.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["Audiences"]

EVERYBODY = -1


class Audiences:
    """See the module. An audience is an integer in which the bit of each shard that is in it is set; rooms are known by their
    topics."""

    __slots__ = ("_hearsay", "_incarnations", "_rooms", "_untold")

    def __init__(self) -> None:
        self._rooms: dict[bytes, int] = {}
        self._incarnations: dict[int, int] = {}
        """Of each shard that has told something, who it was then."""
        self._untold = EVERYBODY
        self._hearsay = 0
        """Those of whose rooms only others have told."""

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
            self._hearsay &= ~bit
        elif self._untold & bit:
            return  # it is in every audience until it tells of all, or others do
        self._add(bit, topics)

    def heard_of(self, shard: int, incarnation: int, topics: Iterable[bytes]) -> None:
        """Another shard says which rooms this one, who is silent, has told it to have joined. Several may; each may know of some
        that the others do not."""
        bit = 1 << shard
        if self._incarnations.get(shard) == incarnation and not self.has_told(shard):
            self._untold &= ~bit
            self._hearsay |= bit
            self._add(bit, topics)

    def silent_no_more(self, shard: int) -> None:
        """What was hearsay of it holds no longer: it may join others before it can tell us."""
        if self._hearsay >> shard & 1:
            self._begin(shard, self._incarnations[shard])

    def has_told(self, shard: int) -> bool:
        """Whether it has told its rooms itself."""
        return not (self._untold | self._hearsay) >> shard & 1

    def told(self, shard: int) -> tuple[int, list[bytes]] | None:
        """A shard's incarnation, and the rooms that it has reported itself; None if it has not. Costs as much as its start."""
        if not self.has_told(shard):
            return None
        bit = 1 << shard
        return self._incarnations[shard], [topic for topic, audience in self._rooms.items() if audience & bit]

    def left(self, shard: int, incarnation: int, topics: Iterable[bytes]) -> None:
        """A shard gets nothing more of these rooms."""
        if not self._is_heard(shard, incarnation) or not self.has_told(shard):
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

    def shard_gone(self, shard: int) -> None:
        """Whoever it was has ended, and its life is not forgotten: what comes late of it is not heard."""
        if (incarnation := self._incarnations.get(shard)) is not None:
            self._begin(shard, incarnation)

    def _is_heard(self, shard: int, incarnation: int) -> bool:
        """Whether this does not come from an earlier incarnation."""
        known = self._incarnations.get(shard, 0)
        if incarnation > known:
            self._begin(shard, incarnation)
        return incarnation >= known

    def _begin(self, shard: int, incarnation: int) -> None:
        self._forget(shard)
        self._incarnations[shard] = incarnation
        self._untold |= 1 << shard
        self._hearsay &= ~(1 << shard)

    def _add(self, bit: int, topics: Iterable[bytes]) -> None:
        rooms = self._rooms
        for topic in topics:
            rooms[topic] = rooms.get(topic, 0) | bit

    def _forget(self, shard: int) -> None:
        """One pass over all rooms, which only the beginnings and ends of shards cost: 10 ms for 100,000 rooms."""
        bit = 1 << shard
        if not self._untold & bit:
            self._rooms = {topic: rest for topic, audience in self._rooms.items() if (rest := audience & ~bit)}
