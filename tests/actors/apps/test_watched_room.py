"""The mirror of a watched room: what reports of states come to, and what of it is news."""

from __future__ import annotations

import pytest

from wspulse.actors.apps.watched_room import Place, State, WatchedRoom

WORKERS: dict[int, Place] = {seat: {"worker": number} for seat, number in enumerate((0, 1, 2, 3, 1))}
"""At seats 0 to 3 are the workers of these numbers; at seat 4 is the next one of worker 1."""


def made() -> WatchedRoom:
    return WatchedRoom(dict(WORKERS))


def told(room: WatchedRoom) -> list[tuple[str, str, int]]:
    """The news since the last time."""
    changes, room.changes = room.changes, []
    return [(change["what"], change["id"], change["worker"]) for change in changes]


@pytest.mark.parametrize(
    ("before", "now", "what"),
    [
        ("gone", "connected", "came"),
        ("gone", "suspended", "came dropped"),
        ("connected", "suspended", "dropped"),
        ("suspended", "connected", "resumed"),
        ("connected", "gone", "went"),
        ("suspended", "gone", "went"),
        ("gone", "gone", ""),
        ("connected", "connected", ""),
        ("suspended", "suspended", ""),
    ],
)
def test_state_of_a_member_is_news_where_it_has_changed(before: State, now: State, what: str) -> None:
    room = made()
    room.note(2, "ann", before)
    told(room)
    room.note(2, "ann", now)
    assert told(room) == [(each, "ann", 2) for each in what.split()]
    assert room.members == ({} if now == "gone" else {"ann": (2, now)})


def test_snapshot_of_a_shard_takes_its_other_members_away_and_no_others() -> None:
    room = made()
    room.note_all(0, [("ann", "connected"), ("bob", "connected")])
    room.note_all(1, [("eve", "suspended")])
    told(room)
    room.note_all(0, [("bob", "suspended"), ("cem", "connected")])
    assert told(room) == [("went", "ann", 0), ("dropped", "bob", 0), ("came", "cem", 0)]
    assert set(room.members) == {"bob", "cem", "eve"}


def test_snapshot_that_comes_twice_is_no_news() -> None:
    room = made()
    for _ in range(2):
        room.note_all(1, [("ann", "connected"), ("bob", "suspended")])
    assert told(room) == [("came", "ann", 1), ("came", "bob", 1), ("dropped", "bob", 1)]


def test_member_that_moves_between_seats_of_one_worker_is_no_news() -> None:
    room = made()
    room.note(1, "ann", "connected")
    told(room)
    room.note(1, "ann", "moved")
    assert room.place_of("ann") == {"worker": 1}
    room.note(4, "ann", "connected")
    room.note(4, "ann", "gone")
    assert told(room) == [("went", "ann", 1)]


def test_member_that_moves_to_another_worker_is_told_with_its_state() -> None:
    room = made()
    room.note(1, "ann", "suspended")
    told(room)
    room.note(2, "ann", "suspended")
    room.note(1, "ann", "moved")
    assert room.changes == [{"what": "moved", "id": "ann", "worker": 2, "state": "suspended"}]


@pytest.mark.parametrize("state", ["moved", "gone"])
def test_word_of_a_seat_that_a_member_has_left_is_no_news(state: State) -> None:
    room = made()
    for seat in (1, 4):
        room.note(seat, "ann", "connected")
    told(room)
    for _ in range(2):
        room.note(1, "ann", state)
    assert told(room) == []
    assert room.members == {"ann": (4, "connected")}


def test_member_goes_back_to_the_seat_that_claims_it_when_the_other_one_is_gone() -> None:
    room = made()
    room.note(1, "ann", "connected")
    room.note(4, "ann", "connected")
    told(room)
    room.note_all(4, [])
    assert (told(room), room.members) == ([], {"ann": (1, "connected")})
    room.note_all(1, [])
    assert (told(room), room.members) == ([("went", "ann", 1)], {})


def test_seat_that_is_gone_claims_nobody_any_more() -> None:
    room = made()
    room.note(1, "ann", "connected")
    room.note(4, "ann", "connected")
    room.note_all(1, [])
    told(room)
    room.note(4, "ann", "gone")
    assert told(room) == [("went", "ann", 1)]


def test_member_that_nobody_claims_is_lost_at_the_second_look() -> None:
    room = made()
    room.note(1, "ann", "connected")
    told(room)
    room.note(1, "ann", "moved")
    assert room.look_for_lost()
    assert told(room) == []
    assert not room.look_for_lost()
    assert (told(room), room.members) == ([("went", "ann", 1)], {})


def test_room_that_is_not_watched_keeps_nothing_of_its_members() -> None:
    room = made()
    room.note(1, "ann", "connected")
    room.note(1, "ann", "moved")
    room.unwatched()
    assert (room.members, told(room), room.look_for_lost()) == ({}, [], False)


def test_worker_that_takes_the_seat_of_one_that_has_gone_makes_nothing_of_its_members_news() -> None:
    workers = dict(WORKERS)
    room = WatchedRoom(workers)
    room.note(1, "ann", "connected")
    told(room)
    room.note(1, "ann", "moved")
    workers[1] = {"worker": 3}
    assert room.place_of("ann") == {"worker": 1}
    room.note(4, "ann", "connected")
    assert told(room) == []
