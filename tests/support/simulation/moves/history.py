"""Histories in which sessions move between processes, drawn from a seed as those of one shard are."""

from __future__ import annotations

from collections.abc import Callable

from tests.support.simulation.history import WEIGHTS, History
from tests.support.simulation.moves.patches import patches_of
from tests.support.simulation.moves.steps import MoveSteps
from tests.support.simulation.outside.small import small_world

__all__ = ["MovingHistory"]

_WEIGHTS: list[tuple[Callable[[MoveSteps], None], int]] = [
    *WEIGHTS,
    (MoveSteps._plan, 14),
    (MoveSteps._net, 12),
    (MoveSteps._in_the_midst, 24),
    (MoveSteps._move_on, 16),
    (MoveSteps._stall, 2),
    (MoveSteps._tear, 3),
    (MoveSteps._shortage, 2),
    (MoveSteps._kill, 3),
]


class MovingHistory(MoveSteps, History):
    """See the module."""

    steps = tuple(step.__name__ for step, weight in _WEIGHTS for _ in range(weight))

    def _run(self) -> str | None:
        world = self.world
        with world.loop, small_world(patches_of(world)):
            try:
                self._begin()
                if self._walk() is None:
                    if self._random() < 0.6:
                        self._recover()
                    world.finish()
                return world.model.violation
            finally:
                world.end_tasks()
