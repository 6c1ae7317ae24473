"""`Counts`: how many connections there are, and how many of each address, over all workers, in memory that they share.

One for each worker, over the same words. Each seat has a region that its worker alone writes and everybody reads: no lock,
which a worker that is stopped would hold for ever. To be strict, a worker counts itself first and then reads the sums: of two
that do so at once, at least one sees the other. The supervisor makes a region empty when the worker of that seat has ended,
however it did.

word 0                 how many seats there are
from HEADER_WORDS on   for each seat: how many connections, then a table of addresses: key, count; key, count; ...

In the table an address stands in one of the _PROBES places from that of its hash on, before the first that is empty. What is no
longer in use stays where others were put behind it. This module opens no memory: it is given words.
"""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["HEADER_WORDS", "REGION_WORDS", "Counts", "words_for"]

HEADER_WORDS = 512
"""A page, as memory is mapped."""

_SLOTS_BITS = 16
_SLOTS = 1 << _SLOTS_BITS
"""Addresses of one worker that can be counted. Of those beyond no connection is refused for its address."""

_PROBES = 64
"""Also where nothing is found: what a look costs is bounded."""

_TABLE_AT = 512
REGION_WORDS = _TABLE_AT + 2 * _SLOTS

_SPREAD = 0x9E3779B97F4A7C15
_WORD = (1 << 64) - 1


def words_for(seats: int) -> int:
    """How many words so many seats need."""
    return HEADER_WORDS + seats * REGION_WORDS


class Counts:
    """See the module. `seat` is the one that is written. `grown()` has the words anew where there are more seats than before."""

    def __init__(self, words: memoryview, seat: int, grown: Callable[[], memoryview] | None = None) -> None:
        self._words = words
        self._own = HEADER_WORDS + seat * REGION_WORDS
        self._grown = grown

    def add(self, key: int) -> None:
        """One connection more; of an address, unless `key` is 0."""
        words, own = self._words, self._own
        words[own] += 1
        if not key:
            return
        table, slot = own + _TABLE_AT, (key * _SPREAD & _WORD) >> (64 - _SLOTS_BITS)
        free = -1
        for _ in range(_PROBES):
            at = table + 2 * slot
            found = words[at]
            if found == key:
                words[at + 1] += 1
                return
            if free < 0 and not words[at + 1]:
                free = at
            if not found:
                break
            slot = (slot + 1) & (_SLOTS - 1)
        if free >= 0:
            words[free] = key
            words[free + 1] = 1

    def remove(self, key: int) -> None:
        """One less; what was not added may be removed only of an address that had no place."""
        words, own = self._words, self._own
        if words[own]:
            words[own] -= 1
        if not key:
            return
        at = _found(words, own, key)
        if at >= 0 and words[at + 1]:
            words[at + 1] -= 1
            if not words[at + 1]:
                self._tidy(at)

    def _tidy(self, at: int) -> None:
        """Nobody looks behind an empty place: what is not in use before one is empty too."""
        words, table = self._words, self._own + _TABLE_AT
        index = (at - table) >> 1
        if words[table + 2 * ((index + 1) & (_SLOTS - 1))]:
            return
        while words[place := table + 2 * index] and not words[place + 1]:
            words[place] = 0
            index = (index - 1) & (_SLOTS - 1)

    @property
    def own(self) -> int:
        """How many connections this seat has."""
        return self._words[self._own]

    def total(self) -> int:
        """How many there are in all."""
        regions = self._regions()
        words = self._words
        return sum([words[base] for base in regions])

    def of(self, key: int) -> int:
        """How many there are of an address."""
        regions = self._regions()
        words = self._words
        return sum([words[at + 1] for base in regions if (at := _found(words, base, key)) >= 0])

    def close(self) -> None:
        """Let go of the words, and unmap them where they were mapped."""
        words, self._words, self._grown = self._words, memoryview(b""), None
        memory = words.obj
        words.release()
        if hasattr(memory, "close"):
            memory.close()

    def _regions(self) -> range:
        """Where they begin, of all seats; the words may be others behind this."""
        seats = self._words[0]
        if words_for(seats) > len(self._words) and self._grown is not None:
            self._words = self._grown()
        return range(HEADER_WORDS, min(words_for(seats), len(self._words)), REGION_WORDS)


def _found(words: memoryview, base: int, key: int) -> int:
    """Where an address stands in a region; -1 where it does not."""
    table, slot = base + _TABLE_AT, (key * _SPREAD & _WORD) >> (64 - _SLOTS_BITS)
    for _ in range(_PROBES):
        at = table + 2 * slot
        found = words[at]
        if found == key:
            return at
        if not found:
            return -1
        slot = (slot + 1) & (_SLOTS - 1)
    return -1
