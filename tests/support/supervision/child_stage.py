"""A supervisor's child with workers that are only pretended, and what it tells the supervisor."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.simulation.loop import SimLoop
from wspulse.actors.mesh.lifecycle import Alive, BootFailed, Ready
from wspulse.actors.mesh.message import Message
from wspulse.supervisor.process.child import Child
from wspulse.supervisor.process.restart.history import History
from wspulse.supervisor.process.restart.standby import LaunchedWorker
from wspulse.supervisor.worker.child_spec import Place

__all__ = ["FakeWorker", "Stage", "child_stage"]


class FakeWorker:
    """Keeps what it is told; the test speaks and dies for it."""

    def __init__(
        self,
        incarnation: int,
        on_message: Callable[[LaunchedWorker, Message], None],
        on_exit: Callable[[LaunchedWorker, int], None],
        *,
        place: Place | None = None,
        stands_by: bool = False,
    ) -> None:
        self.pid = 1000 + incarnation
        self.place = place
        self.incarnation = incarnation
        self.told: list[Message] = []
        self.stands_by = stands_by if place is None else place.stands_by
        self.dumps = 0
        self.kills = 0
        self.has_ended = False
        self._on_message = on_message
        self._on_exit = on_exit

    def says(self, message: Message) -> None:
        self._on_message(self, message)

    def ends(self, code: int) -> None:
        self.has_ended = True
        self._on_exit(self, code)

    def tell(self, message: Message) -> None:
        self.told.append(message)

    def dump(self) -> None:
        self.dumps += 1

    def kill(self) -> None:
        self.kills += 1


class Stage:
    """A child, its workers, and what it told the supervisor. Made by `child_stage`, in whose loop time is a number."""

    def __init__(self, loop: SimLoop) -> None:
        self.loop = loop
        self.workers: list[FakeWorker] = []
        self.events: list[tuple[Any, ...]] = []
        self.refuse: Exception | None = None
        self.child = Child(2, 5, self.launch, self, History(), stall_timeout_s=30.0, drain_timeout_s=10.0)

    def launch(
        self,
        shard: int,
        seat: int,
        *,
        stands_by: bool,
        on_message: Callable[[LaunchedWorker, Message], None],
        on_exit: Callable[[LaunchedWorker, int], None],
    ) -> LaunchedWorker:
        assert (shard, seat) == (2, 5)
        if self.refuse is not None:
            raise self.refuse
        self.workers.append(FakeWorker(len(self.workers) + 1, on_message, on_exit, stands_by=stands_by))
        return self.workers[-1]

    @property
    def worker(self) -> FakeWorker:
        return self.workers[-1]

    def become_ready(self) -> None:
        self.worker.says(Alive(0))
        self.worker.says(Ready(2, self.worker.incarnation))

    @property
    def is_quiet(self) -> bool:
        """Whether nothing will happen any more by itself."""
        return self.loop.run_until_idle() and self.loop.next_timer() == float("inf")

    def pass_time(self, seconds: float) -> None:
        self.loop.pass_time(seconds)

    def next_start(self) -> float:
        """Wait until a worker is started. Returns for how long, in seconds."""
        began, count = self.loop.now, len(self.workers)
        while len(self.workers) == count:
            due = self.loop.next_timer()
            assert due < float("inf"), "nothing will be started"
            self.pass_time(due - self.loop.now)
        return self.loop.now - began

    def on_started(self, child: Child) -> None: ...

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

    def on_silence(self, child: Child, silence_s: float, *, is_over: bool) -> None:
        self.events.append(("back" if is_over else "silent", silence_s))

    def on_close_requested(self, child: Child) -> None:
        self.events.append(("close requested",))

    def on_message(self, child: Child, message: Message) -> None:
        self.events.append(("message", message))


@contextmanager
def child_stage() -> Iterator[Stage]:
    """A stage whose child has not been started. What its loop was told by the end must not have been an exception."""
    loop = SimLoop(1)  # type: ignore[abstract]  # no sockets, no signals
    with pytest.MonkeyPatch.context() as patch, loop:
        patch.setattr(time, "monotonic", loop.time)
        yield Stage(loop)
    assert not loop.reports
