"""The contract of sessions (contract §3, §4) over simulated histories, and the proof that the simulation would notice.

`scripts/simulate` runs the same over a million and more.
"""

from __future__ import annotations

import pytest

from tests.support.simulation.faults import moves
from tests.support.simulation.faults.planting import FAULTS, planted
from tests.support.simulation.kinds import MOVES_OF, violation_of_seed
from tests.support.simulation.simulate import first_violation, readable_history

HISTORIES = 3_000

HISTORIES_FOR_A_FAULT = 10_000
"""Within so many every planted fault must be found; most take a few dozen."""


def test_histories_of_a_shard_keep_the_contract() -> None:
    _, seed = first_violation(range(HISTORIES))
    if seed is not None:
        trace, violation = readable_history(seed)
        pytest.fail("\n".join([*trace, f"seed {seed}: {violation}"]))


def test_history_is_the_same_each_time_that_its_seed_is_played() -> None:
    for seed in range(20):
        assert readable_history(seed) == readable_history(seed)


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("fault", FAULTS)
def test_planted_fault_is_found(fault: str) -> None:
    with planted(fault):
        # Nothing moves in the others.
        every, first = (MOVES_OF, MOVES_OF - 1) if fault in moves.FAULTS else (1, 0)
        seeds = range(first, HISTORIES_FOR_A_FAULT * every, every)
        found = any(violation_of_seed(seed) is not None for seed in seeds)
    assert found


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # of those before, when they are collected
def test_nothing_stays_of_a_planted_fault() -> None:
    for fault in FAULTS:
        with planted(fault):
            pass
    _, seed = first_violation(range(100))
    assert seed is None
