"""One shard's place over several workers, with workers that are only pretended."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.support.child_stage import Stage, child_stage
from wspulse.actors.mesh.message import Alive, BootFailed, CloseRequested, Drain, Drained, Exit, Ready, ShardUp
from wspulse.actors.values.errors import ServerClosedError
from wspulse.supervisor.process.child import ChildState

MOST_RESTARTS = 5
"""More of one shard within 60 s end the server."""


@pytest.fixture
def stage() -> Iterator[Stage]:
    with child_stage() as stage:
        yield stage


def test_started_worker_becomes_ready_and_is_counted(stage: Stage) -> None:
    stage.child.start()
    assert (stage.child.state, stage.child.pid, stage.child.incarnation) == (ChildState.STARTING, 1001, 1)
    stage.become_ready()
    stage.worker.says(Alive(7))
    assert (stage.child.state, stage.child.connections) == (ChildState.READY, 7)
    assert stage.events == [("ready", 1)]


def test_what_workers_count_is_kept_over_their_ends(stage: Stage) -> None:
    stage.child.start()
    stage.become_ready()
    stage.worker.says(Alive(7, {"frames_in": 30}))
    stage.worker.ends(-signal.SIGKILL)
    stage.next_start()
    stage.become_ready()
    stage.worker.says(Alive(1, {"frames_in": 2}))
    assert stage.child.tally.total == {"frames_in": 32}
    assert stage.child.tally.of(stage.child.incarnation) == {"frames_in": 2}


def test_crashed_worker_is_replaced_under_a_new_incarnation(stage: Stage) -> None:
    stage.child.start()
    stage.become_ready()
    stage.worker.ends(-signal.SIGKILL)
    assert (stage.child.state, stage.child.pid, stage.child.restarts) == (ChildState.WAITING, None, 1)
    stage.next_start()
    stage.become_ready()
    assert stage.events == [("ready", 1), ("down", 1), ("ready", 2)]


def test_next_start_waits_longer_after_each_crash_and_not_after_a_worker_that_ran_well(stage: Stage) -> None:
    """contract.md §6: from 0.1 s, doubled, and 0.1 s again after 10 s up."""
    stage.child.start()
    waits = []
    for _ in range(3):
        stage.worker.ends(1)
        waits.append(stage.next_start())
    stage.become_ready()
    stage.pass_time(10)
    stage.worker.ends(1)
    waits.append(stage.next_start())
    assert waits == pytest.approx([0.1, 0.2, 0.4, 0.1])


def test_crash_without_end_gives_up_and_says_how_the_last_worker_ended(stage: Stage) -> None:
    stage.child.start()
    for _ in range(MOST_RESTARTS):
        stage.worker.ends(1)
        stage.next_start()
    stage.worker.ends(-signal.SIGSEGV)
    assert stage.events[-1] == ("gave up", "was killed by SIGSEGV")
    assert stage.child.restarts == MOST_RESTARTS


def test_start_that_the_system_refuses_counts_as_a_crash(stage: Stage) -> None:
    stage.child.start()
    stage.refuse = OSError("no more processes")
    stage.worker.ends(1)
    stage.pass_time(60)
    assert stage.is_quiet
    assert stage.events[-1] == ("gave up", "could not be started: no more processes")


def test_planned_restart_drains_waits_and_counts_nothing(stage: Stage) -> None:
    stage.child.start()
    stage.become_ready()
    old = stage.worker
    restart = stage.child.restart()
    assert old.told == [Drain(server_closes=False)]
    old.says(Drained())
    assert old.told == [Drain(server_closes=False), Exit()]
    old.ends(0)
    assert len(stage.workers) == 2, "the replacement starts at once"
    assert not restart.done()
    stage.become_ready()
    assert restart.done()
    assert restart.exception() is None
    assert stage.child.restarts == 0
    assert old.kills == 0


def test_second_restart_joins_the_first(stage: Stage) -> None:
    stage.child.start()
    stage.become_ready()
    assert stage.child.restart() is stage.child.restart()
    assert stage.worker.told == [Drain(server_closes=False)]
    stage.child.stop()


def test_planned_restart_kills_a_worker_that_does_not_drain(stage: Stage) -> None:
    stage.child.start()
    stage.become_ready()
    stage.child.restart()
    stage.pass_time(9.9)
    assert stage.worker.kills == 0
    stage.pass_time(0.1)
    assert stage.worker.kills == 1
    stage.worker.ends(-signal.SIGKILL)
    assert (len(stage.workers), stage.child.restarts) == (2, 0)
    stage.child.stop()


def test_replacement_that_crashes_is_a_crash_and_the_restart_waits_for_the_next(stage: Stage) -> None:
    stage.child.start()
    stage.become_ready()
    restart = stage.child.restart()
    stage.worker.ends(0)
    stage.worker.ends(-signal.SIGSEGV)
    assert (stage.child.state, stage.child.restarts) == (ChildState.WAITING, 1)
    stage.next_start()
    stage.become_ready()
    assert restart.done()
    assert restart.exception() is None


def test_restart_during_the_backoff_starts_at_once(stage: Stage) -> None:
    stage.child.start()
    stage.worker.ends(1)
    stage.child.restart()
    assert len(stage.workers) == 2
    stage.pass_time(5)
    assert len(stage.workers) == 2, "the start that was waiting is none any more"
    stage.child.stop()


def test_restart_of_a_starting_worker_kills_it(stage: Stage) -> None:
    stage.child.start()
    stage.child.restart()
    assert stage.worker.kills == 1
    stage.worker.ends(-signal.SIGKILL)
    assert (len(stage.workers), stage.child.restarts) == (2, 0)
    stage.child.stop()


def test_restart_fails_when_the_server_ends_first(stage: Stage) -> None:
    stage.child.start()
    stage.become_ready()
    restart = stage.child.restart()
    stage.child.stop()
    with pytest.raises(ServerClosedError):
        restart.result()
    stage.worker.ends(0)
    with pytest.raises(ServerClosedError):
        stage.child.restart().result()
    assert len(stage.workers) == 1


def test_worker_that_drained_by_itself_may_go_and_is_replaced(stage: Stage) -> None:
    """Somebody sent one worker SIGTERM."""
    stage.child.start()
    stage.become_ready()
    stage.worker.says(Drained())
    assert stage.worker.told == [Exit()]
    stage.worker.ends(0)
    stage.next_start()


def test_stop_drains_then_waits_for_exit(stage: Stage) -> None:
    stage.child.start()
    stage.become_ready()
    stage.child.stop()
    stage.worker.says(Drained())
    assert stage.worker.told == [Drain()], "others may still ask this shard"
    assert stage.events[-1] == ("drained",)
    stage.child.exit()
    stage.worker.ends(0)
    assert stage.events[-2:] == [("down", 1), ("stopped",)]
    assert stage.child.state is ChildState.STOPPED


def test_stop_of_a_worker_that_was_never_heard_kills_it(stage: Stage) -> None:
    stage.child.start()
    stage.child.stop()
    assert (stage.worker.told, stage.worker.kills) == ([], 1)


def test_stop_during_the_backoff_starts_nothing_any_more(stage: Stage) -> None:
    stage.child.start()
    stage.worker.ends(1)
    stage.child.stop()
    assert stage.child.state is ChildState.STOPPED
    assert stage.is_quiet
    assert len(stage.workers) == 1


def test_crash_while_stopping_starts_nothing(stage: Stage) -> None:
    stage.child.start()
    stage.become_ready()
    stage.child.stop()
    stage.worker.ends(-signal.SIGSEGV)
    assert stage.child.state is ChildState.STOPPED
    assert stage.events[-1] == ("stopped",)


def test_ready_that_crosses_the_order_to_end_is_not_ready(stage: Stage) -> None:
    stage.child.start()
    stage.worker.says(Alive(0))
    stage.child.stop()
    stage.worker.says(Ready(2, 1))
    assert ("ready", 1) not in stage.events
    assert stage.child.state is ChildState.DRAINING


def test_boot_failure_is_told_and_starts_nothing(stage: Stage) -> None:
    stage.child.start()
    stage.worker.says(BootFailed("why"))
    stage.worker.says(Drained())
    assert stage.events == [("boot failed", "why")]
    stage.child.stop()
    assert stage.events[-1] == ("drained",)
    stage.child.exit()
    stage.worker.ends(1)
    assert stage.events[-1] == ("stopped",)
    assert len(stage.workers) == 1


def test_worker_that_ends_by_itself_after_a_boot_failure_is_not_restarted(stage: Stage) -> None:
    stage.child.start()
    stage.worker.says(BootFailed("why"))
    stage.worker.ends(1)
    assert stage.is_quiet
    assert len(stage.workers) == 1


def test_stuck_worker_is_dumped_then_killed(stage: Stage) -> None:
    stage.child.start()
    stage.become_ready()
    for _ in range(40):
        stage.pass_time(1)
        stage.child.tick(stage.loop.now)
    assert (stage.worker.dumps, stage.worker.kills > 0) == (1, True)


def test_requests_and_unknown_messages_are_passed_on(stage: Stage) -> None:
    stage.child.start()
    stage.worker.says(CloseRequested())
    stage.worker.says(ShardUp(1, 1))
    assert stage.events == [("close requested",), ("message", ShardUp(1, 1))]


def test_last_words_of_a_former_worker_are_ignored(stage: Stage) -> None:
    stage.child.start()
    former = stage.worker
    former.ends(1)
    stage.next_start()
    former.says(Ready(2, 1))
    assert stage.child.state is ChildState.STARTING


def test_slow_import_is_told_once(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    stage.child.start()
    for _ in range(60):
        stage.pass_time(1)
        stage.child.tick(stage.loop.now)
    assert [record.message for record in caplog.records] == ["a worker is still loading the application"]
    assert (stage.worker.dumps, stage.worker.kills) == (0, 0)
