from __future__ import annotations

from random import Random

from wspulse.actors.values.timing.service_clock import ServiceClock


class RealTime:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_clock_without_beats_goes_with_the_real_time() -> None:
    real = RealTime()
    clock = ServiceClock(real)
    real.now = 900.0
    assert clock() == 900.0
    assert clock.behind_s == 0


def test_clock_goes_on_when_beats_come_in_time() -> None:
    real = RealTime()
    clock = ServiceClock(real)
    clock.begin()
    for _ in range(40):
        real.now += 0.25
        assert not clock.beat()
        assert clock() == real.now


def test_clock_goes_on_when_beats_are_a_little_late() -> None:
    real = RealTime()
    clock = ServiceClock(real)
    clock.begin()
    for _ in range(40):
        real.now += 0.45
        assert not clock.beat()
    assert clock() == real.now


def test_clock_stands_when_no_beat_comes() -> None:
    real = RealTime()
    clock = ServiceClock(real)
    clock.begin()
    real.now += 0.4
    assert clock() == 100.4
    for later_s in (0.5, 3.0, 3000.0):
        real.now = 100.0 + later_s
        assert clock() == 100.5


def test_clock_stands_on_after_a_gap_until_the_second_beat() -> None:
    real = RealTime()
    clock = ServiceClock(real)
    clock.begin()
    real.now += 20
    assert clock.beat()
    assert clock() == 100.5
    real.now += 1.0
    assert clock() == 100.5
    assert not clock.beat()
    assert clock() == 100.5
    assert clock.behind_s == 20.5
    real.now += 0.25
    assert clock() == 100.75


def test_clock_goes_on_when_every_beat_is_late() -> None:
    """A loop that is always behind must not keep peers for ever that are gone."""
    real = RealTime()
    clock = ServiceClock(real)
    clock.begin()
    seen = [clock()]
    for _ in range(20):
        real.now += 3.0
        clock.beat()
        seen.append(clock())
    assert seen == sorted(seen)
    assert seen[-1] >= 104.0


def test_clock_that_rested_counts_the_rest_as_time() -> None:
    real = RealTime()
    clock = ServiceClock(real)
    clock.begin()
    real.now += 0.25
    clock.beat()
    clock.rest()
    real.now += 500
    assert clock() == 600.25
    clock.begin()
    real.now += 0.25
    assert not clock.beat()
    assert clock() == 600.5


def test_clock_never_goes_back(draw: Random) -> None:
    real = RealTime()
    clock = ServiceClock(real)
    before = clock()
    for _ in range(500):
        which = draw.random()
        if which < 0.6:
            real.now += draw.random() * (0.3 if draw.random() < 0.8 else 8.0)
        elif which < 0.9:
            clock.beat()
        elif which < 0.95:
            clock.rest()
        else:
            clock.begin()
        assert clock() >= before - 1e-9  # what floats lose
        before = clock()
        assert before <= real.now + 1e-9
