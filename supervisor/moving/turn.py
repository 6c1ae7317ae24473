"""`Turn`: one worker's part of a plan: its sessions of some slots move elsewhere. What has become of that, and whether it is
stuck. No I/O, no clock of its own.

One for each source, made by the `Conductor`, which tells it what happens and acts on what it says.

    MOVING ──MovedOut──▶ MOVED ──Vacated──▶ VACATED
       │ │                 └──── the source ends ──▶ ENDED
       │ └── the source ends ──▶ ENDED: its targets have what had left, the rest is lost as with any crash
       └──── MoveFailed ──▶ FAILED: what is left stays where it is

The end of a target is noticed by the source, which says MoveFailed, or said MovedOut before it knew.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

from wspulse.actors.mesh.lifecycle import MovedOut, MoveFailed, MoveProgress, Vacated

__all__ = ["Advice", "Moved", "Stage", "Turn"]

VACATE_S = 10.0
"""The source waits 5 s for the others to have the table."""

TARGET_GONE_S = 5.0
"""The source sees its stream to the target end, and says so at once."""


class Stage(enum.Enum):
    MOVING = "moving"
    MOVED = "moved"
    VACATED = "vacated"
    FAILED = "failed"
    ENDED = "ended"


class Advice(enum.Enum):
    WAIT = "wait"
    KILL_TARGET = "no session has moved, and none will"
    KILL_SOURCE = "the rest do not move"
    GO_ON = "the old worker has stopped answering"


class Moved(NamedTuple):
    """What a turn came to."""

    shard: int
    """The name of the worker whose sessions moved."""
    moved: int = 0
    drained: int = 0
    """Closed, since they could not move."""
    longest_pause_s: float = 0.0
    lost: int = 0
    """Those that the worker had left when it ended too early."""


class Turn:
    """See the module. `patience_s` is how long nothing may change: single sessions have their time to become quiet, or until
    they are closed, and a worker that stands still is first of all its watch's."""

    def __init__(self, plan: int, shard: int, patience_s: float) -> None:
        self.plan = plan
        self.stage = Stage.MOVING
        self.result = Moved(shard)
        self.left: int | None = None
        """Sessions that have yet to move; None before the source said how many."""
        self.reason = ""
        """Why it has failed."""
        self.lost = 0
        """Sessions that had moved to a target that died."""
        self._patience_s = patience_s
        self._changed_at = 0.0
        self._target_gone_at: float | None = None

    def begin(self, now: float) -> None:
        """The source is told to move them."""
        self._changed_at = now

    def heard(self, message: MoveProgress | MovedOut | MoveFailed | Vacated, now: float) -> bool:
        """The source says how it is. Returns whether the stage is another one now."""
        if message.plan != self.plan:
            return False
        before = self.stage
        match message:
            case MoveProgress() if self.stage is Stage.MOVING:
                figures = (message.moved, message.drained, message.left)
                if figures != (self.result.moved, self.result.drained, self.left):
                    self._changed_at = now
                self.left = message.left
                self._count(message.moved, message.drained, message.longest_pause_s)
            case MovedOut() if self.stage is Stage.MOVING:
                self.left = 0
                self._count(message.moved, message.drained, message.longest_pause_s)
                self.stage, self._changed_at = Stage.MOVED, now
            case MoveFailed() if self.stage is Stage.MOVING:
                self._count(message.moved, message.drained, self.result.longest_pause_s)
                self.stage, self.reason, self.lost = Stage.FAILED, message.reason, message.lost
            case Vacated() if self.stage is Stage.MOVED:
                self.stage = Stage.VACATED
        return self.stage is not before

    def source_ended(self, sessions: int = 0) -> bool:
        """Its process has ended, which had so many sessions when its turn began. Returns whether the stage is another one now."""
        if self.stage in (Stage.MOVING, Stage.MOVED):
            self.result = self.result._replace(lost=sessions if self.left is None else self.left)
            self.stage = Stage.ENDED
            return True
        return False

    def target_ended(self, now: float) -> None:
        """The process of one of its targets has ended."""
        if self._target_gone_at is None:
            self._target_gone_at = now

    def fail(self, reason: str) -> None:
        """Nothing more is to be expected of it."""
        self.stage, self.reason = Stage.FAILED, reason

    def look(self, now: float) -> Advice:
        """What is to be done about what does not go on. After KILL_TARGET the source has its time to notice."""
        since_s = now - self._changed_at
        match self.stage:
            case Stage.MOVED if since_s > VACATE_S:
                return Advice.GO_ON
            case Stage.MOVING if self._target_gone_at is not None:
                return Advice.GO_ON if now - self._target_gone_at > TARGET_GONE_S else Advice.WAIT
            case Stage.MOVING if since_s > self._patience_s:
                return Advice.KILL_SOURCE if self.result.moved else Advice.KILL_TARGET
            case _:
                return Advice.WAIT

    def _count(self, moved: int, drained: int, longest_pause_s: float) -> None:
        self.result = self.result._replace(moved=moved, drained=drained, longest_pause_s=longest_pause_s)
