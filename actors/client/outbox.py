"""`Outbox`: what a line has to send, and what it has sent and nobody has acknowledged yet, in one order and under one bound.

A session has one. A frame waits here; is written; and, where the peer counts what it takes, is kept until that is acknowledged,
to be written again over the next connection. No I/O.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from wspulse.actors.values.frame import Frame

__all__ = ["Outbox", "OutboxFullError", "Outgoing"]


@dataclass(slots=True, eq=False)
class Outgoing:
    """A frame that is to be sent."""

    frame: Frame
    message: str | bytes
    """The frame as the codec has encoded it."""
    is_answer: bool = False
    """Whether it answers what this session was asked: it means nothing to another."""
    number: int = 0
    """Which of all that were ever pushed it is, from 1 on."""


class OutboxFullError(Exception):
    """There is no room for another frame."""


class Outbox:
    """At most `most_frames`, and `most_bytes` if there is more than one."""

    def __init__(self, most_frames: int, most_bytes: int) -> None:
        self._most_frames = most_frames
        self._most_bytes = most_bytes
        self._written: deque[Outgoing] = deque()
        """Over the present connection, and not acknowledged; the first is number `acknowledged + 1` of the session."""
        self._waiting: deque[Outgoing] = deque()
        self._again = 0
        """So many of those that wait, from the first, were written over an earlier connection of this session."""
        self._size_bytes = 0
        self.acknowledged = 0
        """So many frames of this session has the peer taken, as far as it has said."""
        self.keeps = False
        """Whether the peer acknowledges."""
        self.pushed = 0
        """So many frames were ever pushed."""
        self.handed_back = 0
        """The number of the first of those that the last session that ended has given back, or 0."""

    def __len__(self) -> int:
        return len(self._written) + len(self._waiting)

    @property
    def sent(self) -> int:
        """So many frames of this session were written, at least once: more the peer cannot have taken."""
        return self.acknowledged + len(self._written) + self._again

    def is_gone(self, number: int) -> bool:
        """Whether the first `number` frames are here no more: they have arrived, as far as it is known, or were taken back."""
        frames = self._written or self._waiting
        return not frames or frames[0].number > number

    def has_room(self, size_bytes: int = 0) -> bool:
        count = len(self)
        return count < self._most_frames and (not count or self._size_bytes + size_bytes <= self._most_bytes)

    def push(self, outgoing: Outgoing) -> None:
        """Raises OutboxFullError."""
        if not self.has_room(len(outgoing.message)):
            raise OutboxFullError
        self._waiting.append(outgoing)
        self._size_bytes += len(outgoing.message)
        self.pushed += 1
        outgoing.number = self.pushed

    def next(self) -> Outgoing | None:
        """What is to be written now; it counts as written."""
        if not self._waiting:
            return None
        outgoing = self._waiting.popleft()
        if self.keeps:
            self._written.append(outgoing)
            self._again = max(0, self._again - 1)
        else:
            self._size_bytes -= len(outgoing.message)
        return outgoing

    def withdraw(self, outgoing: Outgoing) -> bool:
        """Take back a frame that has never been written. False where it has."""
        for place, waiting in enumerate(self._waiting):
            if waiting is outgoing and place >= self._again:
                del self._waiting[place]
                self._size_bytes -= len(outgoing.message)
                return True
        return False

    def waiting_ids(self) -> set[str]:
        """The ids of the frames that are still to be written."""
        return {outgoing.frame.id for outgoing in self._waiting}

    def acknowledge(self, count: int) -> bool:
        """The peer has taken `count` frames of this session. Returns whether that says anything new. Raises ValueError for what
        cannot be."""
        if not self.acknowledged <= count <= self.sent:
            raise ValueError(f"{count} frames acknowledged, of {self.sent} sent; {self.acknowledged} before")
        is_new = count > self.acknowledged
        for _ in range(count - self.acknowledged):
            if self._written:
                outgoing = self._written.popleft()
            else:
                outgoing = self._waiting.popleft()
                self._again -= 1
            self._size_bytes -= len(outgoing.message)
        self.acknowledged = count
        return is_new

    def connection_ended(self) -> None:
        """What was written and not acknowledged has to be written again, unless the peer has taken it."""
        self._again += len(self._written)
        self._waiting.extendleft(reversed(self._written))
        self._written.clear()

    def begin_anew(self) -> list[Outgoing]:
        """Another session begins: what was never written belongs to it. Returns what was written and not acknowledged. Answers
        are in neither."""
        self.connection_ended()
        unacknowledged = [self._waiting.popleft() for _ in range(self._again)]
        self._waiting = deque(outgoing for outgoing in self._waiting if not outgoing.is_answer)
        self._size_bytes = sum(len(outgoing.message) for outgoing in self._waiting)
        self._again = self.acknowledged = 0
        unacknowledged = [outgoing for outgoing in unacknowledged if not outgoing.is_answer]
        if unacknowledged:
            self.handed_back = unacknowledged[0].number
        return unacknowledged
