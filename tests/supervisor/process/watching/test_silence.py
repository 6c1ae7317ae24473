"""When a silent worker is told of. Times are in seconds."""

from __future__ import annotations

from wspulse.supervisor.process.watching.silence import Silence


def looks(silence: Silence, first: int, last: int) -> list[float | None]:
    return [silence.look(float(second)) for second in range(first, last + 1)]


def test_worker_that_speaks_every_second_is_not_silent() -> None:
    silence = Silence(0.0)
    for second in range(100):
        assert silence.heard(float(second)) is None
        assert silence.look(second + 0.9) is None


def test_silent_worker_is_told_of_once_and_when_it_is_back_with_how_long_it_was() -> None:
    silence = Silence(0.0)
    silence.heard(0.5)
    assert looks(silence, 1, 10) == [None, None, None, 3.5, *[None] * 6]
    assert silence.heard(12.75) == 12.25
    assert not silence.is_told
    assert silence.heard(13.0) is None
    assert looks(silence, 11, 15) == [None] * 5
    assert looks(silence, 16, 16) == [3.0]


def test_worker_that_was_never_heard_still_starts_and_is_not_silent() -> None:
    silence = Silence(0.0)
    assert looks(silence, 1, 100) == [None] * 100
    assert silence.silence_s(100.0) == 0.0


def test_worker_is_not_silent_because_the_supervisor_stood_still() -> None:
    silence = Silence(0.0)
    silence.heard(1.0)
    assert looks(silence, 1, 2) == [None, None]
    assert looks(silence, 62, 63) == [None, None]
    assert silence.silence_s(63.0) == 2.0
    assert silence.look(64.0) == 3.0, "one that is silent as well is found: a second before, and two since"


def test_supervisor_that_stands_still_beside_a_silent_worker_does_not_count_that_time() -> None:
    silence = Silence(0.0)
    silence.heard(0.0)
    assert looks(silence, 1, 4) == [None, None, 3.0, None]
    assert silence.look(64.0) is None
    assert silence.heard(65.0) == 5.0
