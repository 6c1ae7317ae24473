"""`Handovers`: the turns of a plan, one at a time: begun, watched, and what becomes of the source behind them.

Made by the `Conductor`, for `Replacing` and `Scaling`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, Protocol

from wspulse.actors.mesh.lifecycle import Drain, MovedOut, MoveFailed, MoveProgress, Vacated
from wspulse.supervisor.moving.handover import Handover
from wspulse.supervisor.moving.pulse import Pulse
from wspulse.supervisor.moving.turn import Moved
from wspulse.supervisor.process.child import Child, ChildState
from wspulse.supervisor.process.seating import Seating
from wspulse.supervisor.settings.layers import Settings

__all__ = ["Handovers", "MovingEvents", "Patience"]


class Patience(NamedTuple):
    """How long things may take."""

    handover_timeout_s: float
    """For a session to become quiet."""
    drain_spread_s: float
    """Over which those are closed that cannot move."""
    give_up_after_s: float
    """For other workers to be ready before the next one is replaced."""
    silence_s: float = 10.0
    """Beyond all that, in which nothing moves."""

    @classmethod
    def of(cls, settings: Settings) -> Patience:
        # A worker that stands still is killed for that, as any other is, before its plan despairs of it.
        silence_s = max(10.0, settings.stall_timeout + 5)
        return cls(settings.handover_timeout, settings.drain_spread, settings.give_up_after, silence_s)


class MovingEvents(Protocol):
    """What is told of it."""

    def on_moving(self, child: Child, result: Moved, *, is_over: bool) -> None:
        """A worker's sessions begin to move; or that is over, and `result` is what it came to."""

    def on_replaced(self, child: Child) -> None:
        """It has taken another one's place, which is gone."""


class Handovers:
    """See the module."""

    def __init__(self, seating: Seating, pulse: Pulse, events: MovingEvents, patience: Patience) -> None:
        self.patience = patience
        self.events = events
        self._seating = seating
        self._pulse = pulse
        self._current: Handover | None = None
        self._plans = 0

    @contextmanager
    def turn(
        self, source: Child, targets: dict[int, int], commit: Callable[[], bool], *, leaves: bool, workers: int
    ) -> Iterator[Handover]:
        """It is this one's turn within the block: what is heard of workers is told to it. `workers` are there afterwards."""
        self._plans += 1
        patience = self.patience
        self._current = handover = Handover(
            self._plans,
            source,
            targets,
            self._seating,
            self._pulse,
            commit,
            leaves=leaves,
            workers=workers,
            patience_s=sum((patience.handover_timeout_s, patience.drain_spread_s, patience.silence_s)),
        )
        try:
            yield handover
        finally:
            self._current = None

    async def run(self, handover: Handover, *, new_target: Child | None = None, drain: bool = False) -> Moved:
        """Have the sessions moved. Raises MoveFailedError. Where the source is not ready it has none, and its slots change hands
        at once."""
        source = handover.source
        if source.state is not ChildState.READY and handover.commit():
            handover.turn.source_ended()
        self.events.on_moving(source, handover.turn.result, is_over=False)
        try:
            return await handover.run(
                self.patience.handover_timeout_s, self.patience.drain_spread_s, drain=drain, new_target=new_target
            )
        finally:
            self.events.on_moving(source, handover.turn.result, is_over=True)

    async def retired(self, source: Child) -> None:
        """Wait until it has ended, in order if it is there still, and its seat is free."""
        if source.state is not ChildState.STOPPED:
            source.retire(Drain(server_closes=False, restarts=True, spread_s=self.patience.drain_spread_s))
        await self._pulse.until(lambda: source.state is ChildState.STOPPED)

    def left(self, shard: int) -> int | None:
        """How many sessions of a worker have yet to move; None when it is not its turn."""
        handover = self._current
        if handover is None or handover.source.shard != shard or not handover.is_told:
            return None
        return handover.source.connections if handover.turn.left is None else handover.turn.left

    def heard(self, child: Child, message: MoveProgress | MovedOut | MoveFailed | Vacated) -> None:
        """A worker says so."""
        if self._current is not None and self._current.source is child:
            self._current.heard(message)

    def ended(self, child: Child) -> None:
        """The process of a worker has ended."""
        if self._current is not None:
            self._current.ended(child)
