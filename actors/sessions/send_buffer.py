"""`SendBuffer`: the frames that wait for a peer that does not take them now. No I/O.

A session has one only while frames wait: while its transport is blocked, or while it is suspended.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

__all__ = ["SendBuffer"]


class SendBuffer:
    """At most `limit_frames` frames in wire form, and `limit_bytes` of them, the oldest dropped for a newer one. One frame always
    has room, however large it is."""

    __slots__ = ("_bytes", "_frames", "_limit_bytes", "_limit_frames")

    def __init__(self, limit_frames: int, limit_bytes: int, frames: Iterable[bytes] = ()) -> None:
        """`frames` are there from the beginning, however many they are."""
        self._frames: deque[bytes] = deque(frames)
        self._bytes = sum(map(len, self._frames))
        self._limit_frames = limit_frames
        self._limit_bytes = limit_bytes

    def __len__(self) -> int:
        return len(self._frames)

    def frames(self) -> list[bytes]:
        """All that wait, the oldest first."""
        return list(self._frames)

    @property
    def size_bytes(self) -> int:
        return self._bytes

    @property
    def full(self) -> bool:
        return len(self._frames) >= self._limit_frames or self._bytes >= self._limit_bytes

    def has_room(self, size_bytes: int) -> bool:
        """Whether a frame of this size is taken without another one's being dropped for it."""
        frames = self._frames
        return not frames or (len(frames) < self._limit_frames and self._bytes + size_bytes <= self._limit_bytes)

    def push(self, wire: bytes) -> int:
        """Append a frame. Returns how many of the oldest were dropped for it."""
        frames = self._frames
        frames.append(wire)
        self._bytes += len(wire)
        dropped = 0
        while len(frames) > 1 and (len(frames) > self._limit_frames or self._bytes > self._limit_bytes):
            self._bytes -= len(frames.popleft())
            dropped += 1
        return dropped

    def take(self, most_bytes: int) -> tuple[bytes, int]:
        """The oldest frames, at least one, up to about `most_bytes`, joined; and how many they are."""
        frames = self._frames
        pieces = [frames.popleft()]
        size = len(pieces[0])
        while frames and size + len(frames[0]) <= most_bytes:
            pieces.append(frames.popleft())
            size += len(pieces[-1])
        self._bytes -= size
        return (pieces[0] if len(pieces) == 1 else b"".join(pieces)), len(pieces)

    def take_all(self) -> tuple[bytes, int]:
        """Everything, joined; and how many frames it is."""
        frames = self._frames
        count = len(frames)
        data = b"".join(frames)
        frames.clear()
        self._bytes = 0
        return data, count
