"""When a shard without a worker is given the next one."""

from __future__ import annotations

from wspulse.supervisor.process.restart.backoff import Backoff


def test_delay_begins_at_a_tenth_of_a_second_and_doubles_up_to_five_without_an_end() -> None:
    backoff = Backoff()
    assert [backoff.failed(0.0) for _ in range(8)] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    assert {backoff.failed(0.0) for _ in range(5000)} == {5.0}


def test_worker_that_ran_well_is_repaired_at_once_and_one_that_ran_a_little_is_not() -> None:
    backoff = Backoff()
    for _ in range(4):
        backoff.failed(0.0)
    assert backoff.failed(9.9) == 1.6
    assert backoff.failed(10.0) == 0.1
    assert backoff.failed(5.0) == 0.2
