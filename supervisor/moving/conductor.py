"""`Conductor`: carries out plans, one at a time: reload, restart and scale.

Made by the supervisor, which tells it what workers say and when they end. For each worker that is replaced:

    (one worker only: it shares its bus) ─▶ a seat is opened, and told to all ─▶ a standby is started there ─▶ Prepared
      ─▶ ShardUp to all, TakeOver to it ─▶ Ready ─▶ MoveOut to the old worker ─▶ MovedOut ─▶ it is the worker of the name, and
      SlotTable to all ─▶ Vacated ─▶ Drain, Exit ─▶ the old worker ends ─▶ ShardDown and SeatGone to all

A standby that fails leaves everything as it was. Where the old worker ends too early, by whatever, the new one has its slots at
once. A plan that fails leaves every name with one worker, and every slot with an owner.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

from wspulse.actors.mesh.lifecycle import BootFailed, BusShared, MovedOut, MoveFailed, MoveProgress, Vacated
from wspulse.actors.mesh.message import Message
from wspulse.actors.values.errors import ServerClosedError
from wspulse.supervisor.moving.arrival import Arrivals
from wspulse.supervisor.moving.handovers import Handovers, MovingEvents, Patience
from wspulse.supervisor.moving.pulse import Pulse
from wspulse.supervisor.moving.replacing import Replacing
from wspulse.supervisor.moving.scaling import Scaled, Scaling
from wspulse.supervisor.moving.shared_bus import SharedBus
from wspulse.supervisor.moving.turn import Moved
from wspulse.supervisor.process.child import Child, ChildState
from wspulse.supervisor.process.restart.standby import Standby
from wspulse.supervisor.process.seating import Seating
from wspulse.supervisor.process.workers import Workers

__all__ = ["Conductor", "ConductorEvents"]

_Result = TypeVar("_Result")


class ConductorEvents(MovingEvents, Protocol):
    """What the supervisor is told."""

    def on_standby_closes(self) -> None:
        """A worker that is made ready asks for the server's end."""


class Conductor:
    """See the module. `start_bus()` starts the bus forwarder, or finds it started, and returns its endpoints."""

    def __init__(
        self,
        workers: Workers,
        seating: Seating,
        events: ConductorEvents,
        patience: Patience,
        start_bus: Callable[[], tuple[str, str]],
    ) -> None:
        self._workers = workers
        self._seating = seating
        self._pulse = pulse = Pulse()
        self._bus = bus = SharedBus(workers, seating, pulse, start_bus)
        self._arrivals = arrivals = Arrivals(workers, seating, pulse, self)
        self._events = events
        self._handovers = handovers = Handovers(seating, pulse, events, patience)
        self._replacing = Replacing(workers, seating, pulse, bus, arrivals, handovers)
        self._scaling = Scaling(workers, seating, pulse, bus, arrivals, handovers)
        self._turn = asyncio.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._reload: asyncio.Task[list[Moved]] | None = None
        self._reload_drains = False
        self._is_stopped = False

    # Plans.

    async def reload(self, *, drain: bool = False, joins: bool = True) -> list[Moved]:
        """Replace all workers, one after another; a reload of the same kind that is under way is joined, or waited for. Raises
        RestartFailedError, MoveFailedError, ServerClosedError; those that were replaced by then are."""
        if self._reload is None or self._reload.done() or not joins or drain is not self._reload_drains:
            self._reload, self._reload_drains = self._begin(lambda: self._replacing.all(drain=drain)), drain
        return await _outcome(self._reload)

    async def restart(self, shard: int, *, drain: bool = False) -> Moved:
        """Replace one worker. Raises IndexError for a name that nobody bears, else as `reload`."""
        return await _outcome(self._begin(lambda: self._replacing.one(shard, drain=drain)))

    async def scale(self, wanted: Callable[[int], int]) -> Scaled:
        """Have so many workers as `wanted(present)` says when it is this plan's turn. Raises as `reload`."""
        return await _outcome(self._begin(lambda: self._scaling.to(wanted(len(self._workers.children)))))

    async def stop(self) -> None:
        """Give up what is under way; the workers are whoever stops them's."""
        self._is_stopped = True
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def left(self, shard: int) -> int | None:
        """How many sessions of a worker have yet to move; None when it is not its turn."""
        return self._handovers.left(shard)

    def _begin(self, plan: Callable[[], Coroutine[Any, Any, _Result]]) -> asyncio.Task[_Result]:
        task = asyncio.get_running_loop().create_task(self._in_turn(plan))
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # whoever waited may be gone

    async def _in_turn(self, plan: Callable[[], Coroutine[Any, Any, _Result]]) -> _Result:
        async with self._turn:
            if self._is_stopped:
                raise ServerClosedError
            try:
                return await plan()
            finally:
                self._keep_bus()

    # What the supervisor hears of workers.

    def take(self, child: Child, message: Message) -> bool:
        """Returns whether it is the conductor's to know."""
        match message:
            case MoveProgress() | MovedOut() | MoveFailed() | Vacated():
                if not self._is_stopped:
                    self._handovers.heard(child, message)
            case BusShared():
                self._bus.is_shared(child)
            case _:
                return False
        self._pulse.beat()
        return True

    def on_ready(self) -> None:
        self._pulse.beat()

    def on_boot_failed(self, child: Child, failure: BootFailed) -> None:
        self._arrivals.child_failed(child, failure.text)
        self._pulse.beat()

    def on_down(self, child: Child) -> None:
        """Its process has ended, and that was told to all; what follows at its seat has yet to be decided."""
        if not self._is_stopped:
            self._handovers.ended(child)
            self._arrivals.child_failed(child, child.last_end)
            self._pulse.beat()

    def on_stopped(self, child: Child) -> None:
        """Nobody follows it at its seat."""
        if not self._is_stopped:
            self._seating.release(child.seat)
            self._keep_bus(unless_busy=True)
            self._pulse.beat()

    # What arrivals tell.

    @property
    def is_stopped(self) -> bool:
        """Whether nobody is to be told of anything any more."""
        return self._is_stopped

    def serves(self, shard: int) -> bool | None:
        """Whether a name has somebody who serves; None for one that nobody bears yet."""
        children = self._workers.children
        return children[shard].state is ChildState.READY if shard < len(children) else None

    def on_arrival_gone(self, standby: Standby) -> None:
        """The process of one that was dismissed has ended."""
        self._workers.standby_gone(standby)
        if not self._is_stopped:
            self._seating.release(standby.seat)
            self._keep_bus(unless_busy=True)
            self._pulse.beat()

    def on_arrival_closes(self) -> None:
        self._events.on_standby_closes()

    def _keep_bus(self, *, unless_busy: bool = False) -> None:
        if not self._is_stopped and not (unless_busy and self._turn.locked()):
            self._bus.keep()


async def _outcome(task: asyncio.Task[_Result]) -> _Result:
    """Of a plan that goes on when whoever waits for it does not."""
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if task.cancelled():
            raise ServerClosedError from None
        raise
