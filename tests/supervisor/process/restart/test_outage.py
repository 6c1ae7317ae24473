"""When a server of which no worker gets ready gives up. Time is a number."""

from __future__ import annotations

from collections.abc import Iterable

from wspulse.supervisor.process.restart.outage import Outage


def first_true(outage: Outage, looks: Iterable[tuple[float, bool]]) -> float | None:
    return next((now for now, is_served in looks if outage.look(now, is_served)), None)


def test_server_that_never_gets_a_worker_gives_up_after_that_long() -> None:
    assert first_true(Outage(60.0, 100.0), ((100.0 + second, False) for second in range(1, 200))) == 160.0


def test_outage_counts_from_the_first_look_that_found_nobody() -> None:
    looks = ((float(second), second < 10) for second in range(1, 200))
    assert first_true(Outage(60.0, 0.0), looks) == 70.0


def test_worker_that_is_ready_for_a_moment_ends_the_outage() -> None:
    looks = ((float(second), second % 59 == 0) for second in range(1, 10_000))
    assert first_true(Outage(60.0, 0.0), looks) is None


def test_time_in_which_the_supervisor_stood_still_is_not_counted() -> None:
    outage = Outage(60.0, 0.0)
    assert not outage.look(1.0, False)
    assert not outage.look(3601.0, False), "an hour of a frozen machine"
    assert first_true(outage, ((3601.0 + second, False) for second in range(1, 200))) == 3657.0
