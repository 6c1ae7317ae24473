"""Starts anew of a worker that is not ready, and the end of one that nobody follows at its seat. The workers are only pretended,
and time is a number."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.support.supervision.child_stage import Stage, child_stage
from wspulse.actors.mesh.lifecycle import (
    Alive,
    BootFailed,
    Drain,
    Drained,
    Draining,
    Exit,
    Prepared,
    Ready,
    TakeOver,
)
from wspulse.actors.values.errors import ServerClosedError
from wspulse.supervisor.process.child import ChildState
from wspulse.supervisor.process.restart.failure import RestartFailedError
from wspulse.supervisor.process.restart.standby import Standby

TRACEBACK = """Traceback (most recent call last):
  in app.py
SyntaxError: invalid syntax
"""

MOVED_OUT = Drain(server_closes=False, restarts=True)


@pytest.fixture
def stage() -> Iterator[Stage]:
    """A child whose first worker is ready."""
    with child_stage() as stage:
        stage.child.start()
        stage.become_ready()
        yield stage


def test_restart_during_the_backoff_starts_at_once_and_fails_with_the_start(stage: Stage) -> None:
    stage.worker.ends(1)
    restart = stage.child.restart()
    assert [worker.stands_by for worker in stage.workers] == [False, False]
    stage.worker.says(BootFailed(TRACEBACK))
    stage.worker.ends(1)
    with pytest.raises(RestartFailedError, match="it is started again: SyntaxError"):
        restart.result()
    count = len(stage.workers)
    stage.next_start()
    assert len(stage.workers) == count + 1, "the start that was waiting is none any more"


def test_restart_of_a_starting_worker_kills_it_and_is_not_done_by_its_last_word(stage: Stage) -> None:
    stage.worker.ends(1)
    stage.next_start()
    restart = stage.child.restart()
    assert stage.child.restart() is restart, "a second one joins it"
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


def test_restart_of_a_worker_that_ends_already_is_done_when_the_next_one_is_ready(stage: Stage) -> None:
    stage.worker.says(Draining())
    restart = stage.child.restart()
    stage.worker.says(Drained())
    stage.worker.ends(0)
    assert not restart.done()
    stage.become_ready()
    assert (restart.done(), stage.child.restarts) == (True, 0)


def test_restart_ends_with_the_server(stage: Stage) -> None:
    stage.worker.ends(1)
    restart = stage.child.restart()
    stage.child.stop()
    with pytest.raises(ServerClosedError):
        restart.result()
    stage.worker.ends(-signal.SIGKILL)
    with pytest.raises(ServerClosedError):
        stage.child.restart().result()


def test_worker_that_is_retired_drains_and_is_followed_by_none(stage: Stage) -> None:
    stage.child.retire(MOVED_OUT)
    assert (stage.worker.told, stage.child.state) == ([MOVED_OUT], ChildState.DRAINING)
    stage.worker.says(Drained())
    assert stage.worker.told == [MOVED_OUT, Exit()]
    stage.worker.ends(0)
    assert (stage.child.state, stage.child.restarts) == (ChildState.STOPPED, 0)
    assert stage.events == [("ready", 1), ("down", 1), ("stopped",)]
    assert stage.is_quiet
    assert len(stage.workers) == 1


@pytest.mark.parametrize("spread_s", [0.0, 20.0])
def test_worker_that_is_retired_and_does_not_drain_is_killed(stage: Stage, spread_s: float) -> None:
    stage.child.retire(Drain(server_closes=False, restarts=True, spread_s=spread_s))
    stage.pass_time(9.9 + spread_s)
    assert stage.worker.kills == 0
    stage.pass_time(0.2)
    assert stage.worker.kills == 1


@pytest.mark.parametrize("when", ["starting", "waiting"])
def test_worker_that_is_retired_before_it_is_ready_is_not_waited_for(stage: Stage, when: str) -> None:
    stage.worker.ends(1)
    if when == "starting":
        stage.next_start()
        stage.child.retire(MOVED_OUT)
        assert (stage.worker.told, stage.worker.kills) == ([], 1)
        stage.worker.ends(-signal.SIGKILL)
    else:
        stage.child.retire(MOVED_OUT)
    assert stage.child.state is ChildState.STOPPED
    assert stage.is_quiet


@pytest.mark.parametrize("is_ready", [True, False])
def test_worker_that_has_been_given_up_and_crashes_is_followed_by_none_and_counts_if_it_served(is_ready: bool) -> None:
    with child_stage() as stage:
        stage.child.start()
        stage.child.is_permanent = False
        if is_ready:
            stage.become_ready()
        stage.worker.ends(-signal.SIGSEGV)
        assert (stage.child.state, stage.child.restarts) == (ChildState.STOPPED, int(is_ready))
        assert stage.is_quiet


class Quiet:
    """Nobody asks how a standby is."""

    def on_standby_prepared(self, standby: Standby) -> None: ...
    def on_standby_failed(self, standby: Standby, text: str) -> None: ...
    def on_standby_gone(self, standby: Standby) -> None: ...
    def on_standby_closes(self, standby: Standby) -> None: ...


def test_standby_that_is_taken_is_a_worker_in_all_respects() -> None:
    with child_stage() as stage:
        standby = Standby(2, 5, stage.launch, Quiet(), patience_s=60.0)
        prepared = []
        for message in (Alive(0), Prepared()):
            stage.worker.says(message)
            prepared.append(standby.is_prepared)
        assert prepared == [False, True]
        stage.child.take(standby)
        assert stage.worker.told == [TakeOver()]
        assert (stage.child.state, stage.child.pid) == (ChildState.STARTING, stage.worker.pid)
        stage.pass_time(100)
        stage.worker.says(Ready(5, 1))
        assert (stage.child.state, stage.events) == (ChildState.READY, [("ready", 1)])
        stage.worker.ends(-signal.SIGKILL)
        assert stage.child.restarts == 1
        assert stage.next_start() == pytest.approx(0.1)


def test_standby_that_still_loads_may_be_taken_and_fails_as_any_start() -> None:
    with child_stage() as stage:
        stage.child.take(Standby(2, 5, stage.launch, Quiet(), patience_s=60.0))
        stage.worker.says(Prepared())
        stage.worker.says(BootFailed(TRACEBACK))
        assert stage.events == [("boot failed", TRACEBACK)]
        stage.worker.ends(1)
        stage.next_start()
        assert not stage.worker.stands_by
