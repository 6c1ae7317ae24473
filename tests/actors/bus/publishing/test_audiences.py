"""`Audiences`: which shards a room's messages may reach, by what the shards told."""

from __future__ import annotations

from wspulse.actors.bus.publishing.audiences import Audiences

SHARDS = 4


def audience(audiences: Audiences, topic: bytes) -> set[int]:
    return {shard for shard in range(SHARDS) if audiences.of(topic) >> shard & 1}


def told(*shards: int) -> Audiences:
    """All of these have told that they are in no room."""
    audiences = Audiences()
    for shard in shards:
        audiences.joined(shard, 1, [], are_all=True)
    return audiences


def test_shard_that_has_told_nothing_is_in_every_audience() -> None:
    assert audience(told(0, 2), b"room") == {1, 3}


def test_shard_is_in_the_audiences_of_the_rooms_that_it_joined_until_it_left() -> None:
    audiences = told(0, 1, 2, 3)
    audiences.joined(1, 1, [b"room", b"other"], are_all=False)
    audiences.joined(2, 1, [b"room"], are_all=False)
    assert audience(audiences, b"room") == {1, 2}
    audiences.left(1, 1, [b"room"])
    assert audience(audiences, b"room") == {2}
    assert audience(audiences, b"other") == {1}


def test_word_of_all_rooms_makes_earlier_ones_void() -> None:
    audiences = told(0, 1, 2, 3)
    audiences.joined(1, 1, [b"room", b"other"], are_all=False)
    audiences.joined(1, 1, [b"other", b"third"], are_all=True)
    assert [audience(audiences, topic) for topic in (b"room", b"other", b"third")] == [set(), {1}, {1}]


def test_part_of_the_rooms_is_not_taken_for_all() -> None:
    audiences = told(0, 1, 2)
    audiences.joined(3, 1, [b"room"], are_all=False)
    audiences.left(3, 1, [b"other"])
    assert audience(audiences, b"other") == {3}
    audiences.joined(3, 1, [], are_all=True)
    assert audience(audiences, b"room") == set()


def test_replacement_is_in_every_audience_until_it_has_told_its_rooms() -> None:
    audiences = told(0, 1, 2, 3)
    audiences.joined(1, 1, [b"room"], are_all=False)
    audiences.shard_up(1, 2)
    assert audience(audiences, b"other") == {1}
    audiences.joined(1, 2, [b"third"], are_all=True)
    assert [audience(audiences, topic) for topic in (b"room", b"other", b"third")] == [set(), set(), {1}]


def test_word_of_the_replacement_may_come_before_anybody_has_said_that_it_is_up() -> None:
    audiences = told(0, 1, 2, 3)
    audiences.joined(1, 1, [b"room"], are_all=False)
    audiences.joined(1, 2, [b"third"], are_all=True)
    audiences.shard_down(1, 1)
    audiences.shard_up(1, 2)
    assert [audience(audiences, topic) for topic in (b"room", b"third")] == [set(), {1}]


def test_word_of_an_earlier_life_is_not_heard() -> None:
    audiences = told(0, 1, 2, 3)
    audiences.joined(1, 2, [b"room"], are_all=True)
    audiences.joined(1, 1, [b"other"], are_all=True)
    audiences.left(1, 1, [b"room"])
    assert [audience(audiences, topic) for topic in (b"room", b"other")] == [{1}, set()]


def test_shard_that_is_said_to_be_up_twice_is_still_known() -> None:
    audiences = told(0, 1, 2, 3)
    audiences.shard_up(1, 1)
    assert audience(audiences, b"room") == set()


def test_nothing_stays_of_rooms_that_all_have_left() -> None:
    audiences = told(0, 1, 2, 3)
    audiences.joined(1, 1, [b"room"], are_all=False)
    audiences.joined(2, 1, [b"room", b"other"], are_all=False)
    audiences.left(1, 1, [b"room"])
    audiences.left(2, 1, [b"room", b"unheard of"])
    audiences.shard_down(2, 1)
    assert not audiences._rooms


def test_silent_shard_is_in_the_audiences_of_the_rooms_that_others_say_it_told_them() -> None:
    audiences = told(0, 1, 2)
    audiences.shard_up(3, 1)
    audiences.heard_of(3, 1, [b"room"])
    assert [audience(audiences, topic) for topic in (b"room", b"other", b"third")] == [{3}, set(), set()]
    audiences.heard_of(3, 1, [b"other"])
    assert [audience(audiences, topic) for topic in (b"room", b"other", b"third")] == [{3}, {3}, set()]


def test_own_word_of_a_shard_goes_before_hearsay() -> None:
    audiences = told(0, 1, 2)
    audiences.shard_up(3, 1)
    audiences.heard_of(3, 1, [b"room"])
    audiences.joined(3, 1, [b"other"], are_all=True)
    assert [audience(audiences, topic) for topic in (b"room", b"other")] == [set(), {3}]
    audiences.heard_of(3, 1, [b"third"])
    assert audience(audiences, b"third") == set()


def test_hearsay_of_another_life_is_not_heard() -> None:
    audiences = told(0, 1, 2)
    for incarnation in (1, 2, 3):
        if incarnation == 2:
            audiences.shard_up(3, incarnation)
        audiences.heard_of(3, 1 if incarnation == 2 else 3, [b"room"])
        assert audience(audiences, b"other") == {3}, "everything is possible of it"


def test_hearsay_ends_when_the_shard_is_silent_no_more() -> None:
    audiences = told(0, 1, 2)
    audiences.shard_up(3, 1)
    audiences.heard_of(3, 1, [b"room"])
    audiences.silent_no_more(3)
    assert audience(audiences, b"other") == {3}
    audiences.joined(3, 1, [b"third"], are_all=True)
    assert [audience(audiences, topic) for topic in (b"room", b"third")] == [set(), {3}]
    audiences.silent_no_more(3)
    assert audience(audiences, b"room") == set(), "it has told itself"


def test_only_what_a_shard_told_itself_is_told_of_it() -> None:
    audiences = told(0, 1)
    audiences.joined(1, 1, [b"room", b"other"], are_all=False)
    audiences.shard_up(2, 5)
    audiences.heard_of(2, 5, [b"room"])
    assert audiences.told(1) == (1, [b"room", b"other"])
    assert audiences.told(2) is None
    assert audiences.told(3) is None


def test_seat_that_is_gone_counts_for_no_room_and_its_next_owner_for_what_it_tells() -> None:
    audiences = Audiences()
    audiences.joined(3, 10, [b"a"], are_all=True)
    assert audiences.has_told(3)
    audiences.shard_gone(3)
    assert not audiences.has_told(3)
    assert audiences._rooms == {}
    audiences.joined(3, 10, [b"late"], are_all=False)
    assert audiences._rooms == {}
    audiences.shard_up(3, 11)
    audiences.joined(3, 11, [b"b"], are_all=True)
    audiences.joined(3, 10, [b"c"], are_all=True)
    assert audiences.told(3) == (11, [b"b"])
