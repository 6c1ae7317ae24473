"""A crowd that talks while its sessions move from worker to worker; `scripts/moving-crowd` does it with 2,000 clients, and more
happens to the server."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.crowds.moving.crowd import Crowd, Outcome, report, run

LONGEST_PAUSE_S = 5.0
"""Of a session, on a machine that is busy with other tests."""

FRAMES_PER_S = 20
"""To each client: one that reads slowly, on a machine that is busy with other tests, gets them all before its buffer is full."""


def small(workers: int, *steps: str, clients: int = 200) -> Crowd:
    many = clients // 20
    return Crowd(
        clients,
        clients // 4,
        workers,
        steps,
        blocked=3,
        half=many,
        away=many,
        slow=1,
        exact=max(2, many // 2),
        slow_s=1.5,
        burst=20,
        deliveries=FRAMES_PER_S * clients,
        say_s=1.0,
        programs=1,
        still_s=1.0,
    )


def assert_unnoticed(outcome: Outcome, *, replaced: int) -> None:
    """Nobody noticed anything; and so many answers of the server say that sessions have moved, and none was closed."""
    assert outcome.findings.stories == [], report(outcome)
    assert outcome.is_clean, report(outcome)
    assert len(outcome.rows) == replaced, report(outcome)
    for row in outcome.rows:
        assert row.moved, report(outcome)
        assert row.drained == 0, report(outcome)
        assert row.longest_pause_s is not None
        assert row.longest_pause_s < LONGEST_PAUSE_S, report(outcome)
    assert outcome.moved >= sum(row.moved or 0 for row in outcome.rows), report(outcome)


@pytest.mark.parametrize("workers", [1, 4])
def test_reloads_close_no_connection_and_lose_double_and_disorder_no_frame(workers: int, tmp_path: Path) -> None:
    outcome = run(tmp_path, small(workers, "reload:2"))
    assert_unnoticed(outcome, replaced=2)
    # Each session once in each reload, but for those that were away and came back at the wrong moment.
    assert outcome.moved >= 2 * 200 - 20, report(outcome)


def test_workers_that_come_and_go_close_no_connection_and_lose_no_frame(tmp_path: Path) -> None:
    outcome = run(tmp_path, small(2, "scale:3,1"))
    assert_unnoticed(outcome, replaced=2)


def test_reload_to_broken_code_is_noticed_by_nobody_and_the_next_one_goes_well(tmp_path: Path) -> None:
    outcome = run(tmp_path, small(2, "broken:syntax", "broken:start", "reload", clients=60))
    assert outcome.findings.stories == [], report(outcome)
    assert outcome.rows[-1].moved, report(outcome)


def test_two_reloads_at_once_are_one(tmp_path: Path) -> None:
    outcome = run(tmp_path, small(2, "at-once", clients=60))
    assert_unnoticed(outcome, replaced=1)


@pytest.mark.parametrize("which", ["old", "new"])
def test_process_that_is_killed_during_a_move_takes_only_sessions_of_its_own_with_it(
    which: str, tmp_path: Path
) -> None:
    outcome = run(tmp_path, small(3, f"kill:{which}", clients=60))
    assert outcome.findings.stories == [], report(outcome)


def test_server_that_is_told_to_end_during_a_move_says_so_to_all(tmp_path: Path) -> None:
    outcome = run(tmp_path, small(2, "terminate:1", clients=60))
    assert outcome.findings.stories == [], report(outcome)


def test_reload_that_is_to_drain_tells_all_to_come_back(tmp_path: Path) -> None:
    outcome = run(tmp_path, small(2, "drain", clients=60))
    assert outcome.findings.stories == [], report(outcome)
    assert outcome.rows[0].moved == 0, report(outcome)


def test_session_whose_handler_takes_a_minute_is_closed_with_1012_and_all_others_move(tmp_path: Path) -> None:
    crowd = replace(small(2, "reload", clients=60), stuck=2, options=("--handover-timeout", "2"))
    outcome = run(tmp_path, crowd)
    assert outcome.findings.stories == [], report(outcome)
    assert outcome.rows[0].drained == 2, report(outcome)
