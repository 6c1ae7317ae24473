"""Histories: what happens to a shard, drawn from a seed. The same seed is the same history, step by step."""

from __future__ import annotations

from collections.abc import Callable
from traceback import format_exc

from tests.support.simulation.model.frames import SUSPENDED
from tests.support.simulation.steps import Steps
from tests.support.simulation.world import small_world

__all__ = ["History", "violation_of_seed"]

_WEIGHTS: list[tuple[Callable[[Steps], None], int]] = [
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
STEPS = [step for step, weight in _WEIGHTS for _ in range(weight)]
"""Each as often as its weight says."""


def violation_of_seed(seed: int) -> str | None:
    """What the history of this seed shows to be wrong."""
    return History(seed).run()


class History(Steps):
    """One history: 20 to 60 steps, with any number of loop turns between them, and an end at which nothing may be left."""

    def run(self) -> str | None:
        """Carry it out. Returns the first violation."""
        try:
            return self._run()
        except Exception:  # of the code under test, or of what stands for its kernel
            return format_exc()

    def _run(self) -> str | None:
        world = self.world
        model = world.model
        loop = world.loop
        draw = self._random
        steps = STEPS
        with loop, small_world():
            for _ in range(self._steps):
                steps[int(draw() * len(steps))](self)
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
