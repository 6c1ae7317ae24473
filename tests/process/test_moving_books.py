"""What the judge of the moving crowd knows: each fault that moving sessions could have, on small books."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from tests.support.crowds.moving.books import ANY_END, Findings, Notes, judged
from tests.support.crowds.moving.heard import Heard

KEY = "one"
"""Of the only process, which has said three things to the room, two to each client, and one to each that it knows."""

STREAMS: dict[str, list[int]] = {"room": [0, 1, 2], "direct": [0, 1], "told": [0]}

NOTES: list[list[Any]] = [
    ["begin", KEY],
    ["connect", "ada"],
    ["connect", "bob"],
    ["out", "ada"],
    ["in", "ada"],
    ["totals", KEY, {"tea": 3}, {"ada": 2, "bob": 2}, {"ada": 1, "bob": 1}],
    ["disconnect", "ada", ""],
    ["disconnect", "bob", ""],
]


def heard(**streams: list[int]) -> Heard:
    """As a client that answered once and relayed once, and heard this of the process's streams."""
    heard = Heard()
    for event, numbers in {**STREAMS, **streams}.items():
        for number in numbers:
            heard.take(event, KEY, number)
    for speaker in ("ada", "bob"):
        heard.take("room", f"{speaker}.key", 0)
    heard.take("answer", "", 0)
    return heard


def book(name: str, heard: Heard, **more: Any) -> dict[str, Any]:
    plain = {
        "id": name,
        "kind": "plain",
        "rooms": ["tea"],
        "sent": 1,
        "relayed": 1,
        "visits": 0,
        "flooded": 0,
        "cut_off": 0,
        "end": None,
    }
    return {**plain, **heard.book(), **more}


def judge(notes: list[list[Any]] = NOTES, ends: dict[str, Any] | None = None, **ada: Any) -> Findings:
    """Bob has heard all; of Ada this is different."""
    mine = ada.pop("heard", None) or heard()
    return judged([book("ada", mine, **ada), book("bob", heard())], Notes(deepcopy(notes)), ends=ends or {})


def test_books_of_which_all_is_whole_are_clean() -> None:
    findings = judge()
    assert findings.stories == []
    assert findings.is_clean
    assert findings.heard == 10


def test_client_that_is_cut_off_before_the_101_is_a_fault_unless_a_process_was_killed() -> None:
    findings = judge(cut_off=2)
    assert findings.closed == 2
    assert findings.stories == ["ada (plain): it was cut off before the 101, 2 times"]
    books = [book("ada", heard(), cut_off=2), book("bob", heard())]
    assert judged(books, Notes(deepcopy(NOTES)), ends={}, has_killed=True).is_clean


@pytest.mark.parametrize(
    ("streams", "counts"),
    [
        ({"room": [0, 2]}, (1, 0, 0)),
        ({"direct": [1]}, (1, 0, 0)),
        ({"told": [0, 0]}, (0, 1, 0)),
        ({"room": [0, 1, 1, 2]}, (0, 1, 0)),
        ({"room": [0, 2, 1]}, (0, 0, 1)),
        ({"direct": [1, 0]}, (0, 0, 1)),
    ],
)
def test_gap_double_and_disorder_are_told_apart(streams: dict[str, list[int]], counts: tuple[int, int, int]) -> None:
    mine = heard(**streams)
    assert (mine.lost, mine.doubled, mine.disordered) == counts
    assert not judge(heard=mine).is_clean


@pytest.mark.parametrize("event", ["room", "direct", "told"])
def test_last_frame_of_a_stream_that_did_not_come_is_lost(event: str) -> None:
    findings = judge(heard=heard(**{event: STREAMS[event][:-1]}))
    assert findings.lost > 0
    assert any(story.startswith(f"ada (plain): of {event} {KEY}") for story in findings.stories)


def test_members_that_heard_two_streams_in_another_order_are_found() -> None:
    mine = Heard()
    for event, key, number in [
        ("room", "ada.key", 0),
        ("room", KEY, 0),
        ("room", KEY, 1),
        ("room", "bob.key", 0),
        ("room", KEY, 2),
    ]:
        mine.take(event, key, number)
    for event, key, number in [("direct", KEY, 0), ("direct", KEY, 1), ("told", KEY, 0), ("answer", "", 0)]:
        mine.take(event, key, number)
    findings = judge(heard=mine)
    assert len(findings.stories) == 1
    assert "in another order" in findings.stories[0]


def test_another_clients_broadcast_that_did_not_come_is_found() -> None:
    findings = judge(relayed=2)
    assert sorted(findings.stories) == [f"{who}: of ada's broadcasts 1 came, not 2" for who in ("ada", "bob")]


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({"sent": 2}, "of answer"),
        ({"visits": 1}, "of visit"),
        ({"flooded": 1}, "of big"),
        ({"end": (1001, "server shutting down")}, "its socket ended with (1001, 'server shutting down'), not None"),
    ],
)
def test_what_a_client_waits_for_in_vain_is_told(more: dict[str, Any], word: str) -> None:
    findings = judge(**more)
    assert any(word in story for story in findings.stories), findings.stories
    assert not findings.is_clean


@pytest.mark.parametrize(
    ("note", "word"),
    [
        (["connect", "ada"], "ada: 2 on_connect and 1 on_disconnect"),
        (["disconnect", "ada", ""], "ada: 1 on_connect and 2 on_disconnect"),
        (["out", "bob"], "bob: 1 on_transfer_out, 0 on_transfer_in"),
        (["in", "bob"], "bob: 0 on_transfer_out, 1 on_transfer_in"),
        (["fault", "ada", "3 is handled instead of 2"], "ada: 3 is handled instead of 2"),
        (["error", "direct", "ada", "ShardUnavailableError()", KEY], "direct to ada raised ShardUnavailableError()"),
        (["begin", "two"], "1 processes have not noted how they ended"),
    ],
)
def test_what_the_server_has_noted_is_held_against_it(note: list[Any], word: str) -> None:
    findings = judge([*NOTES, note])
    assert any(word in story for story in findings.stories), findings.stories
    assert not findings.is_clean


def test_client_that_was_to_end_and_did_not_is_told() -> None:
    findings = judge(ends={"ada": (1012, "service restart")})
    assert findings.closed == 1


def test_session_of_a_process_that_was_killed_may_end_and_if_it_lives_hears_its_rooms() -> None:
    assert judge(ends={"ada": ANY_END}, end=(1006, "")).is_clean
    assert judge(ends={"ada": ANY_END}, heard=heard(direct=[1])).is_clean
    assert not judge(ends={"ada": ANY_END}, heard=heard(room=[0, 2])).is_clean
