"""`Room`: the members of one room on one shard, and the fan-out to them.

Created by the shard's table of rooms with the first joiner. The bus (or, with one shard, the server) gives it frames; the shard
flushes it at the end of the loop turn. A member is *swift* while its transport takes everything, and then costs one bound call; a
member that is blocked or suspended is *slow* and has its own send buffer.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar, cast

from wspulse.actors.sessions.rooms.backlog import Backlog, Batch
from wspulse.actors.transport.writing import Writing
from wspulse.actors.values.metrics import Metrics

__all__ = ["Keep", "Room", "RoomKeeper", "RoomMember"]

Keep = Callable[[Batch], object]
"""Notes what is about to be written to a member that may ask for it again."""


class RoomMember(Protocol):
    """What a room needs of a session."""

    id: str

    def buffer_broadcast(self, frames: list[bytes]) -> None:
        """Take the frames of a turn while the transport takes none."""


class RoomKeeper(ABC):
    """Takes what a member would get; for a session that is about to be a member here, or was one."""

    __slots__ = ()

    id: str

    @abstractmethod
    def buffer_broadcast(self, frames: list[bytes]) -> None: ...


M = TypeVar("M", bound=RoomMember)


class Room(Generic[M]):
    """One room of one shard. `joiners` counts those on their way in; they keep the room alive."""

    __slots__ = (
        "_backlog",
        "_keeping",
        "_large_bytes",
        "_limit",
        "_metrics",
        "_pending",
        "_slow",
        "_swift",
        "_writers",
        "_writing",
        "gone_at",
        "id",
        "is_looked_after",
        "joiners",
        "keepers",
        "waiting",
    )

    def __init__(self, room_id: str, limit_frames: int, large_bytes: int, metrics: Metrics, writing: Writing) -> None:
        self.id = room_id
        self.joiners = 0
        self.gone_at = 0.0
        """When the last one left."""
        self.is_looked_after = False
        """Whether somebody looks, some time after that, if it is still empty."""
        self.waiting: dict[Any, Callable[[], None]] | None = {}
        """What is called when the room is joined, by who waits for that; None from then on."""
        self._limit = limit_frames
        self._large_bytes = large_bytes
        self._metrics = metrics
        self._writing = writing
        self._pending: list[bytes] = []
        self._swift: dict[M, Callable[[bytes], object]] = {}
        self._slow: dict[RoomMember, None] = {}
        self._writers: list[Callable[[bytes], object]] | None = None
        self._backlog: Backlog | None = None
        """What is noted once for all swift members that follow it; None while nobody does."""
        self.keepers = 0
        """How many of the slow ones are there in a member's place, while that moves to another process."""
        self._keeping: dict[M, Keep] | None = None
        """Of the swift members that note what is written to them for themselves; None while there is none."""

    def __len__(self) -> int:
        return len(self._swift) + len(self._slow) - self.keepers

    def wait_no_more(self, waiter: object) -> None:
        """Somebody has given up; or the room is joined."""
        if self.waiting is not None:
            self.waiting.pop(waiter, None)

    def backlog(self, limit_bytes: int) -> Backlog:
        """For a swift member that may ask for what is written to it again, and is in no other room."""
        if self._backlog is None:
            self._backlog = Backlog(self._limit, limit_bytes)
        return self._backlog

    def members(self) -> list[M]:
        slow = cast("dict[M, None]", self._slow)
        if self.keepers:
            slow = {session: None for session in slow if not isinstance(session, RoomKeeper)}
        return [*self._swift, *slow]

    def add_keeper(self, keeper: RoomKeeper) -> None:
        """Have it take what is sent from now on as a slow member would; what came before is written first."""
        self.flush()
        self._slow[keeper] = None
        self.keepers += 1

    def remove_keeper(self, keeper: RoomKeeper) -> None:
        """What has come until now it has got."""
        self.flush()
        del self._slow[keeper]
        self.keepers -= 1

    def set_swift(self, session: M, write: Callable[[bytes], object], keep: Keep | None = None) -> None:
        """A member (new, or one that was slow) takes what is written to it, and notes it before by `keep`."""
        self._slow.pop(session, None)
        self._swift[session] = write
        self._writers = None
        if keep is not None:
            if self._keeping is None:
                self._keeping = {}
            self._keeping[session] = keep
        elif self._keeping is not None:
            self._keeping.pop(session, None)

    def set_slow(self, session: M) -> None:
        """A member (new, or one that was swift) buffers what is sent to it."""
        if self._swift.pop(session, None) is not None:
            self._swift_no_more(session)
        self._slow[session] = None

    def remove(self, session: M) -> None:
        if self._swift.pop(session, None) is not None:
            self._swift_no_more(session)
        else:
            self._slow.pop(session, None)

    def _swift_no_more(self, session: M) -> None:
        self._writers = None
        if self._keeping is not None:
            self._keeping.pop(session, None)
            if not self._keeping:
                self._keeping = None

    def post(self, wire: bytes) -> bool:
        """Take a frame in wire form for all members. Returns whether the room must now be scheduled for a flush.

        A turn's batch that reaches the size of a send buffer is written at once, and so is what ends in a large frame.
        """
        pending = self._pending
        pending.append(wire)
        if len(pending) >= self._limit or len(wire) >= self._large_bytes:
            self.flush()
            return False
        return len(pending) == 1

    def write_but(self, wire: bytes, excluded: frozenset[str]) -> None:
        """Write a frame to all members but those with these ids, behind what the room has got before. It costs a write of its own
        for each of them, at once."""
        self.flush()
        slow = [session for session in self._slow if session.id not in excluded]
        writers = [write for session, write in self._swift.items() if session.id not in excluded]
        if self._backlog is not None and self._backlog.followers:
            self._backlog.append_but([wire], len(wire), excluded)
        if self._keeping is not None:
            batch = [wire], len(wire)
            for session, keep in self._keeping.items():
                if session.id not in excluded:
                    keep(batch)
        self._writing.data = wire
        for write in writers:
            write(wire)
        self._metrics.frames_out += len(writers)
        self._metrics.bytes_out += len(wire) * len(writers)
        for member in slow:
            member.buffer_broadcast([wire])

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
        # Noted first, since a member that blocks on its write follows and keeps no more.
        if self._backlog is not None:
            if self._backlog.followers:
                self._backlog.append(frames, len(wire))
            else:
                self._backlog = None
        if self._keeping is not None:
            batch = frames, len(wire)
            for keep in self._keeping.values():
                keep(batch)
        self._writing.data = wire
        for write in writers:
            write(wire)
        metrics = self._metrics
        metrics.frames_out += count * len(writers)
        metrics.bytes_out += len(wire) * len(writers)
        if slow is not None:
            for member in slow:
                member.buffer_broadcast(frames)
