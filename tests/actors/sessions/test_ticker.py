"""`Ticker`: what is called when, on a loop whose time is set by hand."""

from __future__ import annotations

import asyncio
import logging
from contextvars import copy_context

import pytest

from tests.support.simulation.loop import SimLoop
from wspulse.actors.sessions.ticker import Ticker


class Stage:
    def __init__(self) -> None:
        self.loop = SimLoop(1)  # type: ignore[abstract]  # no sockets, no signals
        self.ticker = Ticker(self.loop, self.loop.time, logging.getLogger("wspulse.test"), copy_context())
        self.called: list[float] = []

    def after(self, seconds: float) -> None:
        self.ticker.at(self.ticker.clock() + seconds, self.called.append)

    def pass_time(self, seconds: float) -> None:
        self.loop.pass_time(seconds)

    def stand(self, seconds: float) -> None:
        """The loop does not run; then one turn."""
        self.loop.now += seconds
        self.loop.turn()


def test_call_comes_when_it_is_due_and_not_before() -> None:
    stage = Stage()
    stage.after(7)
    stage.pass_time(6.98)
    assert stage.called == []
    stage.pass_time(0.04)
    assert len(stage.called) == 1


def test_earlier_call_comes_first() -> None:
    stage = Stage()
    stage.after(0.2)
    stage.after(0.1)
    stage.pass_time(0.12)
    assert len(stage.called) == 1


def test_no_timer_runs_while_nobody_waits() -> None:
    stage = Stage()
    stage.after(1)
    stage.pass_time(2)
    assert stage.loop.next_timer() == float("inf")


def test_nobody_is_called_for_the_time_in_which_the_loop_stood_still() -> None:
    stage = Stage()
    stage.after(5)
    stage.pass_time(1)
    stage.stand(60)
    assert stage.called == []
    stage.pass_time(1 + 3.4)  # a second to take what has arrived, and half a second had counted
    assert stage.called == []
    stage.pass_time(0.8)
    assert len(stage.called) == 1


def test_what_was_due_while_the_loop_stood_still_is_called_when_what_has_arrived_was_taken() -> None:
    stage = Stage()
    stage.after(0.3)
    stage.stand(60)
    stage.pass_time(0.9)
    assert stage.called == []
    stage.pass_time(0.2)
    assert len(stage.called) == 1


def test_time_without_anybody_who_waits_is_no_standing_still() -> None:
    stage = Stage()
    stage.after(1)
    stage.pass_time(2)
    stage.loop.now += 100
    stage.after(1)
    stage.pass_time(1.1)
    assert len(stage.called) == 2


@pytest.mark.parametrize("fault", [KeyError("a fault"), asyncio.CancelledError(), SystemExit(1)], ids=repr)
def test_call_that_fails_keeps_no_other_from_being_called(
    fault: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    stage = Stage()

    def fail(_now: float) -> None:
        raise fault

    stage.ticker.at(stage.ticker.clock() + 1, fail)
    stage.after(1)
    stage.after(3)
    stage.pass_time(4)
    assert len(stage.called) == 2
    assert [record.message for record in caplog.records] == ["a deadline failed"]


def test_calls_that_fail_all_the_time_fill_no_log(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage()

    def fail(_now: float) -> None:
        raise KeyError("a fault")

    for _ in range(100):
        stage.ticker.at(stage.ticker.clock() + 1, fail)
    stage.pass_time(4)
    assert len(caplog.records) == 5


def test_nobody_is_called_when_it_was_stopped() -> None:
    stage = Stage()
    stage.after(1)
    stage.ticker.stop()
    stage.after(1)
    stage.pass_time(5)
    assert stage.called == []
    assert stage.loop.next_timer() == float("inf")
