"""`Workers`: all workers of a server, which are started together, watched, and stopped within one deadline.

Created by the supervisor, which hears of each `Child` by itself. What a worker needs of the server (its sockets, what it
shall run) is given at the start. It decides nothing about the server's end, nor about who takes whose place: whoever conducts
that says it here.

    prepare() ──▶ a standby ──take()──▶ a temporary child beside the others ──install(), add()──▶ the worker of its name
                                                   of whose place another takes, or that is dropped ──▶ temporary, until it ends
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from weakref import WeakSet

from wspulse.actors.accept.listener import Listener
from wspulse.actors.mesh.lifecycle import ShardSilence, ShardUp
from wspulse.actors.mesh.message import Message
from wspulse.actors.values.timing.standstill import Standstill
from wspulse.supervisor.errors import StartError
from wspulse.supervisor.host.connection_counts import ConnectionCounts
from wspulse.supervisor.premises.working_folder import WorkingFolder
from wspulse.supervisor.process.child import Child, ChildState
from wspulse.supervisor.process.child_events import ChildEvents
from wspulse.supervisor.process.restart.history import History
from wspulse.supervisor.process.restart.outage import Outage
from wspulse.supervisor.process.restart.standby import LaunchedWorker, Standby, StandbyEvents
from wspulse.supervisor.process.seating import Seating
from wspulse.supervisor.process.watching.adopted import adopts_processes, reap_adopted
from wspulse.supervisor.process.watching.end_watch import watched
from wspulse.supervisor.process.worker_process import WorkerProcess
from wspulse.supervisor.worker.child_spec import ChildSpec, Place

__all__ = ["Workers"]

_logger = logging.getLogger("wspulse.supervisor")

TICK_S = 1.0
"""Between two messages of a living worker, and between two looks at how long it was silent."""

_BOOT_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""It goes on while the machine is suspended, where there is one that does."""

KILL_RESERVE_S = 0.5
"""Killing and waiting for what did not end in time must itself fit into the shutdown timeout."""

EXIT_RESERVE_S = 1.0
"""For `on_stop`, and what a process does at its end."""

KILLED_S = 5.0
"""A killed process that is still there after this is stuck in the kernel, and not ours to wait for."""


class Workers:
    """See the module. `on_outage(reason)` is called when no worker was ready for `give_up_after_s`, with how the last one
    failed. `reread()` has the overrides of the application's options of now."""

    def __init__(
        self,
        events: ChildEvents[Child],
        on_outage: Callable[[str], None],
        *,
        stall_timeout_s: float,
        shutdown_timeout_s: float,
        give_up_after_s: float,
        drain_spread_s: float = 0.0,
        reread: Callable[[], Mapping[str, Any]] | None = None,
    ) -> None:
        self.children: list[Child] = []
        """By name, from the start on: who bears it now."""
        self.others: list[Child] = []
        """Beside them: who is about to bear a name, and who has borne one and ends."""
        self.standbys: list[Standby] = []
        self.histories: defaultdict[int, History] = defaultdict(History)
        """By name, of those that nobody bears any more too."""
        self.period_s = min(TICK_S, stall_timeout_s / 4)
        """How often a worker says that it lives."""
        self.overhear: Callable[[Message], None] = _nobody_listens
        """Gets whatever workers are told, all or all but one."""
        self._events = events
        self._on_outage = on_outage
        self._give_up_after_s = give_up_after_s
        self._looked_at = 0.0
        self._adopts = adopts_processes()
        self._stall_timeout_s = stall_timeout_s
        self._shutdown_timeout_s = shutdown_timeout_s
        self._drain_spread_s = drain_spread_s
        self._changed = asyncio.Event()
        self._folder = WorkingFolder()
        self._reread = reread
        self._spec: ChildSpec
        self._processes: defaultdict[int, WeakSet[WorkerProcess]] = defaultdict(WeakSet)
        """By seat: those that were started, as long as anybody holds them."""
        self._hurry = False
        self._counts = ConnectionCounts()

    def renew(self) -> Callable[[], None]:
        """Have those that are started from now on obey what the settings' file says now, in the working folder of now. Returns
        what has them obey what they did. Raises StartError, and OSError where that folder is gone."""
        former = self._spec
        self._folder.enter()
        if self._reread is not None:
            self._spec = replace(former, overrides=dict(self._reread()))
        return lambda: setattr(self, "_spec", former)

    def start(self, spec: ChildSpec, listeners: Sequence[Listener], seating: Seating, last_incarnation: int) -> None:
        """Start one worker at each seat; incarnations count on from the last. Raises StartError."""
        self._spec = spec
        self._listeners = listeners
        self._seating = seating
        self._incarnation = last_incarnation
        self.children.extend(self._child(seat, seat) for seat in sorted(seating.paths))
        for child in self.children:
            try:
                child.start()
            except OSError as error:
                raise StartError(f"worker {child.shard} cannot be started: {error}") from error

    def _child(self, shard: int, seat: int) -> Child:
        return Child(
            shard,
            seat,
            self._launch,
            self._events,
            self.histories[shard],
            stall_timeout_s=self._stall_timeout_s,
            drain_timeout_s=self._shutdown_timeout_s,
        )

    def _launch(
        self,
        shard: int,
        seat: int,
        *,
        stands_by: bool,
        on_message: Callable[[LaunchedWorker, Message], None],
        on_exit: Callable[[LaunchedWorker, int], None],
    ) -> LaunchedWorker:
        self._folder.enter()
        self._incarnation += 1
        seating = self._seating
        cluster, lease = (None, None) if seating.cluster is None else seating.cluster()
        place = Place(
            shard,
            seat,
            self._incarnation,
            self._listeners,
            seating.mailbox(seat),
            dict(seating.paths),
            seating.table,
            seating.bus,
            cluster,
            lease,
            self._counts.file,
            stands_by,
        )
        self._counts.open(seat)
        worker = WorkerProcess(
            self._spec, place, on_message=on_message, on_exit=partial(self._has_ended, seat, on_exit)
        )
        self._processes[seat].add(worker)
        for other in self.everybody:
            if other.seat != seat and other.state is ChildState.READY and other.incarnation is not None:
                worker.tell(ShardUp(other.seat, other.incarnation))
                if other.is_silent and other.pid is not None:
                    worker.tell(ShardSilence(other.seat, other.incarnation, other.pid, other.silence_s))
        return worker

    def _has_ended(
        self, seat: int, on_exit: Callable[[LaunchedWorker, int], None], worker: LaunchedWorker, code: int
    ) -> None:
        self._counts.clear(seat)
        on_exit(worker, code)

    # Who takes whose place.

    def prepare(self, shard: int, seat: int, events: StandbyEvents) -> Standby:
        """Start a worker beside the others, which serves nobody yet. Raises what a start raises."""
        standby = Standby(shard, seat, self._launch, events, patience_s=self._give_up_after_s)
        self.standbys.append(standby)
        return standby

    def take(self, standby: Standby) -> Child:
        """Let a standby accept, as a temporary child beside the others."""
        self.standbys.remove(standby)
        child = self._child(standby.shard, standby.seat)
        child.is_permanent = False
        self.others.append(child)
        child.take(standby)
        return child

    def install(self, child: Child) -> None:
        """It is the worker of its name; who was becomes temporary."""
        former, self.children[child.shard] = self.children[child.shard], child
        former.is_permanent = False
        child.is_permanent = True
        self.others[self.others.index(child)] = former

    def add(self, child: Child) -> None:
        """It is the worker of a name more."""
        self.others.remove(child)
        self.children.append(child)
        child.is_permanent = True

    def drop(self) -> Child:
        """The last name is nobody's any more; who bore it becomes temporary."""
        child = self.children.pop()
        child.is_permanent = False
        self.others.append(child)
        return child

    def standby_gone(self, standby: Standby) -> None:
        """The process of one that was dismissed has ended."""
        self.standbys.remove(standby)
        self._changed.set()

    @property
    def everybody(self) -> list[Child]:
        return [*self.children, *self.others]

    def pids(self) -> list[int]:
        """Of all processes, those that stand by too."""
        found = [child.pid for child in self.everybody] + [standby.worker.pid for standby in self.standbys]
        return [pid for pid in found if pid is not None]

    def at(self, seat: int) -> Child | None:
        """Whose seat it is."""
        return next((child for child in self.everybody if child.seat == seat), None)

    @property
    def readiness(self) -> tuple[int, int]:
        """How many are ready, and how many there are."""
        return sum(child.state is ChildState.READY for child in self.children), len(self.children)

    @property
    def are_ready(self) -> bool:
        """Whether all are at once."""
        ready, present = self.readiness
        return ready == present

    def tell_silence(self, child: Child, silence_s: float, *, is_over: bool) -> None:
        """Tell all other workers that one is silent, or back."""
        if child.incarnation is not None and child.pid is not None:
            self.tell_others(child.seat, ShardSilence(child.seat, child.incarnation, child.pid, silence_s, is_over))

    def tell_others(self, seat: int, message: Message) -> None:
        """Tell all workers but the one at a seat; those that stand by too."""
        self.overhear(message)
        for child in self.everybody:
            if child.seat != seat:
                child.tell(message)
        for standby in self.standbys:
            if standby.seat != seat:
                standby.worker.tell(message)

    def tell_all(self, message: Message) -> None:
        """Those that stand by too."""
        self.tell_others(-1, message)

    def move_mailbox(self, seat: int, listener: socket.socket) -> bool:
        """Have the workers at a seat be reached at another listener. False when one of them takes nothing now."""
        return False not in {worker.move_mailbox(listener) for worker in self._processes[seat] if worker.is_running}

    # Watching.

    def watch(self) -> None:
        """Look from now on whether they are stuck, whether there is one that serves, and whether this process stands still
        itself."""
        self._standstill = Standstill(self.period_s, *_clocks())
        self._looked_at = time.monotonic()
        self._outage = Outage(self._give_up_after_s, self._looked_at)
        self._look_later()

    def unwatch(self) -> None:
        self._watch.cancel()

    def _look_later(self) -> None:
        self._watch = asyncio.get_running_loop().call_later(self.period_s, self._tick)

    def _tick(self) -> None:
        # First: a look that fails must not be the last.
        self._look_later()
        now = time.monotonic()
        stood = self._standstill.look(*_clocks())
        if stood is not None:
            _logger.warning(stood.sentence, extra=stood.fields)
        for child in self.everybody:
            child.tick(now)
        if self._adopts:
            reap_adopted(watched)
        is_served = any(child.serves or child.served_at > self._looked_at for child in self.everybody)
        self._looked_at = now
        if self._outage.look(now, is_served):
            failures = (child.last_failure for child in self.children if child.last_failure)
            self._on_outage(next(failures, "still loading the application"))

    # The end.

    async def stop(self) -> None:
        """Drain all, then let all end: calls across shards work while the last sessions' callbacks run. Raises ExceptionGroup,
        when all are gone, of what failed on the way."""
        reserve_s = min(KILL_RESERVE_S, self._shutdown_timeout_s / 10)
        deadline = time.monotonic() + self._shutdown_timeout_s - reserve_s
        failures = self._each(lambda child: child.stop(self._drain_spread_s))
        for standby in self.standbys:
            standby.dismiss()
        done = (ChildState.DRAINED, ChildState.STOPPED)
        # Where one does not come to its end, the others have a moment for theirs.
        exit_by = deadline - min(EXIT_RESERVE_S, self._shutdown_timeout_s / 10)
        await self._until(lambda: self._hurry or all(child.state in done for child in self.everybody), exit_by)
        failures += self._each(Child.exit)
        await self._until(lambda: self._hurry or self._are_stopped(), deadline)
        for child in self.everybody:
            if child.state is not ChildState.STOPPED and not self._hurry:
                _logger.warning(
                    "a worker did not end in time and is killed", extra={"shard": child.shard, "pid": child.pid}
                )
        failures += self._each(Child.kill)
        self._kill_standbys()
        await self._until(self._are_stopped, time.monotonic() + KILLED_S)
        self._counts.close()
        if failures:
            raise ExceptionGroup("workers could not be told to stop", failures)

    def kill(self) -> None:
        """End them now; a `stop` that is under way waits for nothing else. Raises ExceptionGroup of what failed."""
        self._hurry = True
        failures = self._each(Child.kill)
        self._kill_standbys()
        self._changed.set()
        if failures:
            raise ExceptionGroup("workers could not be killed", failures)

    def _each(self, order: Callable[[Child], None]) -> list[Exception]:
        """Give an order to all; one that cannot be given keeps none of the others from getting it."""
        failures: list[Exception] = []
        for child in self.everybody:
            try:
                order(child)
            except Exception as error:
                failures.append(error)
        return failures

    def _kill_standbys(self) -> None:
        for standby in self.standbys:
            standby.worker.kill()

    def child_changed(self) -> None:
        """A child's state is another one now."""
        self.others = [child for child in self.others if child.state is not ChildState.STOPPED]
        self._changed.set()

    def _are_stopped(self) -> bool:
        return not self.standbys and all(child.state is ChildState.STOPPED for child in self.everybody)

    async def _until(self, condition: Callable[[], bool], deadline: float) -> None:
        """Wait for a condition on the children, or for the deadline."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(deadline - time.monotonic()):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()


def _clocks() -> tuple[float, float, float]:
    """As `Standstill` wants them."""
    return time.monotonic(), time.clock_gettime(_BOOT_CLOCK), time.process_time()


def _nobody_listens(_message: Message) -> None:
    """There is nobody."""
