"""So many per second, and what was saved of them."""

from __future__ import annotations

import pytest

from wspulse.actors.values.timing.allowance import Allowance


def test_allowance_is_full_at_first_and_saves_no_more_than_a_second_gives() -> None:
    allowance = Allowance(4, 100.0)
    assert allowance.level(100.0) == 4
    allowance.take(3, 100.0)
    assert allowance.level(100.5) == 3
    assert allowance.level(200.0) == 4


def test_more_than_there_is_may_be_taken_and_is_owed() -> None:
    allowance = Allowance(4, 100.0)
    allowance.take(10, 100.0)
    assert allowance.level(100.0) == -6
    assert allowance.wait_s(1, 100.0) == pytest.approx(1.75)
    assert allowance.wait_s(1, 101.75) == 0


def test_allowance_of_less_than_one_per_second_saves_one() -> None:
    allowance = Allowance(0.5, 100.0)
    assert allowance.level(100.0) == 1
    allowance.take(1, 100.0)
    assert allowance.wait_s(1, 100.0) == pytest.approx(2)
    assert allowance.level(110.0) == 1


def test_time_that_goes_back_takes_nothing() -> None:
    allowance = Allowance(4, 100.0)
    allowance.take(4, 100.0)
    assert allowance.level(90.0) == 0
