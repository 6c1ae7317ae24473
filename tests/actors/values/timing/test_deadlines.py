"""`Deadlines`: never early, at most one resolution late, in order."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from wspulse.actors.values.timing.deadlines import Deadlines


def _noting(into: list[object], what: object) -> Callable[[float], None]:
    return lambda _now: into.append(what)


def _run(deadlines: Deadlines, now: float) -> None:
    for call in deadlines.take_due(now):
        call(now)


def test_call_is_due_after_its_time_and_within_one_resolution() -> None:
    draw = Random(0)
    for _ in range(1000):
        deadlines = Deadlines(0.01)
        when = draw.uniform(0, 5000)
        deadlines.add(when, lambda _now: None)
        due = deadlines.next_due()
        assert due is not None
        assert when - 1e-9 <= due <= when + 0.01 + 1e-9
        assert deadlines.take_due(due - 1e-6) == []
        assert len(deadlines.take_due(due)) == 1


def test_calls_come_in_the_order_of_their_times() -> None:
    deadlines = Deadlines(0.01)
    came: list[object] = []
    for when in (3.0, 1.0, 2.0, 1.005):
        deadlines.add(when, _noting(came, when))
    _run(deadlines, 2.5)
    assert came == [1.0, 1.005, 2.0]
    _run(deadlines, 10)
    assert came == [1.0, 1.005, 2.0, 3.0]


def test_add_says_whether_the_ticker_has_to_be_set_anew() -> None:
    deadlines = Deadlines(0.01)
    assert deadlines.add(2.0, lambda _now: None)
    assert not deadlines.add(3.0, lambda _now: None)
    assert not deadlines.add(2.0, lambda _now: None)
    assert deadlines.add(1.0, lambda _now: None)


def test_call_added_while_calls_run_waits_for_the_next_time() -> None:
    deadlines = Deadlines(0.01)
    came: list[object] = []

    def again(now: float) -> None:
        came.append(now)
        if len(came) < 3:
            deadlines.add(now, again)

    deadlines.add(1.0, again)
    _run(deadlines, 5.0)
    assert came == [5.0]
    due = deadlines.next_due()
    assert due is not None
    assert due > 5.0


def test_nothing_is_left_after_everything_was_due() -> None:
    deadlines = Deadlines(0.01)
    for when in (1.0, 1.0, 2.0):
        deadlines.add(when, lambda _now: None)
    assert len(deadlines) == 3
    assert len(deadlines.take_due(100.0)) == 3
    assert (len(deadlines), deadlines.next_due()) == (0, None)
