"""Planned restarts of one shard: the replacement stands by before the worker that serves is told to go. The workers are only
pretended, and time is a number."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.support.supervision.child_stage import FakeWorker, Stage, child_stage
from wspulse.actors.mesh.lifecycle import (
    Alive,
    BootFailed,
    CloseRequested,
    Drain,
    Drained,
    Draining,
    Exit,
    Prepared,
    Ready,
    ShardUp,
    TakeOver,
)
from wspulse.actors.values.errors import ServerClosedError
from wspulse.supervisor.process.child import ChildState
from wspulse.supervisor.process.restart.replacement import RestartFailedError

TRACEBACK = """Traceback (most recent call last):
  in app.py
SyntaxError: invalid syntax
"""


@pytest.fixture
def stage() -> Iterator[Stage]:
    """A child whose first worker is ready."""
    with child_stage() as stage:
        stage.child.start()
        stage.become_ready()
        yield stage


def both(stage: Stage) -> tuple[FakeWorker, FakeWorker]:
    """The worker that serves, and the one that stands by."""
    old, new = stage.workers
    assert (old.stands_by, new.stands_by) == (False, True)
    return old, new


def test_worker_serves_until_its_replacement_is_prepared_then_drains_and_is_followed_by_it(stage: Stage) -> None:
    restart = stage.child.restart()
    old, new = both(stage)
    new.says(Alive(0))
    assert (old.told, stage.child.state, stage.child.pid) == ([], ChildState.READY, old.pid)
    new.says(Prepared())
    assert (old.told, new.told) == ([Drain(server_closes=False)], [])
    old.says(Drained())
    assert old.told == [Drain(server_closes=False), Exit()]
    assert new.told == [], "two workers must not serve one shard"
    old.ends(0)
    assert new.told == [TakeOver()]
    assert (stage.child.state, stage.child.pid, restart.done()) == (ChildState.STARTING, new.pid, False)
    new.says(Ready(2, 2))
    assert restart.done()
    assert restart.exception() is None
    assert (stage.child.state, stage.child.restarts, old.kills) == (ChildState.READY, 0, 0)
    assert stage.events == [("ready", 1), ("down", 1), ("ready", 2)]
    new.ends(-signal.SIGKILL)
    assert stage.child.restarts == 1, "it is the shard's worker in all respects"
    assert stage.next_start() == pytest.approx(0.1)


def test_second_restart_joins_the_first(stage: Stage) -> None:
    assert stage.child.restart() is stage.child.restart()
    assert len(stage.workers) == 2
    stage.child.stop()


@pytest.mark.parametrize("how", ["boot failure", "crash", "no process", "too late"])
def test_replacement_that_cannot_start_leaves_the_worker_serving_and_is_the_answer(
    stage: Stage, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    old = stage.worker
    if how == "no process":
        stage.refuse = OSError(24, "Too many open files")
    restart = stage.child.restart()
    match how:
        case "boot failure":
            stage.worker.says(BootFailed(TRACEBACK))
            reason = "SyntaxError: invalid syntax"
        case "crash":
            stage.worker.ends(-signal.SIGSEGV)
            reason = "was killed by SIGSEGV"
        case "no process":
            reason = "no process: [Errno 24] Too many open files"
        case _:
            stage.pass_time(59.9)
            assert not restart.done()
            stage.pass_time(0.2)
            reason = "it was not ready after 60 s (--give-up-after)"
    with pytest.raises(RestartFailedError) as caught:
        restart.result()
    assert caught.value.code == "start_failed"
    assert str(caught.value) == f"wspulse: the new worker 2 could not start, the old one goes on: {reason}"
    assert (stage.child.state, old.told, old.kills, stage.child.restarts) == (ChildState.READY, [], 0, 0)
    (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert record.__dict__["reason"] == reason
    assert record.__dict__.get("traceback") == (TRACEBACK if how == "boot failure" else None)
    stage.refuse = None
    assert stage.child.restart() is not restart, "it can be tried again"
    stage.worker.says(Prepared())
    assert old.told == [Drain(server_closes=False)]
    stage.child.stop()


def test_replacement_that_failed_is_let_go_and_killed_when_it_does_not(stage: Stage) -> None:
    stage.child.restart()
    _, new = both(stage)
    new.says(BootFailed(TRACEBACK))
    new.says(Drained())
    new.says(Prepared())
    assert new.told == [Exit()]
    stage.pass_time(4.9)
    assert new.kills == 0
    stage.pass_time(0.2)
    assert new.kills == 1
    new.ends(-signal.SIGKILL)
    assert len(stage.workers) == 2
    assert stage.is_quiet


def test_worker_that_crashes_while_its_replacement_is_prepared_is_followed_by_that_at_once(stage: Stage) -> None:
    restart = stage.child.restart()
    old, new = both(stage)
    new.says(Alive(0))
    old.ends(-signal.SIGKILL)
    assert new.told == [TakeOver()], "it need not wait when it is prepared"
    assert (stage.child.state, stage.child.restarts, len(stage.workers)) == (ChildState.STARTING, 1, 2)
    new.says(Prepared())
    new.says(Ready(2, 2))
    assert stage.events == [("ready", 1), ("down", 1), ("ready", 2)]
    assert restart.done()
    assert stage.child.state is ChildState.READY
    new.ends(1)
    stage.next_start()


def test_replacement_that_fails_behind_the_crash_of_the_worker_is_a_start_that_failed(stage: Stage) -> None:
    restart = stage.child.restart()
    old, new = both(stage)
    old.ends(-signal.SIGKILL)
    new.says(BootFailed(TRACEBACK))
    new.ends(1)
    with pytest.raises(RestartFailedError, match="could not start, it is tried again: SyntaxError: invalid syntax"):
        restart.result()
    stage.next_start()
    assert not stage.worker.stands_by


def test_worker_that_somebody_terminates_meanwhile_is_followed_by_its_replacement(stage: Stage) -> None:
    stage.child.restart()
    old, new = both(stage)
    old.says(Drained())
    assert (old.told, new.told) == ([Exit()], [])
    old.ends(0)
    assert (new.told, stage.child.restarts) == ([TakeOver()], 0)


def test_replacement_that_somebody_terminates_while_it_is_prepared_leaves_the_worker_serving_and_is_the_answer(
    stage: Stage,
) -> None:
    restart = stage.child.restart()
    old, new = both(stage)
    new.says(Alive(0))
    new.says(Draining())
    new.says(Drained())
    with pytest.raises(RestartFailedError, match="the old one goes on: it was told to end"):
        restart.result()
    assert (stage.child.state, old.told, new.told) == (ChildState.READY, [], [Exit()])
    new.ends(0)
    assert len(stage.workers) == 2
    assert stage.is_quiet


def test_replacement_that_somebody_terminates_when_it_is_prepared_does_not_get_the_shard(stage: Stage) -> None:
    stage.child.restart()
    old, new = both(stage)
    new.says(Alive(0))
    new.says(Prepared())
    new.says(Draining())
    new.says(Drained())
    old.says(Drained())
    old.ends(0)
    assert new.told == [Exit()]
    assert not stage.worker.stands_by
    stage.become_ready()
    assert stage.child.state is ChildState.READY


def test_worker_that_does_not_drain_is_killed(stage: Stage) -> None:
    stage.child.restart()
    old, new = both(stage)
    stage.pass_time(50)
    new.says(Prepared())
    stage.pass_time(9.9)
    assert old.kills == 0
    stage.pass_time(0.2)
    assert old.kills == 1
    old.ends(-signal.SIGKILL)
    assert (new.told, stage.child.restarts) == ([TakeOver()], 0)
    stage.child.stop()


def test_replacement_hears_who_else_is_up_and_nothing_that_is_meant_for_the_worker(stage: Stage) -> None:
    stage.child.restart()
    old, new = both(stage)
    stage.child.tell(ShardUp(1, 9))
    new.says(Prepared())
    old.says(Drained())
    assert new.told == [ShardUp(1, 9)]
    assert old.told == [ShardUp(1, 9), Drain(server_closes=False), Exit()]


def test_replacement_whose_on_start_closes_the_server_closes_it(stage: Stage) -> None:
    stage.child.restart()
    stage.worker.says(CloseRequested())
    assert stage.events[-1] == ("close requested",)


def test_stop_waits_for_the_replacement_too_and_kills_reach_it(stage: Stage) -> None:
    restart = stage.child.restart()
    old, new = both(stage)
    new.says(Alive(0))
    stage.child.stop()
    with pytest.raises(ServerClosedError):
        restart.result()
    assert new.told == [Exit()]
    old.says(Drained())
    old.ends(0)
    assert stage.child.state is not ChildState.STOPPED
    stage.child.kill()
    assert new.kills == 1
    new.ends(-signal.SIGKILL)
    assert (stage.child.state, stage.events[-1]) == (ChildState.STOPPED, ("stopped",))
    assert stage.is_quiet
    with pytest.raises(ServerClosedError):
        stage.child.restart().result()


@pytest.mark.parametrize("how", ["stop", "too late"])
def test_replacement_that_still_loads_is_not_waited_for(stage: Stage, how: str) -> None:
    stage.child.restart()
    _, new = both(stage)
    if how == "stop":
        stage.child.stop()
    else:
        stage.pass_time(60.1)
    assert (new.told, new.kills) == ([], 1)
    new.ends(-signal.SIGKILL)
    assert stage.child.state is (ChildState.DRAINING if how == "stop" else ChildState.READY)


def test_replacement_that_has_gone_before_the_worker_does_not_end_the_stop(stage: Stage) -> None:
    stage.child.restart()
    old, new = both(stage)
    stage.child.stop()
    new.ends(0)
    assert stage.child.state is ChildState.DRAINING
    old.ends(0)
    assert stage.events[-1] == ("stopped",)


def test_restart_during_the_backoff_starts_at_once_and_fails_with_the_start(stage: Stage) -> None:
    stage.worker.ends(1)
    restart = stage.child.restart()
    assert [worker.stands_by for worker in stage.workers] == [False, False]
    stage.worker.says(BootFailed(TRACEBACK))
    stage.worker.ends(1)
    with pytest.raises(RestartFailedError, match="it is tried again: SyntaxError"):
        restart.result()
    count = len(stage.workers)
    stage.next_start()
    assert len(stage.workers) == count + 1, "the start that was waiting is none any more"


def test_restart_of_a_starting_worker_kills_it_and_is_not_done_by_its_last_word(stage: Stage) -> None:
    stage.worker.ends(1)
    stage.next_start()
    restart = stage.child.restart()
    old = stage.worker
    assert old.kills == 1
    old.says(Ready(2, 2))
    assert not restart.done()
    old.ends(-signal.SIGKILL)
    assert (len(stage.workers), stage.child.restarts) == (3, 1)
    stage.become_ready()
    assert restart.done()


def test_restart_of_a_worker_that_could_not_start_does_not_wait_for_the_backoff(stage: Stage) -> None:
    stage.worker.ends(1)
    stage.next_start()
    stage.worker.says(BootFailed(TRACEBACK))
    restart = stage.child.restart()
    stage.worker.ends(1)
    assert (len(stage.workers), restart.done()) == (3, False)
    stage.become_ready()
    assert restart.done()
