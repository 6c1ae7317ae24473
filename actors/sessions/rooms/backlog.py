"""`Backlog`: the last frames of a room that its followers have not acknowledged, kept once for all of them. No I/O.

Made by a room for its first follower, an exact session's log: what a room writes to a thousand members is noted once, and none of
them is touched for it. A follower remembers its `position`; before it gets a frame from elsewhere it takes over what stands
behind that, and so its own frames come first, then those of the backlog.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Protocol

__all__ = ["Backlog", "Batch", "Follower"]

Batch = tuple[list[bytes], int]
"""Frames of one turn, in wire form, and how many bytes they are. All members share it; nobody changes it."""


class Follower(Protocol):
    position: int
    """How many of the backlog's frames it does not need any more."""

    def settle(self) -> None:
        """Take over what stands behind the position."""


class Backlog:
    """Of the newest frames, at most `limit_frames` and `limit_bytes`, what a follower still needs; and somewhat more, since it is
    looked at now and then. It counts from its beginning on: `frames` were written since."""

    __slots__ = (
        "_batches",
        "_behind",
        "_bytes",
        "_ends",
        "_first",
        "_limit_bytes",
        "_limit_frames",
        "_look_at_bytes",
        "_look_at_frames",
        "followers",
        "frames",
    )

    def __init__(self, limit_frames: int, limit_bytes: int) -> None:
        self.followers: dict[str, Follower] = {}
        """By the ids of their connections."""
        self.frames = 0
        self._limit_frames = limit_frames
        self._limit_bytes = limit_bytes
        self._batches: list[Batch] = []
        self._ends: list[int] = []
        """The count behind each batch."""
        self._first = 0
        """The count before the first of them."""
        self._bytes = 0
        self._behind = 0
        """How many followers need some of it."""
        self._look_at_frames = max(1, limit_frames // 4)
        self._look_at_bytes = limit_bytes // 4

    def append(self, frames: list[bytes], size_bytes: int) -> None:
        """Note what is written now to all followers."""
        self.frames += len(frames)
        self._bytes += size_bytes
        self._batches.append((frames, size_bytes))
        self._ends.append(self.frames)
        self._behind = len(self.followers)
        if self.frames >= self._look_at_frames or self._bytes >= self._look_at_bytes:
            self._let_go()

    def append_but(self, frames: list[bytes], size_bytes: int, excluded: frozenset[str]) -> None:
        """Note what is written now to all followers but some."""
        left_out = [
            follower for connection_id in excluded if (follower := self.followers.get(connection_id)) is not None
        ]
        for follower in left_out:
            follower.settle()
        self.append(frames, size_bytes)
        for follower in left_out:
            follower.position = self.frames
            self.caught_up()

    def since(self, position: int) -> list[Batch]:
        """What stands behind it; without the oldest of that, where the bounds have pushed them out."""
        if position >= self.frames:
            return []
        at = bisect_right(self._ends, position)
        batches = self._batches[at:]
        over = position - (self._ends[at - 1] if at else self._first)
        if over > 0:
            frames, size = batches[0]
            batches[0] = frames[over:], size - sum(map(len, frames[:over]))
        return batches

    def follow(self, connection_id: str, follower: Follower) -> None:
        follower.position = self.frames
        self.followers[connection_id] = follower

    def unfollow(self, connection_id: str) -> None:
        if self.followers.pop(connection_id).position < self.frames:
            self.caught_up()

    def caught_up(self) -> None:
        """One follower more needs nothing of it."""
        self._behind -= 1
        if not self._behind:
            self._batches.clear()
            self._ends.clear()
            self._first = self.frames
            self._bytes = 0
            self._look_on()

    def _let_go(self) -> None:
        """Of what no follower needs, and of what is beyond the bounds of each."""
        needed = min([follower.position for follower in self.followers.values()], default=self.frames)
        count = bisect_right(self._ends, needed)
        held_frames = self.frames - (self._ends[count - 1] if count else self._first)
        held_bytes = self._bytes - sum([size for _, size in self._batches[:count]])
        for frames, size in self._batches[count:-1]:
            held_frames -= len(frames)
            held_bytes -= size
            if held_frames < self._limit_frames and held_bytes < self._limit_bytes:
                held_bytes += size
                break
            count += 1
        if count:
            self._first = self._ends[count - 1]
            self._bytes = held_bytes
            del self._batches[:count], self._ends[:count]
        self._look_on()

    def _look_on(self) -> None:
        self._look_at_frames = self.frames + max(1, self._limit_frames // 4)
        self._look_at_bytes = self._bytes + self._limit_bytes // 4
