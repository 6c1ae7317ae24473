"""One shard's place over several workers, with workers that are only pretended."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from wspulse.actors.mesh.message import Alive, BootFailed, CloseRequested, Drain, Drained, Exit, Message, Ready, ShardUp
from wspulse.actors.values.errors import ServerClosedError
from wspulse.supervisor.process.child import Child, ChildState, LaunchedWorker
from wspulse.supervisor.process.restart_intensity import MAX_RESTARTS


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


class FakeWorker:
    """Keeps what it is told; the test speaks and dies for it."""

    def __init__(
        self,
        incarnation: int,
        on_message: Callable[[LaunchedWorker, Message], None],
        on_exit: Callable[[LaunchedWorker, int], None],
    ) -> None:
        self.pid = 1000 + incarnation
        self.incarnation = incarnation
        self.told: list[Message] = []
        self.dumps = 0
        self.kills = 0
        self._on_message = on_message
        self._on_exit = on_exit

    def says(self, message: Message) -> None:
        self._on_message(self, message)

    def ends(self, code: int) -> None:
        self._on_exit(self, code)

    def tell(self, message: Message) -> None:
        self.told.append(message)

    def dump(self) -> None:
        self.dumps += 1

    def kill(self) -> None:
        self.kills += 1


class Stage:
    """A child, its workers, and what it told the supervisor."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # Backoff is the machine's own test; here the next start comes at the loop's next turn.
        monkeypatch.setattr("wspulse.supervisor.process.restart_intensity.FIRST_DELAY_S", 0.0)
        self.workers: list[FakeWorker] = []
        self.events: list[tuple[Any, ...]] = []
        self.refuse: OSError | None = None
        self.child = Child(2, self.launch, self, stall_timeout_s=30.0, drain_timeout_s=0.05)

    def launch(
        self,
        shard: int,
        *,
        on_message: Callable[[LaunchedWorker, Message], None],
        on_exit: Callable[[LaunchedWorker, int], None],
    ) -> LaunchedWorker:
        assert shard == 2
        if self.refuse is not None:
            raise self.refuse
        self.workers.append(FakeWorker(len(self.workers) + 1, on_message, on_exit))
        return self.workers[-1]

    @property
    def worker(self) -> FakeWorker:
        return self.workers[-1]

    def become_ready(self) -> None:
        self.worker.says(Alive(0))
        self.worker.says(Ready(2, self.worker.incarnation))

    async def started_again(self, count: int) -> None:
        await eventually(lambda: len(self.workers) >= count)

    def on_ready(self, child: Child) -> None:
        self.events.append(("ready", child.incarnation))

    def on_down(self, child: Child, incarnation: int) -> None:
        self.events.append(("down", incarnation))

    def on_drained(self, child: Child) -> None:
        self.events.append(("drained",))

    def on_stopped(self, child: Child) -> None:
        self.events.append(("stopped",))

    def on_boot_failed(self, child: Child, failure: BootFailed) -> None:
        self.events.append(("boot failed", failure.text))

    def on_gave_up(self, child: Child, sentence: str) -> None:
        self.events.append(("gave up", sentence))

    def on_close_requested(self, child: Child) -> None:
        self.events.append(("close requested",))

    def on_message(self, child: Child, message: Message) -> None:
        self.events.append(("message", message))


@pytest.fixture
def make_stage(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Stage]:
    return lambda: Stage(monkeypatch)


MakeStage = Callable[[], Stage]


async def test_started_worker_becomes_ready_and_is_counted(make_stage: MakeStage) -> None:
    stage = make_stage()
    stage.child.start()
    assert (stage.child.state, stage.child.pid, stage.child.incarnation) == (ChildState.STARTING, 1001, 1)
    stage.become_ready()
    stage.worker.says(Alive(7))
    assert (stage.child.state, stage.child.connections) == (ChildState.READY, 7)
    assert stage.events == [("ready", 1)]


async def test_crashed_worker_is_replaced_under_a_new_incarnation(make_stage: MakeStage) -> None:
    stage = make_stage()
    stage.child.start()
    stage.become_ready()
    stage.worker.ends(-signal.SIGKILL)
    assert (stage.child.state, stage.child.pid, stage.child.restarts) == (ChildState.WAITING, None, 1)
    await stage.started_again(2)
    stage.become_ready()
    assert stage.events == [("ready", 1), ("down", 1), ("ready", 2)]


async def test_crash_without_end_gives_up_and_says_how_the_last_worker_ended(make_stage: MakeStage) -> None:
    stage = make_stage()
    stage.child.start()
    for number in range(1, MAX_RESTARTS + 1):
        stage.worker.ends(1)
        await stage.started_again(number + 1)
    stage.worker.ends(-signal.SIGSEGV)
    assert stage.events[-1] == ("gave up", "was killed by SIGSEGV")
    assert stage.child.restarts == MAX_RESTARTS


async def test_start_that_the_system_refuses_counts_as_a_crash(make_stage: MakeStage) -> None:
    stage = make_stage()
    stage.child.start()
    stage.refuse = OSError("no more processes")
    stage.worker.ends(1)
    await eventually(lambda: any(event[0] == "gave up" for event in stage.events))
    assert stage.events[-1] == ("gave up", "could not be started: no more processes")


async def test_planned_restart_drains_waits_and_counts_nothing(make_stage: MakeStage) -> None:
    stage = make_stage()
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
    await asyncio.wait_for(restart, 1)
    assert stage.child.restarts == 0
    assert old.kills == 0


async def test_second_restart_joins_the_first(make_stage: MakeStage) -> None:
    stage = make_stage()
    stage.child.start()
    stage.become_ready()
    assert stage.child.restart() is stage.child.restart()
    assert stage.worker.told == [Drain(server_closes=False)]
    stage.child.stop()


async def test_planned_restart_kills_a_worker_that_does_not_drain(make_stage: MakeStage) -> None:
    stage = make_stage()
    stage.child.start()
    stage.become_ready()
    stage.child.restart()
    await eventually(lambda: stage.worker.kills > 0)
    stage.worker.ends(-signal.SIGKILL)
    assert (len(stage.workers), stage.child.restarts) == (2, 0)
    stage.child.stop()


async def test_replacement_that_crashes_is_a_crash_and_the_restart_waits_for_the_next(make_stage: MakeStage) -> None:
    stage = make_stage()
    stage.child.start()
    stage.become_ready()
    restart = stage.child.restart()
    stage.worker.ends(0)
    stage.worker.ends(-signal.SIGSEGV)
    assert (stage.child.state, stage.child.restarts) == (ChildState.WAITING, 1)
    await stage.started_again(3)
    stage.become_ready()
    await asyncio.wait_for(restart, 1)


async def test_restart_during_the_backoff_starts_at_once(
    make_stage: MakeStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = make_stage()
    monkeypatch.setattr("wspulse.supervisor.process.restart_intensity.FIRST_DELAY_S", 5.0)
    stage.child.start()
    stage.worker.ends(1)
    stage.child.restart()
    assert len(stage.workers) == 2
    stage.child.stop()


async def test_restart_of_a_starting_worker_kills_it(make_stage: MakeStage) -> None:
    stage = make_stage()
    stage.child.start()
    stage.child.restart()
    assert stage.worker.kills == 1
    stage.worker.ends(-signal.SIGKILL)
    assert (len(stage.workers), stage.child.restarts) == (2, 0)
    stage.child.stop()


async def test_restart_fails_when_the_server_ends_first(make_stage: MakeStage) -> None:
    stage = make_stage()
    stage.child.start()
    stage.become_ready()
    restart = stage.child.restart()
    stage.child.stop()
    with pytest.raises(ServerClosedError):
        await restart
    stage.worker.ends(0)
    with pytest.raises(ServerClosedError):
        await stage.child.restart()
    assert len(stage.workers) == 1


async def test_worker_that_drained_by_itself_may_go_and_is_replaced(make_stage: MakeStage) -> None:
    """Somebody sent one worker SIGTERM."""
    stage = make_stage()
    stage.child.start()
    stage.become_ready()
    stage.worker.says(Drained())
    assert stage.worker.told == [Exit()]
    stage.worker.ends(0)
    await stage.started_again(2)


async def test_stop_drains_then_waits_for_exit(make_stage: MakeStage) -> None:
    stage = make_stage()
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


async def test_stop_of_a_worker_that_was_never_heard_kills_it(make_stage: MakeStage) -> None:
    stage = make_stage()
    stage.child.start()
    stage.child.stop()
    assert (stage.worker.told, stage.worker.kills) == ([], 1)


async def test_stop_during_the_backoff_starts_nothing_any_more(make_stage: MakeStage) -> None:
    stage = make_stage()
    stage.child.start()
    stage.worker.ends(1)
    stage.child.stop()
    assert stage.child.state is ChildState.STOPPED
    await asyncio.sleep(0.01)
    assert len(stage.workers) == 1


async def test_crash_while_stopping_starts_nothing(make_stage: MakeStage) -> None:
    stage = make_stage()
    stage.child.start()
    stage.become_ready()
    stage.child.stop()
    stage.worker.ends(-signal.SIGSEGV)
    assert stage.child.state is ChildState.STOPPED
    assert stage.events[-1] == ("stopped",)


async def test_ready_that_crosses_the_order_to_end_is_not_ready(make_stage: MakeStage) -> None:
    stage = make_stage()
    stage.child.start()
    stage.worker.says(Alive(0))
    stage.child.stop()
    stage.worker.says(Ready(2, 1))
    assert ("ready", 1) not in stage.events
    assert stage.child.state is ChildState.DRAINING


async def test_boot_failure_is_told_and_starts_nothing(make_stage: MakeStage) -> None:
    stage = make_stage()
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


async def test_worker_that_ends_by_itself_after_a_boot_failure_is_not_restarted(make_stage: MakeStage) -> None:
    stage = make_stage()
    stage.child.start()
    stage.worker.says(BootFailed("why"))
    stage.worker.ends(1)
    await asyncio.sleep(0.01)
    assert len(stage.workers) == 1


async def test_stuck_worker_is_dumped_then_killed(make_stage: MakeStage, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    stage = make_stage()
    stage.child.start()
    stage.become_ready()
    for _ in range(40):
        now += 1.0
        stage.child.tick(now)
    assert (stage.worker.dumps, stage.worker.kills > 0) == (1, True)


async def test_requests_and_unknown_messages_are_passed_on(make_stage: MakeStage) -> None:
    stage = make_stage()
    stage.child.start()
    stage.worker.says(CloseRequested())
    stage.worker.says(ShardUp(1, 1))
    assert stage.events == [("close requested",), ("message", ShardUp(1, 1))]


async def test_last_words_of_a_former_worker_are_ignored(make_stage: MakeStage) -> None:
    stage = make_stage()
    stage.child.start()
    former = stage.worker
    former.ends(1)
    await stage.started_again(2)
    former.says(Ready(2, 1))
    assert stage.child.state is ChildState.STARTING


async def test_slow_import_is_told_once(
    make_stage: MakeStage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    stage = make_stage()
    stage.child.start()
    for _ in range(60):
        now += 1.0
        stage.child.tick(now)
    assert [record.message for record in caplog.records] == ["a worker is still loading the application"]
    assert (stage.worker.dumps, stage.worker.kills) == (0, 0)
