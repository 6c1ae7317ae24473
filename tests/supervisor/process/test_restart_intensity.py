"""When a crashed worker is started again, and when not any more."""

from __future__ import annotations

from wspulse.supervisor.process.restart_intensity import RestartIntensity


def test_delays_double_from_a_tenth_while_crashes_follow_each_other() -> None:
    intensity = RestartIntensity()
    assert [intensity.crashed(now, 0.0) for now in (0, 1, 2, 3, 4)] == [0.1, 0.2, 0.4, 0.8, 1.6]


def test_sixth_crash_within_a_minute_gives_up() -> None:
    intensity = RestartIntensity()
    for now in range(5):
        assert intensity.crashed(now, 0.0) is not None
    assert intensity.crashed(59.9, 0.0) is None


def test_restarts_older_than_a_minute_are_forgotten() -> None:
    intensity = RestartIntensity()
    for now in range(5):
        intensity.crashed(now, 0.0)
    assert intensity.crashed(60.0, 0.0) is not None
    assert intensity.crashed(60.5, 0.0) is None


def test_delay_never_exceeds_five_seconds() -> None:
    intensity = RestartIntensity()
    delays = [intensity.crashed(now * 13.0, 0.0) for now in range(200)]
    assert delays[-1] == 5.0
    assert max(delay for delay in delays if delay is not None) == 5.0


def test_delay_begins_anew_after_a_worker_ran_well() -> None:
    intensity = RestartIntensity()
    for now in range(4):
        intensity.crashed(now, 0.0)
    assert intensity.crashed(30, 20.0) == 0.1
    assert intensity.crashed(90, 5.0) == 0.2
