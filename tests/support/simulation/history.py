"""Histories: what happens to a shard, drawn from a seed. The same seed is the same history, step by step."""

from __future__ import annotations

import traceback
from collections.abc import Callable

from tests.support.simulation.model.frames import SUSPENDED
from tests.support.simulation.outside.small import small_world
from tests.support.simulation.steps import Steps

__all__ = ["WEIGHTS", "History"]

WEIGHTS: list[tuple[Callable[[Steps], None], int]] = [
    (Steps._connect, 9),
    (Steps._return, 9),
    (Steps._message, 14),
    (Steps._flood, 2),
    (Steps._late_handler, 2),
    (Steps._silence, 1),
    (Steps._slow_reader, 1),
    (Steps._half_close, 2),
    (Steps._part, 2),
    (Steps._arrive, 4),
    (Steps._drop, 8),
    (Steps._goodbye, 4),
    (Steps._kick, 3),
    (Steps._close, 2),
    (Steps._send, 10),
    (Steps._broadcast, 9),
    (Steps._burst, 6),
    (Steps._join, 5),
    (Steps._leave, 3),
    (Steps._reading, 8),
    (Steps._advance, 9),
    (Steps._bus, 10),
    (Steps._release, 5),
    (Steps._list, 2),
    (Steps._watch, 1),
    (Steps._call, 3),
    (Steps._answer, 3),
    (Steps._dial, 8),
    (Steps._acknowledge, 7),
    (Steps._say_away, 3),
    (Steps._shut_down, 1),
]


class History(Steps):
    """One history: 20 to 60 steps, with any number of loop turns between them, and an end at which nothing may be left."""

    steps = tuple(step.__name__ for step, weight in WEIGHTS for _ in range(weight))
    """Each as often as its weight says."""

    def run(self) -> str | None:
        """Carry it out. Returns the first violation; what anything raises that may not is one."""
        try:
            return self._run()
        except Exception:
            return traceback.format_exc()

    def _walk(self) -> str | None:
        """Step by step."""
        world = self.world
        model = world.model
        loop = world.loop
        draw = self._random
        steps = self.steps
        for _ in range(self._steps):
            getattr(self, steps[int(draw() * len(steps))])()
            turns = draw()
            world.settle()
            if turns > 0.4:
                if turns > 0.65:
                    world.run_until_idle()
                else:
                    loop.turn()
                    if turns > 0.58:
                        loop.turn()
                    world.settle()
            if model.violation is not None:
                return model.violation
        self._say("the end")
        return None

    def _run(self) -> str | None:
        world = self.world
        model = world.model
        draw = self._random
        with world.loop, small_world():
            if self._walk() is not None:
                return model.violation
            how = draw()
            if how < 0.05 and not world.app.is_shut:
                self._say("and abruptly so")
                world.abort(before_callbacks=how < 0.025)
                return model.violation
            if how < 0.5:
                self._recover()
            world.finish()
            return model.violation

    def _recover(self) -> None:
        """Everybody comes back and everything flows."""
        world = self.world
        world.heal()
        for session in list(world.model.live.values()):
            if session.state is SUSPENDED and session.exact is None:
                world.connect(session.id, session.room.id)
        self._recover_exactly()
        world.heal()
        self._check_recovered()
