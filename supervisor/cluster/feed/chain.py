"""`Chain`: the order of one bucket's messages. No I/O.

Each message names the one before it in its bucket (`previous`, 0 where the stream had none any more). What continues the chain is
delivered; what does not is held until the feed has read from the stream what is missing (`supply`), or knows that nobody has it.
While a bucket is being joined or repaired, all is held. What finds no room is forgotten: the stream has it, and the chain shows
it.

A message that is larger than NATS takes travels in parts. Each is a message of the chain, kept until the last one names them; a
message whose parts are not all here is repaired as a broken chain is.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Mapping
from enum import Enum, auto
from typing import NamedTuple

__all__ = ["Budget", "Chain", "Fate", "Stored"]

_MOST_HELD = 1024
"""Messages of one chain. A repair that goes on for longer than this lasts reads the rest from the stream as well."""

_EACH_BYTES = 300
"""What a held message takes besides its data."""


class Stored(NamedTuple):
    """A message as a stream has it."""

    sequence: int
    data: bytes
    is_part: bool = False
    """Of a message behind it in the chain."""
    parts: tuple[int, ...] = ()
    """The sequences of what comes before `data`, of a message that travels in parts."""


class Fate(Enum):
    """What became of a message that came."""

    PASSED = auto()
    """It continued the chain."""
    DOUBLE = auto()
    """It had come before."""
    HELD = auto()
    """While the bucket is joined or repaired."""
    BROKEN = auto()
    """Held too, and it is the first that does not continue the chain: repair it."""


class _Held(NamedTuple):
    sequence: int
    previous: int
    stored: Stored


class Budget:
    """Bytes that all chains of a feed may hold."""

    def __init__(self, limit_bytes: int) -> None:
        self._free = limit_bytes

    def take(self, size: int) -> bool:
        if size > self._free:
            return False
        self._free -= size
        return True

    def give_back(self, size: int) -> None:
        self._free += size


class Chain:
    """See the module. `deliver(bucket, sequence, data)` gets each message once, in order."""

    def __init__(
        self, bucket: int, after: int | None, deliver: Callable[[int, int, bytes], None], budget: Budget
    ) -> None:
        self.bucket = bucket
        self.position = after or 0
        """The sequence up to which all was delivered, or is not wanted."""
        self.is_holding = True
        """While it is joined or repaired."""
        self.is_open = True
        """Whether the bucket is wanted."""
        self.received = 0
        """Messages that continued the chain, for whoever counts and clears them."""
        self._deliver = deliver
        self._budget = budget
        self._held: list[_Held] = []
        self._parts: dict[int, bytes] = {}

    def take(self, previous: int, stored: Stored) -> Fate:
        """A message that was republished."""
        if stored.sequence <= self.position:
            return Fate.DOUBLE
        if self.is_holding:
            self._hold(previous, stored)
            return Fate.HELD
        if previous <= self.position and self._is_complete(stored):
            self._pass(stored, self._parts)
            return Fate.PASSED
        self.is_holding = True
        self._hold(previous, stored)
        return Fate.BROKEN

    def supply(self, stored: Stored, parts: Mapping[int, bytes]) -> int:
        """A message that was read from the stream, the next one behind `position` there, with its parts. Returns how many gaps
        were passed over: what neither the stream has, nor has come."""
        lost = 0
        while self._held and (first := self._held[0]).sequence < stored.sequence:
            if first.sequence > self.position:
                lost += self.skip()
            else:
                self._drop_first()
        if self._held and self._held[0].sequence == stored.sequence and self._held[0].previous > self.position:
            lost += 1
        if stored.sequence > self.position:
            if any(part not in self._parts and part not in parts for part in stored.parts):
                lost += 1
                self.position = stored.sequence
            else:
                self._pass(stored, {**self._parts, **parts})
        return lost

    def skip(self) -> int:
        """Pass over what is missing before the first held message, which nobody has. Returns how many gaps that were."""
        first = self._drop_first()
        lost = int(first.previous > self.position)
        if self._is_complete(first.stored):
            self._pass(first.stored, self._parts)
        else:
            lost = 1
            self.position = first.sequence
        return lost

    def release(self) -> bool:
        """Deliver what was held, as far as it continues the chain, and hold no more. False: it is still broken, and holds."""
        while self._held and self.is_open:
            first = self._held[0]
            if first.sequence <= self.position:
                self._drop_first()
            elif first.previous <= self.position and self._is_complete(first.stored):
                self._pass(self._drop_first().stored, self._parts)
            else:
                self.is_holding = True
                return False
        self.is_holding = False
        return True

    def continues(self) -> bool:
        """Whether what is held continues the chain."""
        while self._held and self._held[0].sequence <= self.position:
            self._drop_first()
        return bool(self._held) and self._held[0].previous <= self.position and self._is_complete(self._held[0].stored)

    @property
    def holds(self) -> bool:
        return bool(self._held)

    def missing_parts(self, stored: Stored) -> list[int]:
        return [part for part in stored.parts if part not in self._parts]

    def forget_parts(self, before: int) -> None:
        """Parts whose message never came: nobody has their beginning any more."""
        for sequence in [each for each in self._parts if each < before]:
            self._budget.give_back(len(self._parts.pop(sequence)) + _EACH_BYTES)

    def close(self) -> None:
        """Nothing is delivered any more; what it held is forgotten."""
        self.is_open = False
        while self._held:
            self._drop_first()
        self.forget_parts(1 << 64)

    def _is_complete(self, stored: Stored) -> bool:
        return not stored.parts or all(part in self._parts for part in stored.parts)

    def _pass(self, stored: Stored, parts: Mapping[int, bytes]) -> None:
        if not self.is_open:
            return
        self.position = stored.sequence
        self.received += 1
        if stored.is_part:
            if self._budget.take(len(stored.data) + _EACH_BYTES):
                self._parts[stored.sequence] = stored.data
        elif stored.parts:
            data = b"".join([*(parts[part] for part in stored.parts), stored.data])
            for part in stored.parts:
                if part in self._parts:
                    self._budget.give_back(len(self._parts.pop(part)) + _EACH_BYTES)
            self._deliver(self.bucket, stored.sequence, data)
        else:
            self._deliver(self.bucket, stored.sequence, stored.data)

    def _hold(self, previous: int, stored: Stored) -> None:
        if len(self._held) >= _MOST_HELD or any(each.sequence == stored.sequence for each in self._held[-2:]):
            return
        if self._budget.take(len(stored.data) + _EACH_BYTES):
            insort(self._held, _Held(stored.sequence, previous, stored))

    def _drop_first(self) -> _Held:
        first = self._held.pop(0)
        self._budget.give_back(len(first.stored.data) + _EACH_BYTES)
        return first
