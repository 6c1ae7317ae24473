"""`Clocks`: when what another host sent was sent."""

from __future__ import annotations

import pytest

from wspulse.supervisor.cluster.hosts import clocks as module
from wspulse.supervisor.cluster.hosts.clocks import Clocks


class Time:
    """This host's clock; that of the asker is 500 behind it."""

    def __init__(self) -> None:
        self.now = 10_000.0

    def __call__(self) -> float:
        return self.now

    @property
    def theirs(self) -> float:
        return self.now - 500.0


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    made = Time()
    monkeypatch.setattr(module, "clock", made)
    return made


def test_who_has_not_been_heard_may_have_sent_it_at_any_time(time: Time) -> None:
    clocks = Clocks()
    assert clocks.earliest("a", time.theirs) is None
    clocks.confirm("a", time.theirs, time.now)
    assert clocks.earliest("b", time.theirs) is None


def test_what_was_sent_is_dated_as_well_as_the_asker_was_ever_heard(time: Time) -> None:
    clocks = Clocks()
    for heard_s in (0.3, 0.1, 0.2):
        clocks.confirm("a", time.theirs, time.now - heard_s)
        time.now += 1
    sent_at, sent = time.theirs, time.now
    time.now += 7
    assert clocks.earliest("a", sent_at) == pytest.approx(sent - 0.1)


def test_what_was_found_out_is_not_relied_on_for_ever(time: Time) -> None:
    clocks = Clocks()
    clocks.confirm("a", time.theirs, time.now)
    time.now += 599
    assert clocks.earliest("a", time.theirs) == time.now
    time.now += 1
    assert clocks.earliest("a", time.theirs) is None
    clocks.confirm("a", time.theirs, time.now - 2)
    assert clocks.earliest("a", time.theirs) == time.now - 2


def test_asker_whose_clock_has_jumped_is_not_believed_until_it_is_heard(time: Time) -> None:
    clocks = Clocks()
    clocks.confirm("a", time.theirs, time.now)
    assert clocks.earliest("a", time.theirs + 60) is None
    assert clocks.earliest("a", time.theirs) is None
    clocks.confirm("a", time.theirs + 60, time.now)
    assert clocks.earliest("a", time.theirs + 60) == time.now


def test_no_more_askers_are_kept_than_there_can_be(time: Time, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_KNOWN", 3)
    clocks = Clocks()
    for asker in "abcab":
        clocks.confirm(asker, time.theirs, time.now)
    clocks.confirm("d", time.theirs, time.now)
    assert [clocks.earliest(asker, time.theirs) is None for asker in "abcd"] == [False, False, True, False]
