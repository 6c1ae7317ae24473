"""Drawn histories of sessions on two or three hosts; and faults that are planted, which they have to find.

More of them: `python -m tests.support.cluster --histories 10000`.
"""

from __future__ import annotations

import pytest

from tests.support.cluster.faults import FAULTS
from tests.support.cluster.history import History


@pytest.mark.parametrize("first", range(0, 120, 20))
def test_histories_hold(first: int) -> None:
    _run(range(first, first + 20))


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_fault_is_found(fault: str) -> None:
    with FAULTS[fault].planted(), pytest.raises(AssertionError):
        _run(FAULTS[fault].seeds)


def _run(seeds: range) -> None:
    for seed in seeds:
        History(seed).run()
