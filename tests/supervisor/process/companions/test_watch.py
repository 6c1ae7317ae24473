"""Of whom the supervisor thinks that a terminator is stuck, and what is told meanwhile."""

from __future__ import annotations

import pytest

from wspulse.supervisor.process.companions.presence import Presence
from wspulse.supervisor.process.companions.watch import CompanionWatch

AMISS = "no TLS terminator is running"


class Stage:
    """One terminator, which is up, and what the health checks were told."""

    def __init__(self, stall_timeout_s: float = 10.0) -> None:
        self.told: list[tuple[str, bool]] = []
        presence = Presence(AMISS, lambda *told: self.told.append(told), lambda: None, pytest.fail)
        presence.want(1)
        self.watch = CompanionWatch("tls 0", "TLS terminator", 0, 4711, presence, stall_timeout_s, 0.0)

    def look(self, until: int, start: int = 1) -> list[bool]:
        """Once a second."""
        return [self.watch.look(float(now)) for now in range(start, until + 1)]


def test_one_that_starts_slowly_is_let_be() -> None:
    at = Stage()
    assert not any(at.look(100))
    assert at.told == []


def test_one_that_is_silent_counts_as_down_and_is_up_again_when_it_is_back(caplog: pytest.LogCaptureFixture) -> None:
    at = Stage()
    at.watch.heard(0.5)
    assert not any(at.look(3))
    assert at.told == []
    assert not any(at.look(5, 4))
    assert at.told == [(AMISS, True)]
    at.watch.heard(5.5)
    assert at.told == [(AMISS, True), (AMISS, False)]
    assert [each.message for each in caplog.records] == [
        "a TLS terminator is silent",
        "a TLS terminator that was silent is back",
    ]


def test_one_that_stays_silent_is_killed_and_one_that_is_heard_is_not() -> None:
    at = Stage()
    for second in range(30):
        at.watch.heard(second + 0.5)
        assert not at.watch.look(second + 1.0)
    assert at.look(42, 31) == [second > 39.5 for second in range(31, 43)]


def test_silence_of_a_supervisor_that_stood_still_is_not_the_terminators() -> None:
    at = Stage()
    at.watch.heard(0.5)
    assert not any(at.look(2))
    assert not at.watch.look(60.0)
    assert at.told == []
