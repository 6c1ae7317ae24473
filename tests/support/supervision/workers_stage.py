"""All workers of a supervisor, only pretended, in a loop whose time is a number."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest

from tests.support.simulation.loop import SimLoop
from tests.support.supervision.child_stage import FakeWorker
from wspulse.actors.mesh.lifecycle import Alive, BootFailed, Drained, Ready
from wspulse.actors.mesh.message import Message
from wspulse.supervisor.errors import StartError
from wspulse.supervisor.process.child import Child
from wspulse.supervisor.process.restart.standby import LaunchedWorker
from wspulse.supervisor.process.seating import Seating
from wspulse.supervisor.process.workers import Workers
from wspulse.supervisor.worker.child_spec import ChildSpec, Place

__all__ = ["BUS", "FIRST_INCARNATION", "Supervised", "WorkersStage", "workers_stage"]

BUS = ("ipc://push", "ipc://subscribe")

FIRST_INCARNATION = 7_000_001


class Supervised:
    """What the children tell, as the supervisor takes it where the workers are concerned."""

    def __init__(self) -> None:
        self.workers: Workers
        self.listener: Any = None
        """Who else is told, where somebody is."""

    def on_started(self, child: Child) -> None: ...
    def on_close_requested(self, child: Child) -> None: ...

    def on_ready(self, child: Child) -> None:
        if self.listener is not None:
            self.listener.on_ready(child)

    def on_down(self, child: Child, incarnation: int) -> None:
        if self.listener is not None:
            self.listener.on_down(child, incarnation)

    def on_boot_failed(self, child: Child, failure: BootFailed) -> None:
        if self.listener is not None:
            self.listener.on_boot_failed(child, failure)

    def on_silence(self, child: Child, silence_s: float, *, is_over: bool) -> None:
        self.workers.tell_silence(child, silence_s, is_over=is_over)

    def on_message(self, child: Child, message: Message) -> None:
        if self.listener is not None:
            self.listener.on_message(child, message)

    def on_drained(self, child: Child) -> None:
        self.workers.child_changed()

    def on_stopped(self, child: Child) -> None:
        self.workers.child_changed()
        if self.listener is not None:
            self.listener.on_stopped(child)


class PretendedMailboxes:
    """Listeners by seat, of which there are none."""

    def __init__(self) -> None:
        self.paths: dict[int, str] = {}
        self.refuse: StartError | None = None

    @property
    def listeners(self) -> dict[int, str]:
        return self.paths

    def open(self, seat: int, path: str) -> None:
        if self.refuse is not None:
            raise self.refuse
        self.paths[seat] = path

    def close_seat(self, seat: int) -> None:
        del self.paths[seat]


class WorkersStage:
    """Started workers, by seat, and those that were launched, in order."""

    def __init__(self, loop: SimLoop, shutdown_timeout_s: float) -> None:
        self.loop = loop
        self.outages: list[str] = []
        events = self.events = Supervised()
        self.workers = events.workers = Workers(
            events,
            self.outages.append,
            stall_timeout_s=30.0,
            shutdown_timeout_s=shutdown_timeout_s,
            give_up_after_s=60.0,
        )
        self.mailboxes = PretendedMailboxes()
        self.seating = Seating(cast("Any", self.mailboxes), "mailbox-{}".format, self.workers.tell_all)
        self.launched: list[FakeWorker] = []
        self.current: dict[int, FakeWorker] = {}
        """By seat, the latest there."""
        self.refuse: OSError | None = None

    def launch(
        self,
        _spec: ChildSpec,
        place: Place,
        *,
        on_message: Callable[[LaunchedWorker, Message], None],
        on_exit: Callable[[LaunchedWorker, int], None],
    ) -> FakeWorker:
        if self.refuse is not None:
            raise self.refuse
        worker = FakeWorker(place.incarnation, on_message, on_exit, place=place)
        self.launched.append(worker)
        self.current[place.seat] = worker
        return worker

    def start(self, count: int) -> None:
        nothing = cast("Any", None)
        self.seating.begin(count)
        if count > 1:
            self.seating.bus = BUS
        self.workers.start(nothing, nothing, self.seating, FIRST_INCARNATION - 1)

    def is_ready(self, shard: int) -> None:
        worker = self.current[shard]
        worker.says(Alive(0))
        worker.says(Ready(shard, worker.incarnation))

    def are_ready(self) -> bool:
        return self.workers.are_ready

    def stop(self) -> asyncio.Task[None]:
        stopping = self.loop.create_task(self.workers.stop())
        self.loop.run_until_idle()
        return stopping

    def drained(self, shard: int) -> None:
        self.current[shard].says(Drained())
        self.loop.run_until_idle()

    def end(self, code: int = 0) -> None:
        """All processes end."""
        for worker in self.current.values():
            worker.ends(code)
        self.loop.run_until_idle()

    def pass_time(self, seconds: float) -> None:
        self.loop.pass_time(seconds)

    @property
    def told(self) -> list[list[Message]]:
        return [self.current[shard].told for shard in sorted(self.current)]

    @property
    def kills(self) -> list[int]:
        return [self.current[shard].kills for shard in sorted(self.current)]


@contextmanager
def workers_stage(count: int, *, ready: bool = True, shutdown_timeout_s: float = 10.0) -> Iterator[WorkersStage]:
    """So many workers, started and ready."""
    loop = SimLoop(1)  # type: ignore[abstract]  # no sockets, no signals
    with pytest.MonkeyPatch.context() as patch, loop:
        patch.setattr(time, "monotonic", loop.time)
        made = WorkersStage(loop, shutdown_timeout_s)
        patch.setattr("wspulse.supervisor.process.workers.WorkerProcess", made.launch)
        made.start(count)
        if ready:
            for shard in range(count):
                made.is_ready(shard)
                made.current[shard].told.clear()
        yield made
    assert not loop.reports
