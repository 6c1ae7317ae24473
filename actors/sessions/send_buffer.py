"""`SendBuffer`: the frames that wait for a peer that does not take them now. No I/O.

A session has one only while frames wait: while its transport is blocked, or while it is suspended.
"""

from __future__ import annotations

from collections import deque

__all__ = ["SendBuffer"]


class SendBuffer:
    """At most `limit_frames` frames in wire form, the oldest dropped for a newer one."""

    __slots__ = ("_frames",)

    def __init__(self, limit_frames: int) -> None:
        self._frames: deque[bytes] = deque(maxlen=limit_frames)

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def full(self) -> bool:
        return len(self._frames) == self._frames.maxlen

    def push(self, wire: bytes) -> bool:
        """Append a frame. Returns whether the oldest one was dropped for it."""
        dropped = len(self._frames) == self._frames.maxlen
        self._frames.append(wire)
        return dropped

    def take(self, most_bytes: int) -> tuple[bytes, int]:
        """The oldest frames, at least one, up to about `most_bytes`, joined; and how many they are."""
        frames = self._frames
        pieces = [frames.popleft()]
        size = len(pieces[0])
        while frames and size + len(frames[0]) <= most_bytes:
            pieces.append(frames.popleft())
            size += len(pieces[-1])
        return (pieces[0] if len(pieces) == 1 else b"".join(pieces)), len(pieces)

    def take_all(self) -> tuple[bytes, int]:
        """Everything, joined; and how many frames it is."""
        frames = self._frames
        count = len(frames)
        data = b"".join(frames)
        frames.clear()
        return data, count
