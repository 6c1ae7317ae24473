"""`BusFlow`: who is how far ahead of which live shard."""

from __future__ import annotations

from wspulse.actors.bus.publishing.flow import BusFlow

MOST_AHEAD_BYTES = 16 * 1024 * 1024
MARK_EVERY_BYTES = 256 * 1024
"""doc/inside/internals.md: a publisher so far ahead waits, and marks its stream so often."""

EVERYBODY = -1


def flow_of(*shards: int) -> BusFlow:
    flow = BusFlow()
    for shard in shards:
        flow.shard_up(shard, 1)
    return flow


def publish(flow: BusFlow, audience: int, size_bytes: int, number: int = 0) -> list[int]:
    """Publish, and mark whoever is to be marked; with whom."""
    due = flow.due_marks() if flow.published(audience, size_bytes) else []
    for shard in due:
        flow.mark(shard, number)
    return due


def test_publisher_alone_is_never_ahead() -> None:
    flow = flow_of(1)
    publish(flow, EVERYBODY, 10 * MOST_AHEAD_BYTES)
    flow.shard_down(1)
    assert flow.blocked == 0
    publish(flow, EVERYBODY, 10 * MOST_AHEAD_BYTES)
    assert flow.blocked == 0


def test_shard_that_is_too_far_behind_is_blocked_until_it_has_answered() -> None:
    flow = flow_of(0, 1)
    assert publish(flow, EVERYBODY, MOST_AHEAD_BYTES - MARK_EVERY_BYTES, 1) == [0, 1]
    assert flow.blocked == 0
    publish(flow, EVERYBODY, MARK_EVERY_BYTES, 2)
    assert flow.blocked == 0b11
    flow.consumed(0, 1)
    assert flow.blocked == 0b10
    assert flow.blocked_shards() == [1]
    flow.consumed(1, 1)
    assert flow.blocked == 0
    assert flow.ahead_bytes(1) == MARK_EVERY_BYTES


def test_bytes_count_against_their_audience_only() -> None:
    flow = flow_of(0, 1, 2, 70)
    publish(flow, 0b101, 3 * MARK_EVERY_BYTES)
    publish(flow, 1 << 70 | 0b001, MARK_EVERY_BYTES)
    assert [flow.ahead_bytes(shard) // MARK_EVERY_BYTES for shard in (0, 1, 2, 70)] == [4, 0, 3, 1]
    publish(flow, 0b100, MOST_AHEAD_BYTES)
    assert flow.blocked == 0b100


def test_shard_that_gets_nothing_is_marked_never() -> None:
    flow = flow_of(0, 1)
    marked = [shard for number in range(100) for shard in publish(flow, 0b01, MARK_EVERY_BYTES, number)]
    assert marked == [0] * 100


def test_dead_shard_holds_nobody_up() -> None:
    flow = flow_of(0, 1)
    publish(flow, EVERYBODY, 2 * MOST_AHEAD_BYTES, 7)
    flow.consumed(0, 7)
    assert flow.blocked == 0b10
    flow.shard_down(1)
    assert flow.blocked == 0


def test_shard_that_comes_up_counts_from_what_is_published_then() -> None:
    flow = flow_of()
    publish(flow, EVERYBODY, 5 * MOST_AHEAD_BYTES)
    flow.shard_up(3, 1)
    assert flow.ahead_bytes(3) == 0
    publish(flow, EVERYBODY, MARK_EVERY_BYTES)
    assert flow.ahead_bytes(3) == MARK_EVERY_BYTES


def test_shard_that_is_up_twice_stays_as_it_is_and_its_replacement_begins_anew() -> None:
    flow = flow_of(3)
    publish(flow, EVERYBODY, 2 * MOST_AHEAD_BYTES)
    flow.shard_up(3, 1)
    assert flow.blocked == 0b1000
    flow.shard_up(3, 2)
    assert flow.blocked == 0
    assert flow.ahead_bytes(3) == 0


def test_marks_are_due_after_so_many_bytes_and_only_then() -> None:
    flow = flow_of(0)
    assert publish(flow, EVERYBODY, MARK_EVERY_BYTES - 1) == []
    assert publish(flow, EVERYBODY, 1) == [0]
    assert publish(flow, EVERYBODY, 1) == []


def test_answers_that_come_late_or_from_the_dead_change_nothing() -> None:
    flow = flow_of(0)
    publish(flow, EVERYBODY, MARK_EVERY_BYTES, 1)
    publish(flow, EVERYBODY, MARK_EVERY_BYTES, 2)
    flow.consumed(0, 2)
    flow.consumed(0, 1)
    flow.consumed(9, 1)
    assert flow.ahead_bytes(0) == 0


def test_answer_to_a_later_mark_makes_up_for_earlier_ones_that_were_lost() -> None:
    flow = flow_of(0)
    for number in range(1, 65):
        publish(flow, EVERYBODY, MARK_EVERY_BYTES, number)
    assert flow.blocked == 1
    flow.mark(0, 65)  # once more, with nothing published since
    flow.consumed(0, 65)
    assert flow.blocked == 0
    assert flow.ahead_bytes(0) == 0


def test_marks_are_forgotten_when_they_are_answered() -> None:
    flow = flow_of(0)
    for number in range(1, 100):
        publish(flow, EVERYBODY, MARK_EVERY_BYTES, number)
        flow.consumed(0, number)
    assert not flow._readers[0].marks


def test_answer_to_a_mark_for_an_earlier_owner_of_a_seat_says_nothing_of_the_next() -> None:
    flow = BusFlow()
    flow.shard_up(5, 10)
    flow.published(1 << 5, 300_000)
    flow.due_marks()
    flow.mark(5, 1)
    flow.shard_down(5)
    flow.shard_up(5, 20)
    flow.published(1 << 5, 400_000)
    flow.due_marks()
    flow.mark(5, 2)
    flow.consumed(5, 1)
    assert flow.ahead_bytes(5) == 400_000
    flow.consumed(5, 2)
    assert flow.ahead_bytes(5) == 0
