"""When a silent worker counts as stuck."""

from __future__ import annotations

from wspulse.supervisor.process.watching.liveness import Decision, Liveness


def ticks(liveness: Liveness, first: int, last: int) -> list[Decision]:
    return [liveness.tick(float(now)) for now in range(first, last + 1)]


def test_worker_that_speaks_is_left_alone() -> None:
    liveness = Liveness(5.0, 0.0)
    for now in range(100):
        liveness.heard(float(now))
        assert liveness.tick(now + 0.5) is Decision.WAIT


def test_silent_worker_is_dumped_once_then_killed() -> None:
    liveness = Liveness(5.0, 0.0)
    liveness.heard(0.0)
    assert set(ticks(liveness, 1, 5)) == {Decision.WAIT}
    assert liveness.tick(6.0) is Decision.DUMP
    assert liveness.tick(6.1) is Decision.WAIT
    assert liveness.tick(7.0) is Decision.KILL
    assert liveness.tick(8.0) is Decision.KILL


def test_worker_that_wakes_up_after_its_dump_is_killed_all_the_same() -> None:
    liveness = Liveness(5.0, 0.0)
    liveness.heard(0.0)
    ticks(liveness, 1, 5)
    assert liveness.tick(6.0) is Decision.DUMP
    liveness.heard(6.2)
    assert liveness.tick(7.0) is Decision.KILL


def test_worker_that_never_spoke_is_still_importing() -> None:
    liveness = Liveness(5.0, 0.0)
    assert set(ticks(liveness, 0, 100)) == {Decision.WAIT}
    assert not liveness.is_armed


def test_silence_while_the_supervisor_itself_stood_still_does_not_count() -> None:
    liveness = Liveness(5.0, 0.0)
    liveness.heard(1.0)
    assert liveness.tick(61.0) is Decision.WAIT
    assert set(ticks(liveness, 62, 66)) == {Decision.WAIT}
    assert liveness.tick(67.0) is Decision.DUMP, "a worker that is stuck as well is found a timeout later"


def test_silence_is_counted_from_the_last_word() -> None:
    liveness = Liveness(5.0, 0.0)
    assert liveness.silence_s(10.0) == 0.0
    liveness.heard(10.0)
    assert liveness.silence_s(12.5) == 2.5
