"""The workers of all shards together: what a new one is told, and the two phases of their end. Time is a number,
and the processes are pretended."""

from __future__ import annotations

import pytest

from tests.support.supervision.workers_stage import FIRST_INCARNATION, Supervised, WorkersStage, workers_stage
from wspulse.actors.mesh.lifecycle import (
    Alive,
    Drain,
    Exit,
    ShardDown,
    ShardSilence,
    ShardUp,
)
from wspulse.actors.mesh.message import Message
from wspulse.actors.values.timing.standstill import IDLE
from wspulse.supervisor.errors import StartError
from wspulse.supervisor.process.workers import Workers


def test_each_start_has_an_incarnation_of_its_own_above_the_last() -> None:
    with workers_stage(2) as made:
        assert [worker.incarnation for worker in made.launched] == [FIRST_INCARNATION, FIRST_INCARNATION + 1]
        made.current[0].ends(1)
        made.pass_time(0.2)
        assert [worker.incarnation for worker in made.launched][2:] == [FIRST_INCARNATION + 2]


def test_new_worker_is_told_which_others_are_ready_and_no_more() -> None:
    with workers_stage(3, ready=False) as made:
        assert made.told == [[], [], []]
        made.is_ready(1)
        made.workers.children[2].restart()
        made.current[2].ends(-9)
        assert made.current[2].told == [ShardUp(1, FIRST_INCARNATION + 1)]


def test_silence_of_a_worker_is_told_to_all_others_and_to_those_that_start_meanwhile() -> None:
    with workers_stage(3) as made:
        made.workers.watch()
        silent = made.current[1]
        for _ in range(4):
            for shard in (0, 2):
                made.current[shard].says(Alive(0))
            made.pass_time(1)
        told = ShardSilence(1, silent.incarnation, silent.pid, 3.0)
        assert made.told == [[told], [], [told]]
        made.current[2].ends(-9)
        made.pass_time(1)
        *ups, silence = made.current[2].told
        assert ups == [ShardUp(0, FIRST_INCARNATION), ShardUp(1, FIRST_INCARNATION + 1)]
        assert isinstance(silence, ShardSilence)
        assert (silence.shard, silence.pid, silence.is_over) == (1, silent.pid, False)
        assert silence.silence_s > 4
        made.pass_time(0.5)
        silent.says(Alive(0))
        back = ShardSilence(1, silent.incarnation, silent.pid, 5.5, is_over=True)
        assert made.told[0] == [told, back]
        assert made.told[2][-1] == back
        made.workers.unwatch()


def test_tidings_go_to_the_workers_of_all_other_shards() -> None:
    with workers_stage(3) as made:
        made.workers.tell_others(1, ShardDown(1, 5))
        assert made.told == [[ShardDown(1, 5)], [], [ShardDown(1, 5)]]


def test_they_are_ready_while_all_are_at_once() -> None:
    with workers_stage(2, ready=False) as made:
        made.is_ready(0)
        assert not made.are_ready()
        made.is_ready(1)
        assert made.are_ready()
        made.current[0].ends(1)
        assert not made.are_ready()


def test_process_that_cannot_be_started_at_the_start_is_an_error() -> None:
    with workers_stage(0) as made:
        made.refuse = OSError("no more processes")
        with pytest.raises(StartError, match="worker 0 cannot be started: no more processes"):
            made.start(1)


def test_no_worker_may_exit_before_all_have_drained() -> None:
    """Calls across shards work while the last sessions' callbacks run."""
    with workers_stage(3) as made:
        stopping = made.stop()
        made.drained(0)
        made.drained(2)
        assert made.told == [[Drain()]] * 3
        made.drained(1)
        assert made.told == [[Drain(), Exit()]] * 3
        assert not stopping.done()
        made.end()
        assert stopping.done()
        assert made.kills == [0, 0, 0]


def test_worker_that_dies_during_the_drain_holds_up_nobody_and_is_not_replaced() -> None:
    with workers_stage(2) as made:
        stopping = made.stop()
        made.current[0].ends(-11)
        made.drained(1)
        assert made.current[1].told == [Drain(), Exit()]
        made.current[1].ends(0)
        made.loop.run_until_idle()
        assert stopping.done()
        assert len(made.launched) == 2


@pytest.mark.parametrize(("shutdown_timeout_s", "reserve_s"), [(10.0, 0.5), (2.0, 0.2)])
@pytest.mark.parametrize("drains", [True, False])
def test_worker_that_does_not_end_is_killed_shortly_before_the_shutdown_timeout(
    drains: bool, shutdown_timeout_s: float, reserve_s: float, caplog: pytest.LogCaptureFixture
) -> None:
    with workers_stage(2, shutdown_timeout_s=shutdown_timeout_s) as made:
        stopping = made.stop()
        made.drained(0)
        if drains:
            made.drained(1)
        made.pass_time(shutdown_timeout_s - reserve_s - 0.01)
        assert made.kills == [0, 0]
        assert Exit() in made.current[0].told, "it has a moment to end in order"
        made.pass_time(0.02)
        assert made.kills == [1, 1]
        assert Exit() in made.current[1].told, "it may still end in order"
        made.end(-9)
        assert stopping.done()
        assert "a worker did not end in time and is killed" in caplog.text


def test_killed_worker_that_stays_is_not_waited_for_without_end() -> None:
    with workers_stage(1) as made:
        stopping = made.stop()
        made.pass_time(14)
        assert not stopping.done()
        made.pass_time(1)
        assert stopping.done()


def test_order_to_kill_ends_a_stop_that_waits(caplog: pytest.LogCaptureFixture) -> None:
    with workers_stage(2, shutdown_timeout_s=60.0) as made:
        stopping = made.stop()
        made.workers.kill()
        assert made.kills == [1, 1]
        made.current[0].ends(-9)
        made.pass_time(4.9)
        assert not stopping.done()
        made.pass_time(0.2)  # the other one is stuck in the kernel
        assert stopping.done()
        assert "did not end in time" not in caplog.text


@pytest.mark.parametrize(("stall_timeout_s", "period_s"), [(30.0, 1.0), (1.0, 0.25)])
def test_workers_say_that_they_live_several_times_per_stall_timeout(stall_timeout_s: float, period_s: float) -> None:
    workers = Workers(
        Supervised(),
        lambda _reason: None,
        stall_timeout_s=stall_timeout_s,
        shutdown_timeout_s=10.0,
        give_up_after_s=60.0,
    )
    assert workers.period_s == period_s


def test_silent_worker_is_dumped_and_killed_while_they_are_watched_and_no_other() -> None:
    with workers_stage(2) as made:
        made.workers.watch()
        for _ in range(40):
            made.pass_time(1)
            made.current[1].says(Alive(0))
        assert (made.current[0].dumps, made.kills[0] > 0) == (1, True)
        assert (made.current[1].dumps, made.kills[1]) == (0, 0)
        made.workers.unwatch()
        made.pass_time(100)
        assert (made.current[1].dumps, made.kills[1]) == (0, 0)
        assert made.loop.next_timer() == float("inf")


def keep_crashing(made: WorkersStage, shards: set[int], for_s: int) -> None:
    """Every worker of these shards that is there at a full second crashes; the others say that they live."""
    for _ in range(for_s):
        made.pass_time(1)
        for shard, worker in made.current.items():
            if shard not in shards:
                worker.says(Alive(0))
            elif made.workers.children[shard].pid is not None:
                worker.ends(-11)


def test_one_worker_that_serves_keeps_the_server_however_long_the_others_crash() -> None:
    with workers_stage(3) as made:
        made.workers.watch()
        keep_crashing(made, {0, 1}, 600)
        assert made.outages == []
        assert min(made.workers.children[shard].restarts for shard in (0, 1)) > 90
        made.workers.unwatch()


def test_server_without_any_worker_for_a_minute_is_an_outage_with_its_reason() -> None:
    with workers_stage(2) as made:
        made.workers.watch()
        keep_crashing(made, {0, 1}, 60)
        assert made.outages == []
        keep_crashing(made, {0, 1}, 2)
        assert made.outages[0] == "was killed by SIGSEGV"
        made.workers.unwatch()


def test_worker_that_is_ready_between_two_looks_and_crashes_again_is_no_outage() -> None:
    with workers_stage(1) as made:
        made.workers.watch()
        for _ in range(120):
            made.pass_time(0.6)
            if made.workers.children[0].pid is not None:
                made.is_ready(0)
                made.current[0].ends(-11)
        assert made.outages == []
        made.workers.unwatch()


def test_worker_that_is_retired_is_no_outage_however_long_its_drain_takes() -> None:
    with workers_stage(1, shutdown_timeout_s=600.0) as made:
        made.workers.watch()
        made.workers.children[0].retire(Drain(server_closes=False))
        for _ in range(300):
            made.pass_time(1)
            made.current[0].says(Alive(0))
        assert made.outages == []
        made.workers.unwatch()


def test_supervisor_that_stood_still_says_so_once_and_accuses_no_worker(caplog: pytest.LogCaptureFixture) -> None:
    with workers_stage(2) as made:
        made.workers.watch()
        made.pass_time(2)
        made.loop.now += 12
        made.loop.run_until_idle()
        made.pass_time(0.5)
        assert [(record.getMessage(), record.__dict__["stood_still_s"]) for record in caplog.records] == [(IDLE, 11)]
        assert made.told == [[], []]
        made.workers.unwatch()


def test_look_that_fails_is_not_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    with workers_stage(1) as made:
        made.workers.watch()
        looks: list[float] = []

        def tick(now: float) -> None:
            looks.append(now)
            raise RuntimeError("a fault of ours")

        monkeypatch.setattr(made.workers.children[0], "tick", tick)
        made.pass_time(3.5)
        assert len(looks) == 3
        made.workers.unwatch()
        assert len(made.loop.reports) == 3
        made.loop.reports.clear()


def test_worker_that_cannot_be_told_to_end_keeps_no_other_from_being_told_and_is_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with workers_stage(3) as made:

        def refuse(_message: Message) -> None:
            raise RuntimeError("planted")

        monkeypatch.setattr(made.current[0], "tell", refuse)
        stopping = made.stop()
        made.drained(1)
        made.drained(2)
        assert [worker.told[0] for worker in (made.current[1], made.current[2])] == [Drain(), Drain()]
        made.pass_time(9.6)
        assert made.current[0].kills == 1
        made.end()
        assert isinstance(stopping.exception(), ExceptionGroup)
