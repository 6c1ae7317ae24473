"""Many at once, and much at once."""

from __future__ import annotations

import statistics

from tests.support.chaos.stage import Stage
from tests.support.chaos.strikes.wellness import all_are_replaced, all_is_well
from tests.support.crowds.storm import storm
from wspulse import AsyncControl

__all__ = ["reconnect_storm", "reloads_under_load"]

RELOADS = 3

STORM_CLIENTS = 1000
STAY = 50


async def reloads_under_load(stage: Stage) -> None:
    """One after another, by the control socket."""
    moved = closed = 0
    longest_s = 0.0
    for _ in range(RELOADS):
        before = stage.server.worker_pids()
        async with AsyncControl(stage.server.control, timeout=60) as control:
            told = await control.reload()
        moved += sum(each.moved for each in told)
        closed += sum(each.drained + each.lost for each in told)
        longest_s = max(longest_s, *(each.longest_pause_s for each in told))
        await all_are_replaced(stage, before)
    stage.saw(f"{RELOADS} reloads: {moved} sessions moved, {closed} closed, longest pause {longest_s:.2f} s")
    assert closed == 0
    assert moved == RELOADS * len(stage.crowd.members)
    await all_is_well(stage)


async def reconnect_storm() -> list[str]:
    """At a server of its own. AssertionError when somebody is lost; returns what was seen."""
    outcome = await storm(STORM_CLIENTS, stay=STAY, workers=2)
    assert len(outcome.back_s) == STORM_CLIENTS
    assert outcome.lost == 0
    before, during = (1000 * statistics.median(each) for each in (outcome.asked_before_s, outcome.asked_during_s))
    return [
        f"{STORM_CLIENTS:,} clients cut off at once; all back after {outcome.back_s[-1]:.2f} s",
        f"{STAY} that stayed: {outcome.lost} lost; median of their round trips {before:.1f} ms before, {during:.1f} ms meanwhile",
    ]
