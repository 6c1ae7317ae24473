"""`Handover`: one worker's sessions of some slots are moved elsewhere: what is told to whom, and when the slots are others'.

Made by the `Conductor` for each turn, which it tells what it hears of workers. `Turn` decides what has become of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from wspulse.actors.mesh.lifecycle import MovedOut, MoveFailed, MoveOut, MoveProgress, Vacated
from wspulse.actors.mesh.placement import SLOTS
from wspulse.supervisor.moving.pulse import Pulse
from wspulse.supervisor.moving.turn import Advice, Moved, Stage, Turn
from wspulse.supervisor.process.child import Child
from wspulse.supervisor.process.restart.failure import MoveFailedError
from wspulse.supervisor.process.seating import NO_SEAT, Seating, packed

__all__ = ["Handover"]

LOOK_S = 1.0
"""Between two looks at whether it goes on."""

NOTHING_MOVED = "none moved in the time allowed"
TARGET_GONE = "the worker they moved to has ended"

_logger = logging.getLogger("wspulse.supervisor")


class Handover:
    """See the module. `commit` is called when the slots are to change hands, at the latest when the source ends; it returns
    whether there is somebody to have them."""

    def __init__(
        self,
        plan: int,
        source: Child,
        targets: Mapping[int, int],
        seating: Seating,
        pulse: Pulse,
        commit: Callable[[], bool],
        *,
        leaves: bool,
        workers: int,
        patience_s: float,
    ) -> None:
        """`targets` has the seat that each slot goes to; `workers` are there afterwards."""
        self.source = source
        self.is_committed = False
        self.is_told = False
        """Whether the source has its order."""
        self._sessions = 0
        """How many it had then."""
        self._targets = targets
        self._seating = seating
        self._pulse = pulse
        self._commit = commit
        self._leaves = leaves
        self._workers = workers
        self._loop = asyncio.get_running_loop()
        self.turn = Turn(plan, source.shard, patience_s)
        self._new_target: Child | None = None

    async def run(
        self, handover_timeout_s: float, drain_spread_s: float, *, drain: bool, new_target: Child | None
    ) -> Moved:
        """Have it done, and return when the source has nothing to do with those slots any more. `new_target` has no other
        sessions than these. Raises MoveFailedError."""
        turn = self.turn
        self._new_target = new_target
        if turn.stage is Stage.MOVING:
            turn.begin(self._loop.time())
            self.is_told = True
            self._sessions = self.source.connections
            targets = [self._targets.get(slot, NO_SEAT) for slot in range(SLOTS)]
            order = MoveOut(turn.plan, packed(targets), self._leaves, handover_timeout_s, drain_spread_s, drain)
            self.source.tell(order)
        looks = self._loop.call_later(LOOK_S, self._look)
        self._looks = looks
        try:
            await self._pulse.until(lambda: turn.stage in (Stage.VACATED, Stage.ENDED, Stage.FAILED))
        finally:
            self._looks.cancel()
        if turn.stage is Stage.FAILED:
            fields = {"shard": self.source.shard, "reason": turn.reason, "moved": turn.result.moved, "lost": turn.lost}
            _logger.error("not all sessions could be moved", extra=fields)
            raise MoveFailedError(self.source.shard, turn.reason, moved=turn.result.moved, lost=turn.lost)
        return turn.result

    def commit(self) -> bool:
        """The slots are their targets' from now on; returns whether they are."""
        if not self.is_committed and self._commit():
            self.is_committed = True
            self._seating.change(self._targets, self._workers)
        return self.is_committed

    # What is heard of workers.

    def heard(self, message: MoveProgress | MovedOut | MoveFailed | Vacated) -> None:
        """Of the source."""
        turn = self.turn
        if turn.heard(message, self._loop.time()) and turn.stage is Stage.MOVED and not self.commit():
            turn.fail(TARGET_GONE)
            turn.lost = turn.result.moved
            self.source.kill()  # it takes those slots for another's

    def ended(self, child: Child) -> None:
        """The process of a worker has ended."""
        if child is self.source:
            if self.commit():
                self.turn.source_ended(self._sessions if self.is_told else 0)
                if lost := self.turn.result.lost:
                    fields = {"shard": child.shard, "moved": self.turn.result.moved, "lost": lost}
                    _logger.error("a worker ended before all of its sessions had moved", extra=fields)
            else:
                self.turn.fail(TARGET_GONE)
        elif child.seat in self._targets.values():
            self.turn.target_ended(self._loop.time())

    def _look(self) -> None:
        self._looks = self._loop.call_later(LOOK_S, self._look)
        turn, source = self.turn, self.source
        fields = {"shard": source.shard, "pid": source.pid, "moved": turn.result.moved, "left": turn.left}
        match turn.look(self._loop.time()):
            case Advice.KILL_TARGET if self._new_target is not None:
                _logger.error("no session moves to the new worker; it is killed", extra=fields)
                turn.reason = NOTHING_MOVED
                self._new_target.kill()
            case Advice.KILL_TARGET | Advice.KILL_SOURCE:
                # Other workers serve: it is not for one of them to die.
                _logger.error("the remaining sessions do not move; their worker is killed", extra=fields)
                source.kill()
            case Advice.GO_ON if turn.stage is Stage.MOVED:
                _logger.warning("a worker does not confirm that its sessions have moved", extra=fields)
                turn.stage = Stage.VACATED
            case Advice.GO_ON:
                turn.fail(turn.reason or TARGET_GONE)
            case _:
                return
        self._pulse.beat()
