"""The mirror of a watched room: what reports of states come to, and what of it is news."""

from __future__ import annotations

import pytest

from wspulse.actors.apps.watched_room import State, WatchedRoom


def told(room: WatchedRoom) -> list[tuple[str, str, int]]:
    """The news since the last time."""
    changes, room.changes = room.changes, []
    return [(change["what"], change["id"], change["worker"]) for change in changes]


@pytest.mark.parametrize(
    ("before", "now", "what"),
    [
        ("gone", "connected", "came"),
        ("gone", "suspended", "came"),
        ("connected", "suspended", "dropped"),
        ("suspended", "connected", "resumed"),
        ("connected", "gone", "went"),
        ("suspended", "gone", "went"),
        ("gone", "gone", None),
        ("connected", "connected", None),
        ("suspended", "suspended", None),
    ],
)
def test_state_of_a_member_is_news_where_it_has_changed(before: State, now: State, what: str | None) -> None:
    room = WatchedRoom()
    room.note(2, "ann", before)
    told(room)
    room.note(2, "ann", now)
    assert told(room) == ([] if what is None else [(what, "ann", 2)])
    assert room.members == ({} if now == "gone" else {"ann": (2, now)})


def test_snapshot_of_a_shard_takes_its_other_members_away_and_no_others() -> None:
    room = WatchedRoom()
    room.note_all(0, [("ann", "connected"), ("bob", "connected")])
    room.note_all(1, [("eve", "suspended")])
    told(room)
    room.note_all(0, [("bob", "suspended"), ("cem", "connected")])
    assert told(room) == [("went", "ann", 0), ("dropped", "bob", 0), ("came", "cem", 0)]
    assert set(room.members) == {"bob", "cem", "eve"}


def test_snapshot_that_comes_twice_is_no_news() -> None:
    room = WatchedRoom()
    for _ in range(2):
        room.note_all(1, [("ann", "connected"), ("bob", "suspended")])
    assert told(room) == [("came", "ann", 1), ("came", "bob", 1)]
