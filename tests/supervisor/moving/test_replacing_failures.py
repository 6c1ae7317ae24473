"""Reloads and restarts in which somebody fails, dies or says nothing more, at each step. The workers are pretended, and time is a
number."""

from __future__ import annotations

import asyncio
import signal

import pytest

from tests.support.supervision.plans_stage import PlansStage, plans_stage
from wspulse.actors.mesh.lifecycle import (
    Alive,
    BootFailed,
    Drain,
    Drained,
    Draining,
    Exit,
    MovedOut,
    MoveFailed,
    MoveOut,
    MoveProgress,
    SeatGone,
    ShardDown,
    SlotTable,
    TakeOver,
)
from wspulse.supervisor.errors import StartError
from wspulse.supervisor.moving.turn import Moved
from wspulse.supervisor.process.child import ChildState
from wspulse.supervisor.process.restart.failure import MoveFailedError, RestartFailedError

TRACEBACK = """Traceback (most recent call last):
  File "/srv/chat/app.py", line 7, in <module>
    from rooms import Room
  File "/srv/chat/rooms.py", line 3
    def (
        ^
SyntaxError: invalid syntax
"""

GONE = Drain(server_closes=False, restarts=True)


def to_moving(stage: PlansStage) -> asyncio.Task[object]:
    """Worker 0 of two is told to move its sessions to one at seat 2."""
    plan = stage.plan(stage.conductor.restart(0))
    stage.is_prepared(2)
    stage.is_ready(2)
    assert stage.heard(0, MoveOut)
    return plan


@pytest.mark.parametrize("how", ["boot failure", "crash", "too late", "terminated", "no process", "no seat"])
def test_standby_that_fails_leaves_everything_as_it_was_and_is_the_answer(
    how: str, caplog: pytest.LogCaptureFixture
) -> None:
    with plans_stage(2) as stage:
        source = stage.at(0)
        if how == "no process":
            stage.made.refuse = OSError(24, "Too many open files")
        if how == "no seat":
            stage.made.mailboxes.refuse = StartError("the mailbox cannot be opened")
        plan = stage.plan(stage.conductor.reload())
        match how:
            case "boot failure":
                stage.says(2, Alive(0), BootFailed(TRACEBACK))
                reason = "SyntaxError: invalid syntax (rooms.py, line 3)"
            case "crash":
                stage.ends(2, -signal.SIGSEGV)
                reason = "was killed by SIGSEGV"
            case "too late":
                stage.pass_time(59.5)
                assert not plan.done()
                stage.pass_time(1)
                reason = "it was not ready within 60 s (--give-up-after)"
            case "terminated":
                stage.says(2, Alive(0), Draining())
                reason = "it was terminated (SIGTERM)"
            case "no process":
                reason = "no process: [Errno 24] Too many open files"
            case _:
                reason = "the mailbox cannot be opened"
        with pytest.raises(RestartFailedError) as caught:
            plan.result()
        assert caught.value.code == "start_failed"
        assert str(caught.value) == f"wspulse: the new worker 0 could not start; the old one keeps serving: {reason}"
        (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
        assert record.__dict__.get("traceback") == (TRACEBACK if how == "boot failure" else None)
        assert MoveOut not in map(type, source.told)
        if how in ("boot failure", "terminated"):
            assert stage.last(2, Exit) == Exit()
            stage.ends(2)
        elif how == "too late":
            assert stage.at(2).kills == 1
            stage.ends(2, -signal.SIGKILL)
        stage.made.refuse = stage.made.mailboxes.refuse = None
        stage.check(2)
        assert [child.restarts for child in stage.workers.children] == [0, 0]
        again = stage.plan(stage.conductor.restart(0))
        stage.obeys()
        assert again.result() == Moved(0, 2, 1, 0.001)


def test_standby_that_fails_and_does_not_go_is_killed_and_its_seat_is_taken_until_then() -> None:
    with plans_stage(2) as stage:
        stage.plan(stage.conductor.restart(0))
        stage.says(2, Alive(0), BootFailed(TRACEBACK))
        stage.pass_time(4.5)
        assert (stage.at(2).kills, 2 in stage.seating.paths) == (0, True)
        stage.pass_time(1)
        assert stage.at(2).kills == 1
        stage.ends(2, -signal.SIGKILL)
        stage.check(2)


@pytest.mark.parametrize("how", ["crash", "boot failure"])
def test_target_that_fails_when_it_is_to_accept_leaves_everything_as_it_was(how: str) -> None:
    with plans_stage(2) as stage:
        plan = stage.plan(stage.conductor.restart(0))
        stage.is_prepared(2)
        if how == "boot failure":
            stage.says(2, BootFailed(TRACEBACK))
        stage.ends(2, 1)
        with pytest.raises(RestartFailedError, match="the old one keeps serving: "):
            plan.result()
        assert stage.heard(0, MoveOut) == []
        stage.check(2)


@pytest.mark.parametrize("moved", [0, 5])
def test_target_that_dies_while_sessions_move_ends_the_plan_and_the_source_goes_on(moved: int) -> None:
    with plans_stage(2) as stage:
        plan = to_moving(stage)
        stage.ends(2, -signal.SIGKILL)
        assert not plan.done(), "the source says what was lost"
        stage.says(0, MoveFailed(stage.last(0, MoveOut).plan, "the target has ended", moved, 0, moved))
        with pytest.raises(MoveFailedError, match=f"{moved} were, {moved} of them lost.*: the target has ended"):
            plan.result()
        assert stage.workers.children[0].state is ChildState.READY
        assert stage.heard(0, SlotTable) == stage.heard(0, Drain) == []
        stage.check(2)


def test_source_that_does_not_notice_the_end_of_its_target_is_not_waited_for() -> None:
    with plans_stage(2) as stage:
        plan = to_moving(stage)
        stage.ends(2, -signal.SIGKILL)
        stage.pass_time(7)
        with pytest.raises(MoveFailedError, match="has ended"):
            plan.result()
        stage.check(2)


def test_target_that_dies_when_everything_has_moved_costs_the_source_its_process_too() -> None:
    """The source takes the slots for another's, who is not there any more; it is begun anew, at its seat."""
    with plans_stage(2) as stage:
        plan = to_moving(stage)
        stage.ends(2, -signal.SIGKILL)
        stage.moves_out(0)
        with pytest.raises(MoveFailedError, match="3 were, 3 of them lost"):
            plan.result()
        assert stage.at(0).kills == 1
        stage.ends(0, -signal.SIGKILL)
        stage.pass_time(0.5)
        assert stage.at(0).place is not None
        assert not stage.at(0).stands_by
        stage.check(2)


def test_sessions_that_do_not_move_to_a_target_that_lives_are_closed_there_with_it() -> None:
    with plans_stage(2) as stage:
        plan = to_moving(stage)
        stage.says(0, MoveFailed(stage.last(0, MoveOut).plan, "it refuses", 2, 0, 0))
        with pytest.raises(MoveFailedError, match="it refuses"):
            plan.result()
        assert stage.at(2).told[-1] == GONE
        stage.drains(2)
        stage.check(2)


@pytest.mark.parametrize("when", ["loading", "accepting", "moving", "moved", "vacated", "draining"])
def test_source_that_dies_is_followed_by_the_new_worker_at_once(when: str) -> None:
    with plans_stage(2) as stage:
        source, plan = stage.at(0), stage.plan(stage.conductor.restart(0))
        steps = ["loading", "accepting", "moving", "moved", "vacated", "draining"]
        for step in steps[1 : steps.index(when) + 1]:
            match step:
                case "accepting":
                    stage.is_prepared(2)
                case "moving":
                    stage.is_ready(2)
                    stage.says(0, MoveProgress(1, 4, 1, 2, 0.003))
                case "moved":
                    stage.says(0, MovedOut(1, 6, 1, 0.004))
                case "vacated":
                    stage.vacates(0)
                case "draining":
                    stage.says(0, Drained())
        stage.ends(0, -signal.SIGKILL)
        ends = [message for message in stage.at(1).told if isinstance(message, ShardDown | SlotTable | SeatGone)]
        down, table, gone = ShardDown(0, source.incarnation), stage.seating.table, SeatGone(0)
        assert ends == ([table, down, gone] if when in ("moved", "vacated", "draining") else [down, table, gone])
        assert set(stage.seating.seats) == {1, 2}
        assert stage.workers.children[0].pid == stage.at(2).pid
        assert stage.heard(2, TakeOver) == [TakeOver()], "it need not wait when it is prepared"
        if when == "loading":
            stage.is_prepared(2)
        if when in ("loading", "accepting"):
            assert not plan.done()
            stage.is_ready(2)
        figures = (6, 1, 0.004, 0) if when in ("moved", "vacated", "draining") else (0, 0, 0.0, 0)
        assert plan.result() == Moved(0, *((4, 1, 0.003, 2) if when == "moving" else figures))
        by_order = when in ("vacated", "draining")
        assert stage.workers.children[0].restarts == (0 if by_order else 1), "what follows is not counted twice"
        stage.check(2)
        stage.ends(2, 1)
        stage.pass_time(0.5)
        assert not stage.at(2).stands_by, "it is followed as any other, at its seat"


def test_new_worker_that_fails_behind_the_death_of_the_old_one_is_tried_again_at_its_seat() -> None:
    with plans_stage(2) as stage:
        plan = stage.plan(stage.conductor.restart(0))
        stage.ends(0, -signal.SIGKILL)
        stage.says(2, BootFailed(TRACEBACK))
        with pytest.raises(RestartFailedError, match="could not start; it is started again: SyntaxError"):
            plan.result()
        for _ in range(20):  # broken code that a crash meets is tried for ever
            stage.ends(2, 1)
            stage.pass_time(6)
            stage.says(2, BootFailed(TRACEBACK))
        stage.ends(2, 1)
        stage.pass_time(6)
        assert stage.workers.children[1].state is ChildState.READY
        stage.says(2, Alive(0))
        stage.is_ready(2)
        stage.check(2)


def test_both_that_die_at_once_leave_the_old_seat_to_the_next_worker() -> None:
    with plans_stage(2) as stage:
        plan = stage.plan(stage.conductor.restart(0))
        stage.at(2).ends(-signal.SIGKILL)
        stage.at(0).ends(-signal.SIGKILL)
        stage.run()
        with pytest.raises(RestartFailedError):
            plan.result()
        stage.pass_time(0.5)
        assert not stage.at(0).stands_by
        stage.check(2)


def test_source_without_a_word_loses_its_new_target_when_nothing_has_moved(caplog: pytest.LogCaptureFixture) -> None:
    with plans_stage(2, handover_timeout_s=5.0) as stage:
        plan = to_moving(stage)
        stage.pass_time(15)
        assert stage.at(2).kills == 0
        stage.pass_time(2)
        assert stage.at(2).kills > 0
        assert "no session moves to the new worker; it is killed" in caplog.text
        stage.ends(2, -signal.SIGKILL)
        stage.pass_time(7)
        with pytest.raises(MoveFailedError, match="none moved in the time allowed"):
            plan.result()
        assert stage.at(0).kills == 0
        stage.check(2)


def test_source_whose_last_sessions_do_not_move_is_killed_and_followed(caplog: pytest.LogCaptureFixture) -> None:
    with plans_stage(2, handover_timeout_s=5.0, drain_spread_s=3.0) as stage:
        plan = to_moving(stage)
        for moved in range(1, 20):
            stage.pass_time(10)
            stage.says(0, MoveProgress(1, moved, 0, 20 - moved, 0.003))
        for _ in range(3):  # the same figures again are no progress
            stage.pass_time(5)
            stage.says(0, MoveProgress(1, 19, 0, 1, 0.003))
        assert stage.at(0).kills == 0
        stage.pass_time(5)
        assert stage.at(0).kills > 0
        (said,) = {record.message for record in caplog.records if "do not move" in record.message}
        assert said == "the remaining sessions do not move; their worker is killed"
        stage.ends(0, -signal.SIGKILL)
        assert plan.result() == Moved(0, 19, 0, 0.003, 1)
        stage.check(2)


def test_source_that_never_says_that_it_has_nothing_to_do_any_more_is_let_go(caplog: pytest.LogCaptureFixture) -> None:
    with plans_stage(2) as stage:
        plan = to_moving(stage)
        stage.moves_out(0)
        stage.pass_time(9)
        assert stage.heard(0, Drain) == []
        stage.pass_time(3)
        assert stage.heard(0, Drain) == [GONE]
        assert "does not confirm that its sessions have moved" in caplog.text
        stage.drains(0)
        assert plan.result() == Moved(0, 3, 0, 0.004)
        stage.check(2)
