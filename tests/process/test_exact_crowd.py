"""Exact lines of both languages whose sockets are cut, and whose workers are replaced; `scripts/exact-crowd` does it with a
hundred of each and fifty cuts."""

from __future__ import annotations

import shutil
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from tests.support.crowds.exact_books import judged
from tests.support.crowds.exact_crowd import APP, OPTIONS, Crowd, exact_crowd, report
from tests.support.processes.node import VERSIONS, node_of
from tests.support.processes.server_process import serve_process


@pytest.mark.skipif(not any(node_of(version) for version in VERSIONS), reason="no Node here: scripts/node")
@pytest.mark.parametrize("workers", [1, 4])
async def test_lines_that_are_cut_lose_and_double_nothing_that_they_are_not_told_of(
    workers: int, tmp_path: Path
) -> None:
    shutil.copy(APP, tmp_path / "app.py")
    crowd = Crowd(3, 4, reloads=1, rooms=4, period_s=0.3, longest_life_s=1.0)
    with serve_process("--app", "app:server", *OPTIONS, workers=workers, cwd=tmp_path) as server:
        outcome = await exact_crowd(server, tmp_path, crowd)
    assert outcome.findings.faults == []
    assert outcome.fewest_cuts == 4
    assert outcome.reloads == 1
    assert outcome.findings.handled >= 6 * 6, report(outcome)
    assert outcome.findings.resumed >= 4, report(outcome)


# What the judge of the crowd's books knows, each on a small book.

BOOK: dict[str, Any] = {
    "id": "ada",
    "rooms": ["tea"],
    "sent": [["say", "tea", number] for number in range(8)],
    "connected": 3,
    "faults": [],
    "sessions": [
        {
            "opened": 0.5,
            "lost_living": 0,
            "lost_away": 0,
            "tellings": [],
            "count": 4,
            "unacknowledged": [2, 3],
            "heard": {"tea<ada": [[0, 1, 0]], "answer<ada": [[0, 1, 0]]},
        },
        {
            "opened": 10.5,
            "lost_living": 2,
            "lost_away": 0,
            "tellings": [[2, 2]],
            "count": 6,
            "unacknowledged": [],
            "heard": {"tea<ada": [[4, 4, 0], [6, 7, 1]], "answer<ada": [[4, 4, 0], [6, 7, 1]]},
        },
    ],
}
"""Of two sessions; the first ended when 2 and 3 were unacknowledged, of which 2 had been taken. In the second a frame of each
stream was pushed out, and told."""

NOTES: list[list[Any]] = [
    ["begin", "ada", "one", 0.4],
    *(
        note
        for number in (0, 1, 2)
        for note in (
            ["taken", "ada", "one", number, 1.0 + number],
            ["handled", "ada", number, 1.1 + number, "", ""],
        )
    ),
    ["begin", "ada", "two", 10.4],
    *(
        note
        for number in (4, 5, 6, 7)
        for note in (
            ["taken", "ada", "two", number, 11.0 + number],
            ["handled", "ada", number, 11.1 + number, "", ""],
        )
    ),
]


def found(book: dict[str, Any], notes: list[list[Any]]) -> list[str]:
    return judged([book], notes, buffer_frames=4).faults


def test_books_that_tell_of_all_that_is_missing_are_in_order() -> None:
    findings = judged([BOOK], NOTES, buffer_frames=4)
    assert findings.faults == []
    assert (findings.said, findings.handled, findings.heard) == (8, 7, 10)
    assert (findings.handed_back, findings.handed_back_unhandled, findings.lost_exactly) == (2, 1, 2)


def doubled(book: dict[str, Any], _notes: list[list[Any]]) -> None:
    book["sessions"][1]["heard"]["tea<ada"] = [[4, 4, 0], [6, 7, 1], [7, 7, 1]]


def disordered(book: dict[str, Any], _notes: list[list[Any]]) -> None:
    book["sessions"][1]["heard"]["tea<ada"] = [[4, 4, 0], [7, 7, 1], [6, 6, 1]]


def told_too_little(book: dict[str, Any], _notes: list[list[Any]]) -> None:
    book["sessions"][1]["lost_living"] = 1


def told_too_much(book: dict[str, Any], _notes: list[list[Any]]) -> None:
    book["sessions"][1]["lost_living"] = 3


def told_elsewhere(book: dict[str, Any], _notes: list[list[Any]]) -> None:
    book["sessions"][1]["heard"]["tea<ada"] = [[4, 4, 0], [6, 7, 0]]


def told_without_need(book: dict[str, Any], _notes: list[list[Any]]) -> None:
    book["sessions"][1]["tellings"] = [[3, 2]]


def missing_at_the_end(book: dict[str, Any], _notes: list[list[Any]]) -> None:
    book["sessions"][1]["heard"]["tea<ada"] = [[4, 4, 0], [6, 6, 1]]


def heard_by_a_stranger(book: dict[str, Any], _notes: list[list[Any]]) -> None:
    book["sessions"][1]["heard"]["coffee<ada"] = [[0, 0, 0]]


def heard_and_never_passed_on(_book: dict[str, Any], notes: list[list[Any]]) -> None:
    notes[-1][4] = "ConnectionNotFoundError"


def taken_twice(_book: dict[str, Any], notes: list[list[Any]]) -> None:
    notes.append(["taken", "ada", "two", 7, 30.0])


def taken_in_disorder(_book: dict[str, Any], notes: list[list[Any]]) -> None:
    notes[-4:] = [*notes[-2:], *notes[-4:-2]]


def acknowledged_and_never_taken(book: dict[str, Any], notes: list[list[Any]]) -> None:
    book["sessions"][0]["unacknowledged"] = [3]
    del notes[5:7]


def handed_back_and_sent_again(_book: dict[str, Any], notes: list[list[Any]]) -> None:
    notes.insert(8, ["taken", "ada", "two", 3, 11.0])


@pytest.mark.parametrize(
    "damage",
    [
        doubled,
        disordered,
        told_too_little,
        told_too_much,
        told_elsewhere,
        told_without_need,
        missing_at_the_end,
        heard_by_a_stranger,
        heard_and_never_passed_on,
        taken_twice,
        taken_in_disorder,
        acknowledged_and_never_taken,
        handed_back_and_sent_again,
    ],
)
def test_each_way_in_which_books_can_be_wrong_is_found(damage: Any) -> None:
    book, notes = deepcopy(BOOK), deepcopy(NOTES)
    damage(book, notes)
    assert found(book, notes) != []
