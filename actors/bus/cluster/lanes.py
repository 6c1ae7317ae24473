"""`Lane`: what a worker has published to one room and the cluster has not acknowledged yet. No I/O, no clock.

The publisher owns one for each room in which something is under way. One message of a room is out at a time, which keeps the
order; what is published meanwhile gathers and is the next one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import NamedTuple

from wspulse.actors.bus.message import room_topic

__all__ = ["Excluding", "Lane"]

_MOST_BYTES = 256 * 1024
_MOST_FRAMES = 256
"""Of one message; a frame that is larger is one by itself."""


class Excluding(NamedTuple):
    """A frame that some do not get: a message of its own."""

    wire: bytes
    excluded: frozenset[str]


class Lane:
    """See the module. Frames are counted from the lane's beginning on, so that whoever waits for one knows it by its number."""

    __slots__ = (
        "_callers",
        "_gathered",
        "acknowledged",
        "number",
        "out",
        "out_bytes",
        "room_id",
        "sent",
        "taken",
        "topic",
        "turn_bytes",
    )

    def __init__(self, room_id: str) -> None:
        self.room_id = room_id
        self.topic = room_topic(room_id)
        self.taken = self.sent = self.acknowledged = 0
        """Frames."""
        self.turn_bytes = 0
        """Taken since the last flush."""
        self.out: bytes | None = None
        """The message that is not acknowledged yet."""
        self.out_bytes = 0
        """Of its frames."""
        self.number = 0
        """Of that message."""
        self._gathered: deque[bytes | Excluding] = deque()
        self._callers: deque[tuple[int, asyncio.Future[None]]] = deque()
        """Who waits until so many frames are acknowledged."""

    @property
    def has_gathered(self) -> bool:
        return bool(self._gathered)

    def take(self, frame: bytes | Excluding, size_bytes: int, caller: asyncio.Future[None] | None) -> None:
        self._gathered.append(frame)
        self.taken += 1
        self.turn_bytes += size_bytes
        if caller is not None:
            self._callers.append((self.taken, caller))

    def next_frames(self) -> list[bytes] | Excluding:
        """Take out what is the next message; there is something."""
        gathered = self._gathered
        first = gathered.popleft()
        self.sent += 1
        if isinstance(first, Excluding):
            self.out_bytes = len(first.wire)
            return first
        frames = [first]
        size_bytes = len(first)
        while gathered and len(frames) < _MOST_FRAMES:
            frame = gathered[0]
            if isinstance(frame, Excluding) or size_bytes + len(frame) > _MOST_BYTES:
                break
            size_bytes += len(frame)
            frames.append(frame)
            gathered.popleft()
        self.sent += len(frames) - 1
        self.out_bytes = size_bytes
        return frames

    def note_acknowledged(self, refusal: Exception | None) -> None:
        """All that was sent is; or the last message was refused."""
        self.out = None
        self.acknowledged = self.sent
        callers = self._callers
        while callers and callers[0][0] <= self.acknowledged:
            caller = callers.popleft()[1]
            if caller.done():
                continue
            if refusal is None:
                caller.set_result(None)
            else:
                caller.set_exception(refusal)

    def fail_callers(self, error: Exception) -> None:
        for _, caller in self._callers:
            if not caller.done():
                caller.set_exception(error)
        self._callers.clear()
