"""What waits until all has come that was acknowledged before it."""

from __future__ import annotations

from wspulse.actors.bus.message import pack_cut, pack_mark
from wspulse.supervisor.cluster.exchange.held import MOST_HELD_S, Held
from wspulse.supervisor.cluster.exchange.wanted import Wanted

MARK = pack_mark(0, 1, 1, 1)
CUT = pack_cut(1, 1)


def proven(wanted: Wanted, number: int, sequence: int = 0) -> None:
    wanted.proven(wanted.add(number, 0), sequence)


def test_nothing_lags_that_is_proven_and_acknowledges_nothing() -> None:
    wanted = Wanted()
    wanted.add(3, 0)
    assert wanted.lagging
    wanted.proven(wanted.buckets[3], 8)
    assert not wanted.lagging
    wanted.acknowledged(3, 8)
    assert not wanted.lagging, "it lay before the probe"
    wanted.acknowledged(99, 10)
    assert not wanted.lagging, "nobody here wants that bucket"


def test_mark_goes_on_when_each_bucket_has_come_so_far_and_in_its_order() -> None:
    wanted = Wanted()
    held = Held(wanted)
    proven(wanted, 3)
    proven(wanted, 4)
    wanted.acknowledged(3, 10)
    wanted.acknowledged(4, 20)
    held.hold(MARK, 0)
    wanted.acknowledged(4, 30)
    held.hold(CUT, 0)
    for number, sequence, gone in ((3, 9, []), (4, 20, []), (3, 10, [MARK]), (4, 31, [CUT])):
        wanted.forwarded(wanted.buckets[number], sequence)
        assert list(held.going_on(0)) == gone
    assert not held
    assert not wanted.lagging


def test_bucket_that_is_not_proven_holds_everything_and_one_that_is_unwanted_nothing() -> None:
    wanted = Wanted()
    held = Held(wanted)
    wanted.add(3, 0)
    wanted.add(4, 0)
    held.hold(CUT, 0)
    wanted.forwarded(wanted.buckets[3], 10)
    wanted.proven(wanted.buckets[3], 10)
    assert list(held.going_on(0)) == []
    wanted.remove(4)
    assert list(held.going_on(0)) == [CUT]


def test_bucket_that_was_asked_for_again_has_to_come_as_far_as_it_was() -> None:
    wanted = Wanted()
    held = Held(wanted)
    proven(wanted, 3)
    bucket = wanted.buckets[3]
    wanted.forwarded(bucket, 10)
    wanted.rewound(bucket, 4)
    held.hold(CUT, 0)
    wanted.forwarded(bucket, 9)
    assert list(held.going_on(0)) == []
    wanted.proven(bucket, 9)
    assert list(held.going_on(0)) == [], "10 is yet to come again"
    wanted.forwarded(bucket, 10)
    assert list(held.going_on(0)) == [CUT]
    assert not wanted.lagging


def test_what_is_held_too_long_goes_on_if_it_is_a_mark_and_is_dropped_if_it_is_a_cut() -> None:
    wanted = Wanted()
    held = Held(wanted)
    wanted.add(3, 0)
    held.hold(CUT, 0)
    held.hold(MARK, 1)
    assert list(held.going_on(MOST_HELD_S)) == []
    assert list(held.going_on(MOST_HELD_S + 0.5)) == []
    assert list(held.going_on(MOST_HELD_S + 1.5)) == [MARK]
    assert not held
