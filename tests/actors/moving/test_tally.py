"""What a departure has done, as its plan is told of it and as telemetry is."""

from __future__ import annotations

from typing import NamedTuple

from wspulse.actors.moving.tally import MoveTally
from wspulse.actors.values.metrics import Metrics


class Moved(NamedTuple):
    pause_s: float


def test_moves_are_counted_for_the_plan_and_for_telemetry_over_all_plans() -> None:
    metrics = Metrics()
    for _ in range(2):
        tally = MoveTally(metrics)
        tally.note([Moved(0.002), Moved(0.3)])
        tally.closed()
        assert (tally.moved, tally.drained, tally.longest_pause_s) == (2, 1, 0.3)
    assert (metrics.moves_moved, metrics.moves_closed) == (4, 2)
    told = metrics.histograms.told()["wspulse_move_seconds"][""]
    assert told == {"sum_us": 604_000, "1": 2, "8": 2}
