"""Where a connection id lives: id → slot → shard. The same in every process and every run, without asking anyone."""

from __future__ import annotations

from os import urandom
from zlib import crc32

__all__ = ["SLOTS", "Placement"]

SLOTS = 1024
"""Many more than shards, so that a later, unequal table can move small parts of the id space."""

_GOLDEN = 0x9E3779B1
"""2³² divided by the golden ratio, as a prime (Knuth's multiplicative hashing); its high bits are the well-mixed ones."""

_COUNTED_DIGITS = 4
_COUNTS = 16**_COUNTED_DIGITS

_SHIFT = 32 - SLOTS.bit_length() + 1


class Placement:
    """The slot table of a server with `shards` shards. Raises ValueError for a count outside 1 … 1024."""

    __slots__ = ("_table", "shards")

    def __init__(self, shards: int) -> None:
        if not 1 <= shards <= SLOTS:
            raise ValueError(f"wspulse: workers: {shards} is out of range; allowed is 1 … {SLOTS}")
        self.shards = shards
        self._table = tuple(slot * shards // SLOTS for slot in range(SLOTS))

    def shard_of(self, connection_id: str) -> int:
        """The shard that owns an id. CRC-32 and not `hash()`, which is salted per process.

        The multiplication spreads ids that differ in one character, as consecutive numbers do: CRC-32 alone is linear, and
        puts ten of those on one shard.
        """
        return self._shard_of_hash(crc32(connection_id.encode("utf-8", "surrogatepass")))

    def new_id(self, shard: int) -> str:
        """A random UUID that `shard` owns: one is drawn, and its last digits are counted up until it fits.

        About `shards` tries of half a microsecond; a UUID drawn for each costs ten times that.
        """
        while True:
            drawn = _random_uuid()
            if self.shards == 1:
                return drawn
            beginning, number = drawn[:-_COUNTED_DIGITS], int(drawn[-_COUNTED_DIGITS:], 16)
            hashed = crc32(beginning.encode())
            for step in range(_COUNTS):
                end = f"{number + step & _COUNTS - 1:0{_COUNTED_DIGITS}x}"
                if self._shard_of_hash(crc32(end.encode(), hashed)) == shard:
                    return beginning + end

    def _shard_of_hash(self, hashed: int) -> int:
        return self._table[(hashed * _GOLDEN & 0xFFFFFFFF) >> _SHIFT]


def _random_uuid() -> str:
    """As `str(uuid4())`, RFC 9562 §5.4, in 0.9 µs instead of 2.4: every newcomer without an id of its own gets one."""
    digits = urandom(16).hex()
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"
