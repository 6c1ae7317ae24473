"""`Room`: the members of one room on one shard, and the fan-out to them.

Created by the shard's table of rooms with the first joiner. The bus (or, with one shard, the server) gives it frames; the shard
flushes it at the end of the loop turn. A member is *swift* while its transport takes everything, and then costs one bound call; a
member that is blocked or suspended is *slow* and has its own send buffer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from wspulse.actors.values.metrics import Metrics

__all__ = ["Room", "RoomMember"]


class RoomMember(Protocol):
    """What a room needs of a session."""

    id: str

    def buffer_broadcast(self, frames: list[bytes]) -> None:
        """Take the frames of a turn while the transport takes none."""


M = TypeVar("M", bound=RoomMember)


class Room(Generic[M]):
    """One room of one shard. `joiners` counts those on their way in; they keep the room alive."""

    __slots__ = ("_limit", "_metrics", "_pending", "_slow", "_swift", "_writers", "gone_at", "id", "joiners", "waiting")

    def __init__(self, room_id: str, limit_frames: int, metrics: Metrics) -> None:
        self.id = room_id
        self.joiners = 0
        self.gone_at: float | None = None
        """When the last member left, while a deadline looks after it; None where there is none."""
        self.waiting: list[Callable[[], None]] | None = []
        """What is called when the room is joined; None from then on."""
        self._limit = limit_frames
        self._metrics = metrics
        self._pending: list[bytes] = []
        self._swift: dict[M, Callable[[bytes], object]] = {}
        self._slow: dict[M, None] = {}
        self._writers: list[Callable[[bytes], object]] | None = None

    def __len__(self) -> int:
        return len(self._swift) + len(self._slow)

    def members(self) -> list[M]:
        return [*self._swift, *self._slow]

    def set_swift(self, session: M, write: Callable[[bytes], object]) -> None:
        """A member (new, or one that was slow) takes what is written to it."""
        self._slow.pop(session, None)
        self._swift[session] = write
        self._writers = None

    def set_slow(self, session: M) -> None:
        """A member (new, or one that was swift) buffers what is sent to it."""
        if self._swift.pop(session, None) is not None:
            self._writers = None
        self._slow[session] = None

    def remove(self, session: M) -> None:
        if self._swift.pop(session, None) is not None:
            self._writers = None
        else:
            self._slow.pop(session, None)

    def post(self, wire: bytes) -> bool:
        """Take a frame in wire form for all members. Returns whether the room must now be scheduled for a flush.

        A turn's batch that reaches the size of a send buffer is written at once.
        """
        pending = self._pending
        pending.append(wire)
        if len(pending) >= self._limit:
            self.flush()
            return False
        return len(pending) == 1

    def write_but(self, wire: bytes, excluded: frozenset[str]) -> None:
        """Write a frame to all members but those with these ids, behind what the room has got before. It costs a write of its own
        for each of them, at once."""
        self.flush()
        slow = [session for session in self._slow if session.id not in excluded]
        writers = [write for session, write in self._swift.items() if session.id not in excluded]
        for write in writers:
            write(wire)
        self._metrics.frames_out += len(writers)
        for session in slow:
            session.buffer_broadcast([wire])

    def flush(self) -> None:
        """One write of the turn's joined frames to each swift member; each frame to the buffers of the slow ones."""
        frames = self._pending
        if not frames:
            return
        self._pending = []
        count = len(frames)
        # A write may block its own member, which then moves to the slow ones; the list stays as it is for this turn.
        slow = list(self._slow) if self._slow else None
        writers = self._writers
        if writers is None:
            writers = self._writers = list(self._swift.values())
        wire = frames[0] if count == 1 else b"".join(frames)
        for write in writers:
            write(wire)
        self._metrics.frames_out += count * len(writers)
        if slow is not None:
            for session in slow:
                session.buffer_broadcast(frames)
