"""When a loop that stood still says so, and what. Times are in seconds."""

from __future__ import annotations

import pytest

from wspulse.actors.values.timing.standstill import BUSY, IDLE, SUSPENDED, Standstill, Stood


class Stage:
    """A loop that is looked at every half second."""

    def __init__(self) -> None:
        self.now, self.boot, self.cpu = 1000.0, 5000.0, 3.0
        self.standstill = Standstill(0.5, self.now, self.boot, self.cpu)

    def passes(self, seconds: float, *, cpu_s: float = 0.0, suspended_s: float = 0.0) -> Stood | None:
        self.now += seconds
        self.boot += seconds + suspended_s
        self.cpu += cpu_s
        return self.standstill.look(self.now, self.boot, self.cpu)

    def rests(self, seconds: float) -> None:
        for _ in range(int(seconds * 2)):
            assert self.passes(0.5) is None


@pytest.mark.parametrize(
    ("cpu_s", "sentence"), [(0.0, IDLE), (1.1, IDLE), (1.3, BUSY), (12.0, BUSY), (40.0, BUSY)], ids=str
)
def test_standstill_is_told_once_with_how_long_it_was_and_by_the_cpu_that_was_used(cpu_s: float, sentence: str) -> None:
    stage = Stage()
    stage.rests(5)
    fields = {"stood_still_s": 12.0, "cpu_s": round(cpu_s, 1), "not_logged": 0}
    assert stage.passes(12.5, cpu_s=cpu_s) == Stood(sentence, fields)
    stage.rests(60)


def test_delay_of_up_to_a_second_is_nothing_to_tell() -> None:
    stage = Stage()
    for _ in range(50):
        assert stage.passes(1.5) is None
    assert stage.passes(1.6) is not None


def test_suspended_machine_is_told_although_the_monotonic_clock_stood() -> None:
    stage = Stage()
    assert stage.passes(0.6, suspended_s=3600) == Stood(
        SUSPENDED, {"stood_still_s": 3600.1, "cpu_s": 0.0, "not_logged": 0}
    )
    stage.rests(5)


def test_standstills_one_after_another_are_told_every_10_s_and_a_longer_one_at_once() -> None:
    stage = Stage()
    assert stage.passes(2.5) is not None
    for _ in range(2):
        assert stage.passes(2.5) is None
    longer = stage.passes(4.6)
    assert longer is not None
    assert longer.fields == {"stood_still_s": 4.1, "cpu_s": 0.0, "not_logged": 2}
    assert stage.passes(2.5) is None
    stage.rests(10)
    again = stage.passes(2.5)
    assert again is not None
    assert again.fields["not_logged"] == 1
