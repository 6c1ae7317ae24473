"""Where a connection id lives: id → slot → shard. The same in every process and every run, without asking anyone."""

from __future__ import annotations

from uuid import uuid4
from zlib import crc32

__all__ = ["SLOTS", "Placement"]

SLOTS = 1024
"""Many more than shards, so that a later, unequal table can move small parts of the id space."""


class Placement:
    """The slot table of a server with `shards` shards. Raises ValueError for a count outside 1 … 1024."""

    __slots__ = ("_table", "shards")

    def __init__(self, shards: int) -> None:
        if not 1 <= shards <= SLOTS:
            raise ValueError(f"wspulse: workers: {shards} is out of range; allowed is 1 … {SLOTS}")
        self.shards = shards
        self._table = tuple(slot * shards // SLOTS for slot in range(SLOTS))

    def shard_of(self, connection_id: str) -> int:
        """The shard that owns an id. CRC-32 and not `hash()`, which is salted per process."""
        return self._table[crc32(connection_id.encode("utf-8", "surrogatepass")) % SLOTS]

    def new_id(self, shard: int) -> str:
        """A random UUID that `shard` owns: about `shards` draws."""
        while True:
            connection_id = str(uuid4())
            if self.shard_of(connection_id) == shard:
                return connection_id
