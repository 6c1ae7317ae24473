"""A conductor and its workers, all of them pretended, in a loop whose time is a number: the test speaks for each of them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from struct import unpack
from typing import Any

from tests.support.supervision.child_stage import FakeWorker
from tests.support.supervision.workers_stage import WorkersStage, workers_stage
from wspulse.actors.mesh.lifecycle import (
    Alive,
    BootFailed,
    Drain,
    Drained,
    Exit,
    MovedOut,
    MoveOut,
    MoveProgress,
    Prepared,
    Ready,
    SeatGone,
    SeatOpened,
    ShardDown,
    ShardUp,
    SlotTable,
    TakeOver,
    Vacated,
)
from wspulse.actors.mesh.message import Message
from wspulse.actors.mesh.placement import SLOTS
from wspulse.supervisor.moving.conductor import Conductor
from wspulse.supervisor.moving.handovers import Patience
from wspulse.supervisor.moving.turn import Moved
from wspulse.supervisor.process.child import Child, ChildState
from wspulse.supervisor.process.seating import NO_SEAT

__all__ = ["PlansStage", "plans_stage", "slots"]


def slots(packed: bytes) -> list[int]:
    return list(unpack(f"<{SLOTS}H", packed))


class PlansStage:
    """What the supervisor is to the children and to the conductor. Made by `plans_stage`."""

    def __init__(self, made: WorkersStage, patience: Patience) -> None:
        self.made = made
        self.loop = made.loop
        self.workers = made.workers
        self.seating = made.seating
        self.buses: list[str] = []
        self.bus_error: Exception | None = None
        self.said: list[tuple[Any, ...]] = []
        """By the conductor, and of the server's end."""
        self.conductor = Conductor(self.workers, self.seating, self, patience, self._start_bus)
        made.events.listener = self
        self._obeyed: dict[int, int] = {}
        """By pid: how many of its orders a worker has carried out."""
        self._prepared: set[int] = set()
        self.answers: Callable[[FakeWorker, Message], None] = lambda _worker, _message: None
        """How workers react to what they are told, where the test does not speak for each."""

    def _start_bus(self) -> tuple[str, str]:
        if self.bus_error is not None:
            raise self.bus_error
        self.buses.append("started")
        return "ipc://push", "ipc://subscribe"

    # What children tell.

    def on_ready(self, child: Child) -> None:
        assert child.incarnation is not None
        self.workers.tell_others(child.seat, ShardUp(child.seat, child.incarnation))
        self.conductor.on_ready()

    def on_down(self, child: Child, incarnation: int) -> None:
        self.workers.tell_others(child.seat, ShardDown(child.seat, incarnation))
        self.conductor.on_down(child)

    def on_stopped(self, child: Child) -> None:
        self.conductor.on_stopped(child)

    def on_boot_failed(self, child: Child, failure: BootFailed) -> None:
        self.conductor.on_boot_failed(child, failure)

    def on_message(self, child: Child, message: Message) -> None:
        assert self.conductor.take(child, message)

    # What the conductor tells.

    def on_moving(self, child: Child, result: Moved, *, is_over: bool) -> None:
        self.said.append(("over" if is_over else "moving", child.shard, result.moved))

    def on_replaced(self, child: Child) -> None:
        self.said.append(("replaced", child.shard))

    def on_standby_closes(self) -> None:
        self.said.append(("closes",))

    # What a test does.

    def plan(self, plan: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = self.loop.create_task(plan)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        self.run()
        return task

    def run(self) -> None:
        self.loop.run_until_idle()

    def pass_time(self, seconds: float) -> None:
        """Workers live meanwhile."""
        for _ in range(int(seconds * 2)):
            self.loop.pass_time(0.5)

    def at(self, seat: int) -> FakeWorker:
        return self.made.current[seat]

    def says(self, seat: int, *messages: Message) -> None:
        for message in messages:
            self.at(seat).says(message)
        self.run()

    def is_prepared(self, seat: int) -> None:
        self.says(seat, Alive(0), Prepared())

    def is_ready(self, seat: int) -> None:
        self.says(seat, Ready(seat, self.at(seat).incarnation))

    def ends(self, seat: int, code: int = 0) -> None:
        self.at(seat).ends(code)
        self.run()

    def last(self, seat: int, kind: type[Any]) -> Any:
        """What a worker was told of a kind, the latest."""
        return next(message for message in reversed(self.at(seat).told) if isinstance(message, kind))

    def heard(self, seat: int, kind: type[Any]) -> list[Any]:
        return [message for message in self.at(seat).told if isinstance(message, kind)]

    def moves_out(self, seat: int, moved: int = 3) -> None:
        """All that it has been told to."""
        order = self.last(seat, MoveOut)
        self.says(seat, MoveProgress(order.plan, 1, 0, moved - 1, 0.002), MovedOut(order.plan, moved, 0, 0.004))

    def vacates(self, seat: int) -> None:
        self.says(seat, Vacated(self.last(seat, MoveOut).plan))

    def drains(self, seat: int) -> None:
        self.says(seat, Drained())
        assert self.last(seat, Exit) == Exit()
        self.ends(seat)

    def obeys(self) -> None:
        """Everybody does what is wanted, at once, until nothing is to be done any more."""
        for _ in range(2000):
            self.run()
            waiting = [
                (worker, message)
                for worker in self.made.launched
                for message in worker.told[self._obeyed.get(worker.pid, 0) :]
                if not worker.has_ended
            ]
            for worker, message in waiting:
                self._obeyed[worker.pid] = self._obeyed.get(worker.pid, 0) + 1
                if not worker.has_ended:
                    self._obey(worker, message)
            for worker in self.made.launched:
                if worker.stands_by and not worker.has_ended and worker.pid not in self._prepared:
                    self._prepared.add(worker.pid)
                    worker.says(Alive(0))
                    worker.says(Prepared())
                    break
            else:
                if not waiting:
                    return
        raise AssertionError("it does not come to an end")

    def _obey(self, worker: FakeWorker, message: Message) -> None:
        assert worker.place is not None
        match message:
            case TakeOver():
                worker.says(Ready(worker.place.seat, worker.incarnation))
            case MoveOut():
                assert worker.place.seat not in slots(message.targets), "nothing moves to where it is"
                worker.says(MovedOut(message.plan, 2, 1, 0.001))
                worker.says(Vacated(message.plan))
            case Drain():
                worker.says(Drained())
            case Exit():
                worker.ends(0)
            case _:
                self.answers(worker, message)

    # What must hold whenever no plan is under way.

    def check(self, names: int) -> None:
        children = self.workers.children
        assert [child.shard for child in children] == list(range(names))
        assert all(child.is_permanent for child in children)
        assert not self.workers.others
        assert not self.workers.standbys
        seats = {child.seat for child in children}
        assert set(self.seating.paths) == seats, "no seat is taken in vain"
        assert set(self.seating.seats) == seats, "every slot has an owner who is there"
        assert all(child.state is not ChildState.STOPPED for child in children)
        assert self.conductor.left(0) is None

    @property
    def shares(self) -> list[int]:
        """How many slots each name has."""
        counted = Counter(self.seating.seats)
        return [counted[child.seat] for child in self.workers.children]


@contextmanager
def plans_stage(
    count: int, *, handover_timeout_s: float = 10.0, drain_spread_s: float = 0.0, give_up_after_s: float = 60.0
) -> Iterator[PlansStage]:
    """So many workers, ready."""
    with workers_stage(count, ready=False) as made:
        stage = PlansStage(made, Patience(handover_timeout_s, drain_spread_s, give_up_after_s))
        for seat in range(count):
            stage.says(seat, Alive(0), Ready(seat, stage.at(seat).incarnation))
        for worker in made.launched:
            worker.told.clear()
        yield stage
        stopping = made.loop.create_task(stage.conductor.stop())
        made.loop.run_until_idle()
        assert stopping.done()


SEEN = (SeatOpened, SeatGone, ShardUp, ShardDown, SlotTable, MoveOut, TakeOver, Drain, Exit)
UNMOVED = NO_SEAT
