"""What judges the server in scripts/chaos and scripts/soak, and what becomes of it in doc/inside/reliability.md."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import tests.support.documents.reliability as document
from tests.support.soak.ledger import Ledger
from tests.support.soak.samples import Process, Sample
from tests.support.soak.verdict import Finding, slope, verdict

MINUTES = 30
LIFE_S = 180

Grown = Callable[[float], float]


def flat(_: float) -> float:
    return 0.0


def samples(
    *, of_life: Grown = flat, of_all: Grown = flat, descriptors: Grown = flat, p50: Grown = flat, noise: bool = True
) -> list[Sample]:
    """Every ten seconds, with workers that are replaced every three minutes; what grows is a function of seconds, of the worker's
    own life or of all."""
    made = []
    for number in range(1, MINUTES * 6 + 1):
        at_s = number * 10.0
        jitter = (number * 7919 % 11 - 5) / 10 if noise else 0.0
        life, age_s = divmod(at_s, LIFE_S)
        worker = Process(100 + int(life), 45 + jitter + of_life(age_s), 300 + int(descriptors(at_s)))
        supervisor = Process(1, 50 + jitter / 5 + of_all(at_s), 60)
        outlier = 40.0 if noise and number % 25 == 0 else 0.0
        made.append(
            Sample(at_s, {"worker 0": worker, "supervisor": supervisor}, 0.8 + p50(at_s) + outlier, 5.0 + outlier, 1.0)
        )
    return made


def red(findings: list[Finding]) -> set[str]:
    return {finding.what for finding in findings if not finding.held}


def test_flat_server_is_judged_flat_whatever_the_machine_does_for_moments() -> None:
    findings = verdict(samples(), {"frames lost": 0})
    assert red(findings) == set()
    assert {"memory, worker 0", "memory, supervisor", "memory, all processes", "descriptors, worker 0"} <= {
        finding.what for finding in findings
    }


def test_worker_that_grows_within_each_of_its_lives_is_judged_to_grow() -> None:
    assert red(verdict(samples(of_life=lambda s: s / 60), {})) == {"memory, worker 0"}


def test_process_that_grows_all_the_time_is_judged_to_grow_and_so_are_all() -> None:
    findings = verdict(samples(of_all=lambda s: 1.2 * s / 60), {})
    assert red(findings) == {"memory, supervisor", "memory, all processes"}


def test_sum_of_memory_is_not_judged_where_a_worker_was_replaced_once_or_twice() -> None:
    made = samples()[:60]
    whats = {finding.what for finding in verdict(made, {})}
    assert "memory, all processes" not in whats
    assert {"memory, worker 0", "descriptors, all processes"} <= whats


def test_descriptor_that_each_reload_leaves_behind_counts() -> None:
    findings = verdict(samples(descriptors=lambda s: 2 * (s // LIFE_S)), {})
    assert red(findings) == {"descriptors, all processes"}


def test_growth_in_the_warm_up_does_not_count() -> None:
    assert red(verdict(samples(of_all=lambda s: min(s, 590)), {})) == set()


def test_round_trips_that_become_slower_count() -> None:
    assert red(verdict(samples(p50=lambda s: s / 600), {})) == {"median of the round trips"}


def test_samples_during_a_reload_are_left_out() -> None:
    made = samples(noise=False)
    for sample in made[len(made) // 2 :]:
        sample.is_reloading = True
        sample.processes["worker 0"] = Process(9, 45 + sample.at_s, 900)
    assert red(verdict(made, {})) == set()


def test_one_lost_frame_is_red_however_few_samples_there_are() -> None:
    assert red(verdict(samples()[:3], {"frames lost": 1, "frames doubled": 0})) == {"frames lost"}


def test_slope_is_per_minute_and_unknown_of_samples_that_are_close() -> None:
    assert slope([(0, 1.0), (30, 2.0), (60, 3.0)]) == 2.0
    assert slope([(0, 1.0), (10, 2.0)]) is None


# The ledger.


def test_ledger_tells_lost_doubled_and_late_frames_apart() -> None:
    ledger, heard = Ledger("chatty"), dict[str, int]()
    for _ in range(6):
        ledger.say("ann")
    for number in (1, 2, 4, 4, 3, 5):
        ledger.hear(heard, "ann", number)
    assert (ledger.heard, ledger.lost, ledger.doubled, ledger.missed) == (6, 1, 2, 0)
    ledger.end(heard, ["ann", "nobody"])
    assert (ledger.lost, ledger.missed) == (2, 0)
    assert ledger.notes == ["lost: 4 of ann after 2", "4 of ann after 4", "3 of ann after 4", "lost: the last 1 of ann"]


def test_ledger_of_those_who_may_miss_frames_calls_nothing_lost_but_counts_what_is_doubled() -> None:
    ledger, heard = Ledger("slow", may_miss=True), dict[str, int]()
    for number in (1, 5, 5):
        ledger.hear(heard, "loud", number)
    assert (ledger.lost, ledger.missed, ledger.doubled) == (0, 3, 1)


# The document.


CIRCUMSTANCES = {
    "when": "2030-01-02T03:04:05+00:00",
    "commit": "abcdef",
    "machine": {"processor": "a processor", "cores": 2, "kernel": "6", "python": "3.11", "load_average": 1.5},
}


def test_document_has_no_figures_of_what_was_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document, "kept_rows", dict)
    monkeypatch.setattr(document, "kept_soak", lambda: None)
    assert document.chaos_table().startswith("Not run: `kill-worker`, ")
    assert document.soak_table() == "Not run. `scripts/soak --keep` runs it for half an hour."


def test_document_says_what_did_not_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    rows: dict[str, dict[str, Any]] = {
        "kill-worker": {"held": True, "seen": ["one", "two"], **CIRCUMSTANCES},
        "storm": {"held": False, "seen": ["AssertionError: <x>"], **CIRCUMSTANCES},
        "gone": {"held": True, "seen": ["of a row that is no more"], **CIRCUMSTANCES},
    }
    monkeypatch.setattr(document, "kept_rows", lambda: rows)
    table = document.chaos_table()
    assert "| one<br>two | held |" in table
    assert "| AssertionError: &lt;x> | **not held** |" in table
    assert "no more" not in table
    assert "Not run: `kill-supervisor`" in table
    assert "2030-01-02, commit abcdef; a processor, 2 cores, Linux 6, Python 3.11; load average 1.5." in table
