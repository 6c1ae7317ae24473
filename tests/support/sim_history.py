"""Histories: what happens to a shard, drawn from a seed. The same seed is the same history, step by step."""

from __future__ import annotations

from tests.support.sim_frames import SUSPENDED
from tests.support.sim_steps import STEPS, Steps
from tests.support.sim_world import small_world

__all__ = ["History", "violation_of_seed"]


def violation_of_seed(seed: int) -> str | None:
    """What the history of this seed shows to be wrong."""
    return History(seed).run()


class History(Steps):
    """One history: 20 to 60 steps, with any number of loop turns between them, and an end at which nothing may be left."""

    def run(self) -> str | None:
        """Carry it out. Returns the first violation."""
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
            if session.state is SUSPENDED:
                world.connect(session.id, session.room.id)
        world.heal()
