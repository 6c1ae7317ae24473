"""Counts over several seats, in memory that they share."""

from __future__ import annotations

from random import Random

import pytest

from wspulse.actors.limits import counts as module
from wspulse.actors.limits.counts import REGION_WORDS, Counts, words_for


def seats(count: int) -> list[Counts]:
    words = memoryview(bytearray(8 * words_for(count))).cast("Q")
    words[0] = count
    return [Counts(words, seat) for seat in range(count)]


def words_of(counts: Counts) -> memoryview:
    return counts._words[counts._own : counts._own + REGION_WORDS]


def test_all_seats_see_the_same_sums() -> None:
    one, two, three = seats(3)
    one.add(7)
    two.add(7)
    two.add(8)
    three.add(0)
    assert [(each.own, each.total(), each.of(7), each.of(8), each.of(9)) for each in (one, two, three)] == [
        (1, 4, 2, 1, 0),
        (2, 4, 2, 1, 0),
        (1, 4, 2, 1, 0),
    ]
    two.remove(7)
    three.remove(0)
    assert (one.total(), one.of(7)) == (2, 1)


def test_region_is_as_it_was_when_all_have_gone(draw: Random) -> None:
    (counts,) = seats(1)
    held: list[int] = []
    for _ in range(4000):
        if held and draw.random() < 0.48:
            counts.remove(held.pop(draw.randrange(len(held))))
        else:
            held.append(draw.randrange(1, 1500))
            counts.add(held[-1])
    assert counts.total() == len(held)
    assert all(counts.of(key) == held.count(key) for key in range(1, 1500))
    for key in held:
        counts.remove(key)
    assert not any(words_of(counts)), "nothing is left that would make a look longer"


def test_addresses_that_collide_are_found_behind_each_other_whoever_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SPREAD", 0)  # all have one place
    (counts,) = seats(1)
    for key in (1, 2, 3, 4):
        counts.add(key)
    counts.remove(2)
    assert [counts.of(key) for key in (1, 2, 3, 4)] == [1, 0, 1, 1]
    counts.add(5)
    counts.remove(4)
    counts.remove(3)
    assert [counts.of(key) for key in (1, 2, 3, 4, 5)] == [1, 0, 0, 0, 1]
    counts.remove(1)
    counts.remove(5)
    assert not any(words_of(counts))


def test_address_without_a_place_is_not_counted_and_takes_none_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SPREAD", 0)
    (counts,) = seats(1)
    for key in range(1, 66):
        counts.add(key)
    assert (counts.total(), counts.of(64), counts.of(65)) == (65, 1, 0)
    counts.remove(65)
    assert (counts.total(), counts.of(64)) == (64, 1)


def test_seats_that_come_later_are_counted_too() -> None:
    small, large = (memoryview(bytearray(8 * words_for(count))).cast("Q") for count in (1, 2))
    for words in (small, large):
        words[0] = 1
    first = Counts(small, 0, lambda: large)
    first.add(1)
    small[0] = large[0] = 2
    large[: words_for(1)] = small[: words_for(1)]
    Counts(large, 1).add(1)
    assert (first.total(), first.of(1)) == (2, 2)
