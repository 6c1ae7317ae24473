"""`BusFlow`: who is how far ahead of the slowest live shard."""

from __future__ import annotations

from wspulse.actors.bus.flow import BusFlow

MOST_AHEAD_BYTES = 16 * 1024 * 1024
MARK_EVERY_BYTES = 256 * 1024
"""doc/internals.md: a publisher so far ahead waits, and marks its stream so often."""


def _may_publish(flow: BusFlow) -> bool:
    return flow.may_publish


def test_publisher_alone_is_never_ahead() -> None:
    flow = BusFlow()
    flow.published(10 * MOST_AHEAD_BYTES)
    flow.shard_down(1)
    assert _may_publish(flow)


def test_publisher_waits_when_the_slowest_shard_is_too_far_behind() -> None:
    flow = BusFlow()
    flow.shard_up(0)
    flow.shard_up(1)
    flow.published(MOST_AHEAD_BYTES - 1)
    flow.mark(1)
    assert _may_publish(flow)
    flow.published(1)
    assert not _may_publish(flow)
    flow.consumed(0, 1)
    assert not _may_publish(flow)
    flow.consumed(1, 1)
    assert flow.ahead_bytes == 1
    assert _may_publish(flow)


def test_dead_shard_holds_nobody_up() -> None:
    flow = BusFlow()
    flow.shard_up(0)
    flow.shard_up(1)
    flow.published(2 * MOST_AHEAD_BYTES)
    flow.mark(7)
    flow.consumed(0, 7)
    assert not _may_publish(flow)
    flow.shard_down(1)
    assert _may_publish(flow)
    assert flow.ahead_bytes == 0


def test_shard_that_comes_up_counts_from_what_is_published_then() -> None:
    flow = BusFlow()
    flow.published(5 * MOST_AHEAD_BYTES)
    flow.shard_up(3)
    assert flow.ahead_bytes == 0
    flow.published(100)
    assert flow.ahead_bytes == 100


def test_mark_is_due_after_so_many_bytes_and_only_then() -> None:
    flow = BusFlow()
    assert not flow.published(MARK_EVERY_BYTES - 1)
    assert flow.published(1)
    flow.mark(1)
    assert not flow.published(1)


def test_answers_that_come_late_or_from_the_dead_change_nothing() -> None:
    flow = BusFlow()
    flow.shard_up(0)
    flow.published(10)
    flow.mark(1)
    flow.published(10)
    flow.mark(2)
    flow.consumed(0, 2)
    flow.consumed(0, 1)
    flow.consumed(9, 1)
    assert flow.ahead_bytes == 0


def test_marks_are_forgotten_when_everybody_has_answered() -> None:
    flow = BusFlow()
    flow.shard_up(0)
    for number in range(1, 100):
        flow.published(1)
        flow.mark(number)
        flow.consumed(0, number)
    assert not flow._marks
