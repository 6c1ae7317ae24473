"""Where a connection id lives: id → slot → seat of the process that owns it, without asking anyone.

Every process and the supervisor have one. It begins with the table that the number of workers gives, the same in every run, and
adopts each that the supervisor makes when sessions have moved. It sends nothing and waits for nobody: `placing.owners` does.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from os import urandom
from sys import byteorder
from zlib import crc32

__all__ = ["SETTLING", "SLOTS", "Placement", "tag_in"]

SLOTS = 1024
"""Many more than shards, so that a later, unequal table can move small parts of the id space."""

SETTLING = -1
"""Whose an id is while its slot changes hands and something that this process sent to the former owner is not answered yet: it
is no seat, so that whoever compares with its own asks `Owners`."""

_GOLDEN = 0x9E3779B1
"""2³² divided by the golden ratio, as a prime (Knuth's multiplicative hashing); its high bits are the well-mixed ones."""

_COUNTED_DIGITS = 4
_COUNTS = 16**_COUNTED_DIGITS

_SHIFT = 32 - SLOTS.bit_length() + 1


class Placement:
    """The slot table. It begins as that of a server with `shards` shards, at the seats from 0 on. Raises ValueError for a count
    outside 1 … 1024."""

    __slots__ = ("_owners", "_seats", "_table", "shards", "tag", "version")

    def __init__(self, shards: int) -> None:
        if not 1 <= shards <= SLOTS:
            raise ValueError(f"wspulse: workers: {shards} is out of range; allowed: 1 … {SLOTS}")
        self.shards = shards
        """How many workers there are."""
        self.version = 0
        self.tag = ""
        """With which the ids begin that are made up here, so that they name their host where there are several: 12 hexadecimal
        digits."""
        self._owners = [slot * shards // SLOTS for slot in range(SLOTS)]
        self._seats = frozenset(self._owners)
        self._table = self._owners.copy()
        """With SETTLING where nobody is to be asked at once."""

    def adopt(self, version: int, workers: int, seats: bytes) -> dict[int, int]:
        """Go by the table of a `SlotTable` from now on. Returns the slots that change hands, each with its owner until now.

        Nothing happens where a table of this version or a higher one is known. Raises ValueError for one that is none.
        """
        if len(seats) != 2 * SLOTS:
            raise ValueError(f"a slot table of {len(seats)} bytes")
        if version <= self.version:
            return {}
        table = array("H", seats)
        if byteorder == "big":
            table.byteswap()
        former, self._owners = self._owners, list(table)
        self._seats = frozenset(table)
        changed = {slot: seat for slot, seat in enumerate(former) if seat != self._owners[slot]}
        for slot in changed:
            self._table[slot] = self._owners[slot]
        self.shards, self.version = workers, version
        return changed

    @property
    def seats(self) -> bytes:
        """The owners, as a `SlotTable` has them."""
        table = array("H", self._owners)
        if byteorder == "big":
            table.byteswap()
        return table.tobytes()

    def unsettle(self, slots: Iterable[int]) -> None:
        """Let `shard_of` say SETTLING for these."""
        for slot in slots:
            self._table[slot] = SETTLING

    def settle(self, slot: int) -> None:
        """Let `shard_of` say the owner again."""
        self._table[slot] = self._owners[slot]

    def shard_of(self, connection_id: str) -> int:
        """The seat that owns an id, or SETTLING. CRC-32 and not `hash()`, which is salted per process.

        The multiplication spreads ids that differ in one character, as consecutive numbers do: CRC-32 alone is linear, and
        puts ten of those on one shard.
        """
        hashed = crc32(connection_id.encode("utf-8", "surrogatepass"))
        return self._table[(hashed * _GOLDEN & 0xFFFFFFFF) >> _SHIFT]

    def slot_of(self, connection_id: str) -> int:
        """The slot of an id, 0 … 1023."""
        return (crc32(connection_id.encode("utf-8", "surrogatepass")) * _GOLDEN & 0xFFFFFFFF) >> _SHIFT

    def final_owner(self, connection_id: str) -> int:
        """The seat that owns an id, also while its slot settles: for what keeps no order with what was sent before."""
        hashed = crc32(connection_id.encode("utf-8", "surrogatepass"))
        return self._owners[(hashed * _GOLDEN & 0xFFFFFFFF) >> _SHIFT]

    def owner_of_slot(self, slot: int) -> int:
        """The seat that owns it, also while it settles."""
        return self._owners[slot]

    def new_id(self, shard: int) -> str:
        """A random UUID that the seat `shard` owns, any where it owns none: one is drawn, and its last digits are counted up
        until it fits. With a tag it is one of version 8, whose first digits are that.

        About `shards` tries of half a microsecond; a UUID drawn for each costs ten times that.
        """
        while True:
            drawn = _random_uuid() if not self.tag else _tagged_uuid(self.tag)
            if self.shards == 1 or shard not in self._seats:
                return drawn
            beginning, number = drawn[:-_COUNTED_DIGITS], int(drawn[-_COUNTED_DIGITS:], 16)
            hashed = crc32(beginning.encode())
            for step in range(_COUNTS):
                end = f"{number + step & _COUNTS - 1:0{_COUNTED_DIGITS}x}"
                if self._owners[(crc32(end.encode(), hashed) * _GOLDEN & 0xFFFFFFFF) >> _SHIFT] == shard:
                    return beginning + end


def _random_uuid() -> str:
    """As `str(uuid4())`, RFC 9562 §5.4, in 0.9 µs instead of 2.4: every newcomer without an id of its own gets one."""
    digits = urandom(16).hex()
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


def _tagged_uuid(tag: str) -> str:
    """As a UUID of version 8, RFC 9562 §5.8, which leaves its bits to whoever makes it."""
    drawn = _random_uuid()
    return f"{tag[:8]}-{tag[8:]}-8{drawn[15:]}"


def tag_in(connection_id: str) -> str | None:
    """The tag with which an id begins that was made up by one of several hosts; None for one that was not."""
    if len(connection_id) != 36 or connection_id[8:15:5] != "--" or connection_id[14] != "8":
        return None
    return connection_id[:8] + connection_id[9:13]
