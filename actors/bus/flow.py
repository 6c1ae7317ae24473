"""`BusFlow`: how far this shard's publishing is ahead of the slowest live shard. No I/O, no clock.

The bus marks its stream every 256 KB; each shard answers a mark when it has delivered all that came before it. A publisher
that is more than 16 MB ahead waits, so that a shard whose loop is busy costs bounded memory and loses nothing. Marks follow
bytes and not time: what is less than a mark cannot make anybody wait, and with marks ten times a second a publisher of a few
small frames would wake every shard, and be woken by each, as often as for the frames themselves.
"""

from __future__ import annotations

from collections import deque

__all__ = ["BusFlow"]

MOST_AHEAD_BYTES = 16 * 1024 * 1024
MARK_EVERY_BYTES = 256 * 1024


class BusFlow:
    """Bytes published, and consumed by each live shard."""

    __slots__ = ("_consumed", "_marked_bytes", "_marks", "_published_bytes", "_slowest_bytes")

    def __init__(self) -> None:
        self._published_bytes = 0
        self._marked_bytes = 0
        self._marks: deque[tuple[int, int]] = deque()
        self._consumed: dict[int, int] = {}
        self._slowest_bytes = 0

    def shard_up(self, shard: int) -> None:
        """A shard counts from what is published now: what came before is not meant for it."""
        self._consumed[shard] = self._published_bytes
        self._look_for_slowest()

    def shard_down(self, shard: int) -> None:
        """A dead shard holds nobody up."""
        self._consumed.pop(shard, None)
        self._look_for_slowest()

    def published(self, size_bytes: int) -> bool:
        """Note a published message. Returns whether a mark is due."""
        self._published_bytes += size_bytes
        return self._published_bytes - self._marked_bytes >= MARK_EVERY_BYTES

    def mark(self, number: int) -> None:
        """A mark with this number was published; it counts as no bytes."""
        self._marked_bytes = self._published_bytes
        self._marks.append((number, self._published_bytes))

    def consumed(self, shard: int, number: int) -> None:
        """A shard has delivered everything before the mark of this number."""
        if shard not in self._consumed:
            return
        for marked, size_bytes in self._marks:
            if marked == number:
                self._consumed[shard] = max(self._consumed[shard], size_bytes)
                break
        self._look_for_slowest()

    def _look_for_slowest(self) -> None:
        self._slowest_bytes = min(self._consumed.values(), default=self._published_bytes)
        while self._marks and self._marks[0][1] <= self._slowest_bytes:
            self._marks.popleft()

    @property
    def ahead_bytes(self) -> int:
        """How far the slowest live shard is behind."""
        return self._published_bytes - self._slowest_bytes

    @property
    def may_publish(self) -> bool:
        return self.ahead_bytes < MOST_AHEAD_BYTES
