"""`BusFlow`: how far this shard's publishing is ahead of each live shard, in bytes that reach that shard. No I/O, no clock.

The bus owns it. A message counts against its *audience*, the shards that it may reach, and against no other. The bus marks
its stream for a shard after every 256 KB that count against it, and the shard answers a mark when it has delivered all that
came before. A shard that is more than 16 MB behind is *blocked*: nothing more is published to its rooms, so that a silent shard
costs bounded memory and loses nothing, and holds up nobody else. Marks follow bytes and not time: what is less than a mark
cannot make anybody wait, and a publisher of a few small frames wakes no shard besides.
"""

from __future__ import annotations

from collections import defaultdict, deque

__all__ = ["BusFlow"]

MOST_AHEAD_BYTES = 16 * 1024 * 1024
MARK_EVERY_BYTES = 256 * 1024


class _Reader:
    """A live shard: what was published to it, how much of that is marked, and how much it has consumed."""

    __slots__ = ("consumed_bytes", "incarnation", "marked_bytes", "marks", "published_bytes")

    def __init__(self, incarnation: int) -> None:
        self.incarnation = incarnation
        self.published_bytes = 0
        self.marked_bytes = 0
        self.consumed_bytes = 0
        self.marks: deque[tuple[int, int]] = deque()
        """Unanswered ones: number, and the bytes that were published before it."""


class BusFlow:
    """See the module. An audience is a set of shards as an integer: the bit of each of them is set (see `Audiences`)."""

    __slots__ = ("_live", "_readers", "_since_look", "_since_look_bytes", "blocked")

    def __init__(self) -> None:
        self.blocked = 0
        """The shards that are too far behind, as an audience."""
        self._live = 0
        self._readers: dict[int, _Reader] = {}
        self._since_look: defaultdict[int, int] = defaultdict(int)
        self._since_look_bytes = 0

    def shard_up(self, shard: int, incarnation: int) -> None:
        """A shard counts from what is published now on: what came before is not meant for it. Nothing changes for one that is
        up already."""
        reader = self._readers.get(shard)
        if reader is None or reader.incarnation < incarnation:
            self._readers[shard] = _Reader(incarnation)
            self._live |= 1 << shard
            self.blocked &= ~(1 << shard)

    def shard_down(self, shard: int) -> None:
        """A dead shard holds nobody up."""
        if self._readers.pop(shard, None) is not None:
            self._live &= ~(1 << shard)
            self.blocked &= ~(1 << shard)

    def incarnation_of(self, shard: int) -> int:
        """The incarnation of the live shard; 0 if there is none."""
        reader = self._readers.get(shard)
        return 0 if reader is None else reader.incarnation

    def published(self, audience: int, size_bytes: int) -> bool:
        """Note a published message. Returns whether it is time for `due_marks`."""
        self._since_look[audience] += size_bytes
        self._since_look_bytes = since_look_bytes = self._since_look_bytes + size_bytes
        return since_look_bytes >= MARK_EVERY_BYTES

    def due_marks(self) -> list[int]:
        """Look how far ahead of each shard we are, which is too much to do for each message. Returns the shards that are to be
        marked now."""
        readers = self._readers
        for audience, size_bytes in self._since_look.items():
            rest = audience & self._live
            while rest:
                lowest = rest & -rest
                readers[lowest.bit_length() - 1].published_bytes += size_bytes
                rest ^= lowest
        self._since_look.clear()
        self._since_look_bytes = 0
        due = []
        for shard, reader in readers.items():
            self._look_if_blocked(shard, reader)
            if reader.published_bytes - reader.marked_bytes >= MARK_EVERY_BYTES:
                due.append(shard)
        return due

    def mark(self, shard: int, number: int) -> None:
        """A mark with this number, higher than all before, was published for a shard; it counts as no bytes."""
        reader = self._readers[shard]
        reader.marked_bytes = reader.published_bytes
        reader.marks.append((number, reader.published_bytes))

    def consumed(self, shard: int, number: int) -> None:
        """A shard has delivered everything before its mark of this number, and so before all earlier ones."""
        reader = self._readers.get(shard)
        if reader is None:
            return
        marks = reader.marks
        while marks and marks[0][0] <= number:
            reader.consumed_bytes = marks.popleft()[1]
        self._look_if_blocked(shard, reader)

    def ahead_bytes(self, shard: int) -> int:
        """How far a live shard was behind when we looked last."""
        reader = self._readers[shard]
        return reader.published_bytes - reader.consumed_bytes

    def blocked_shards(self) -> list[int]:
        return [shard for shard in self._readers if self.blocked >> shard & 1]

    def _look_if_blocked(self, shard: int, reader: _Reader) -> None:
        if reader.published_bytes - reader.consumed_bytes >= MOST_AHEAD_BYTES:
            self.blocked |= 1 << shard
        else:
            self.blocked &= ~(1 << shard)
