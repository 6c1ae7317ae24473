"""One shard's place over several workers, with workers that are only pretended."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.support.supervision.child_stage import Stage, child_stage
from wspulse.actors.mesh.lifecycle import (
    Alive,
    BootFailed,
    CloseRequested,
    Drain,
    Drained,
    Draining,
    Exit,
    Ready,
    ShardUp,
)
from wspulse.supervisor.process.child import ChildState


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


def test_what_workers_measure_is_kept_over_their_ends(stage: Stage) -> None:
    stage.child.start()
    stage.become_ready()
    stage.worker.says(Alive(7, {}, {"moves": {"": {"1": 30}}}))
    stage.worker.ends(-signal.SIGKILL)
    stage.next_start()
    stage.become_ready()
    stage.worker.says(Alive(1, {}, {"moves": {"": {"1": 2, "2": 1}}}))
    assert stage.child._history.histograms.total == {"moves": {"": {"1": 32, "2": 1}}}


def test_crashed_worker_is_replaced_under_a_new_incarnation(stage: Stage) -> None:
    stage.child.start()
    stage.become_ready()
    stage.worker.ends(-signal.SIGKILL)
    assert (stage.child.state, stage.child.pid, stage.child.restarts) == (ChildState.WAITING, None, 1)
    stage.next_start()
    stage.become_ready()
    assert stage.events == [("ready", 1), ("down", 1), ("ready", 2)]


def test_next_start_waits_longer_after_each_crash_and_not_after_a_worker_that_ran_well(stage: Stage) -> None:
    """contract §6: from 0.1 s, doubled, and 0.1 s again after 10 s up."""
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


def test_shard_whose_workers_always_crash_is_given_the_next_one_for_ever(stage: Stage) -> None:
    stage.child.start()
    for _ in range(200):
        stage.worker.ends(-signal.SIGSEGV)
        assert stage.next_start() < 5.1
    assert stage.child.restarts == 200
    assert stage.child.last_failure == "was killed by SIGSEGV"


@pytest.mark.parametrize(
    "refusal",
    [OSError(24, "Too many open files"), BlockingIOError(11, "again"), MemoryError(), RuntimeError("a thread")],
)
def test_start_that_the_system_refuses_is_tried_again_and_counts_as_no_crash(
    stage: Stage, refusal: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    stage.child.start()
    stage.refuse = refusal
    stage.worker.ends(1)
    stage.pass_time(60)
    assert (stage.child.state, stage.child.restarts) == (ChildState.WAITING, 1)
    said = [record for record in caplog.records if record.message == "no worker could be started; trying again"]
    assert 10 < len(said) < 20
    stage.refuse = None
    assert stage.next_start() < 5.1
    stage.become_ready()
    assert stage.child.restarts == 1


def test_worker_that_somebody_terminated_is_replaced_at_once_each_time_and_is_no_crash(stage: Stage) -> None:
    stage.child.start()
    for _ in range(20):
        stage.become_ready()
        stage.worker.says(Drained())
        assert stage.worker.told == [Exit()]
        count = len(stage.workers)
        stage.worker.ends(0)
        assert len(stage.workers) == count + 1
    assert stage.child.restarts == 0


def test_worker_that_somebody_terminated_and_that_does_not_drain_is_killed_and_replaced(stage: Stage) -> None:
    stage.child.start()
    stage.become_ready()
    stage.worker.says(Draining())
    assert stage.child.state is ChildState.DRAINING
    stage.pass_time(9.9)
    assert stage.worker.kills == 0
    stage.pass_time(0.2)
    assert stage.worker.kills == 1
    stage.worker.ends(-signal.SIGKILL)
    assert (len(stage.workers), stage.child.restarts) == (2, 0)


def test_worker_that_is_killed_since_it_does_not_drain_is_named(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    stage.child.start()
    stage.become_ready()
    stage.worker.says(Draining())
    stage.pass_time(10.1)
    (record,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert record.getMessage() == "a worker did not end in time and is killed"
    assert (record.__dict__["shard"], record.__dict__["pid"]) == (2, stage.worker.pid)


def test_worker_that_drained_while_the_supervisor_stood_still_ends_by_itself(stage: Stage) -> None:
    stage.child.start()
    stage.become_ready()
    stage.worker.says(Draining())
    stage.loop.now += 30
    stage.loop.run_until_idle()
    assert stage.worker.kills == 0, "what it said meanwhile is still unread"
    stage.worker.says(Drained())
    assert stage.worker.told == [Exit()]
    stage.pass_time(4.9)
    assert stage.worker.kills == 0
    stage.pass_time(0.2)
    assert stage.worker.kills == 1


def test_worker_that_dies_of_a_termination_signal_is_no_crash(stage: Stage) -> None:
    """An application may have put its own handler in the place of ours, or the default."""
    stage.child.start()
    stage.become_ready()
    stage.worker.ends(-signal.SIGTERM)
    assert (len(stage.workers), stage.child.restarts) == (2, 0)
    stage.worker.ends(-signal.SIGTERM)
    assert (len(stage.workers), stage.child.restarts) == (2, 0)
    assert stage.next_start() == pytest.approx(0.1), "what it does to itself at each start must not spin"
    stage.worker.ends(-signal.SIGTERM)
    assert stage.next_start() == pytest.approx(0.2)


def test_worker_that_is_terminated_while_it_starts_is_followed_with_backoff_and_is_killed_when_it_stays(
    stage: Stage,
) -> None:
    stage.child.start()
    stage.worker.says(Alive(0))
    stage.worker.says(Draining())
    stage.worker.says(Drained())
    assert stage.worker.told == [Exit()]
    stage.worker.ends(0)
    assert stage.next_start() == pytest.approx(0.1), "what it does to itself at each start must not spin"
    stage.worker.says(Alive(0))
    stage.worker.says(Draining())
    stage.pass_time(9.9)
    assert stage.worker.kills == 0
    stage.pass_time(0.2)
    assert stage.worker.kills == 1, "an on_start that cannot be cancelled"
    stage.worker.ends(-signal.SIGKILL)
    assert stage.next_start() == pytest.approx(0.2)
    assert stage.child.restarts == 0


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


def test_worker_that_cannot_start_is_told_of_and_let_go_and_another_one_is_started(stage: Stage) -> None:
    stage.child.start()
    stage.worker.says(BootFailed("why"))
    stage.worker.says(Drained())
    assert stage.events == [("boot failed", "why")]
    assert stage.worker.told == [Exit()], "once"
    stage.worker.ends(1)
    assert (stage.child.state, stage.child.restarts) == (ChildState.WAITING, 1)
    assert stage.next_start() == pytest.approx(0.1)
    stage.become_ready()
    assert stage.child.state is ChildState.READY


def test_worker_that_cannot_start_and_does_not_go_is_killed(stage: Stage) -> None:
    stage.child.start()
    stage.worker.says(BootFailed("why"))
    stage.pass_time(4.9)
    assert stage.worker.kills == 0
    stage.pass_time(0.1)
    assert stage.worker.kills == 1


def test_start_that_fails_again_and_again_is_told_as_a_whole_once_and_then_by_its_last_line(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    traceback = "Traceback (most recent call last):\n  in pool\nConnectionRefusedError: database\n"
    stage.child.start()
    for _ in range(3):
        stage.worker.says(BootFailed(traceback))
        stage.worker.ends(1)
        stage.next_start()
    told = [record.__dict__ for record in caplog.records if record.message == "a worker could not start"]
    assert [entry["reason"] for entry in told] == ["ConnectionRefusedError: database"] * 3
    assert [entry["restart_in_s"] for entry in told] == pytest.approx([0.1, 0.2, 0.4])
    assert [entry.get("traceback") for entry in told] == [traceback, None, None]
    stage.become_ready()
    stage.worker.ends(1)
    stage.next_start()
    stage.worker.says(BootFailed(traceback))
    stage.worker.ends(1)
    assert caplog.records[-1].__dict__["traceback"] == traceback, "it is another outage"


def test_stop_while_a_worker_that_cannot_start_leaves_starts_nothing(stage: Stage) -> None:
    stage.child.start()
    stage.worker.says(Alive(0))
    stage.worker.says(BootFailed("why"))
    stage.child.stop()
    assert stage.events[-1] == ("drained",)
    stage.worker.ends(1)
    assert stage.events[-1] == ("stopped",)
    assert stage.is_quiet
    assert len(stage.workers) == 1


def test_stuck_worker_is_dumped_then_killed(stage: Stage) -> None:
    stage.child.start()
    stage.become_ready()
    for _ in range(40):
        stage.pass_time(1)
        stage.child.tick(stage.loop.now)
    assert (stage.worker.dumps, stage.worker.kills > 0) == (1, True)
    stage.worker.ends(-signal.SIGKILL)
    stage.next_start()
    stage.become_ready()
    stage.worker.ends(-signal.SIGKILL)
    assert stage.child._history.restarts_by_reason == {"stuck": 1, "crash": 1}


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


def tick_each_second(stage: Stage, seconds: int) -> None:
    for _ in range(seconds):
        stage.pass_time(1)
        stage.child.tick(stage.loop.now)


def test_worker_that_is_silent_for_3_s_is_told_of_once_and_when_it_is_back(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.child.start()
    stage.become_ready()
    tick_each_second(stage, 12)
    assert stage.child.is_silent
    assert stage.child.silence_s == 12
    stage.pass_time(0.5)
    stage.worker.says(Alive(0))
    assert (stage.child.is_silent, stage.child.silence_s) == (False, 0)
    assert stage.events == [("ready", 1), ("silent", 3), ("back", 12.5)]
    said = [record.__dict__ for record in caplog.records if "silent" in record.getMessage()]
    assert [(record["levelname"], record["shard"], record["pid"], record["silence_s"]) for record in said] == [
        ("WARNING", 2, 1001, 3),
        ("WARNING", 2, 1001, 12.5),
    ]


def test_worker_that_ends_while_it_is_silent_is_not_told_to_be_back_and_its_replacement_is_another(
    stage: Stage,
) -> None:
    stage.child.start()
    stage.become_ready()
    tick_each_second(stage, 5)
    stage.worker.ends(-signal.SIGKILL)
    assert (stage.child.is_silent, stage.child.silence_s) == (False, 0)
    stage.next_start()
    stage.become_ready()
    assert not stage.child.is_silent
    assert stage.events == [("ready", 1), ("silent", 3), ("down", 1), ("ready", 2)]


def test_worker_whose_start_keeps_its_loop_is_not_told_to_be_silent_before_it_serves(stage: Stage) -> None:
    stage.child.start()
    stage.worker.says(Alive(0))
    tick_each_second(stage, 12)
    assert not stage.child.is_silent
    stage.become_ready()
    tick_each_second(stage, 2)
    stage.worker.says(Alive(0))
    tick_each_second(stage, 5)
    assert [event for event in stage.events if event[0] in ("silent", "back")] == [("silent", 3)]
