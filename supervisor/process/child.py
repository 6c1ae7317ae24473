"""`Child`: one worker's place in the supervisor: a name and a seat, over all workers that one crash after another brings there.

Created by `Workers`. It tells the supervisor what matters through `ChildEvents`. Restarts are one-for-one: a child knows nothing
of the others.

    start() ──▶ STARTING ──Ready──▶ READY ──Drain──▶ DRAINING ──Drained──▶ DRAINED ──Exit──▶ the process ends
                    ▲                  the process ends at any time │
                    └── WAITING (backoff) ◀── crash, failed start ──┼── by order ──▶ start()
                                              where it is temporary ┼──▶ STOPPED
                                                                    └── stop() ──▶ STOPPED

By order ends a worker that is retired, one that is to be started anew, and one that somebody sent SIGTERM; where that was before
it was ready, the next start waits, since it may be what the application does to itself. A permanent child never gives up: whether
the server is to go on is the supervisor's to decide. A temporary one is followed by none at its seat: it has been given up for
another, or has yet to become anybody's.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import time

from wspulse.actors.mesh.lifecycle import Alive, BootFailed, CloseRequested, Drain, Drained, Draining, Exit, Ready
from wspulse.actors.mesh.message import Message
from wspulse.actors.values.errors import ServerClosedError
from wspulse.supervisor.host.process_state import process_state
from wspulse.supervisor.process.child_events import ChildEvents, ChildState
from wspulse.supervisor.process.kill_timer import KillTimer
from wspulse.supervisor.process.restart.failure import RestartFailedError
from wspulse.supervisor.process.restart.history import History
from wspulse.supervisor.process.restart.next_start import NextStart
from wspulse.supervisor.process.restart.outcome import Outcome
from wspulse.supervisor.process.restart.standby import LEAVE_S, Launch, LaunchedWorker, Standby
from wspulse.supervisor.process.tally import Tally
from wspulse.supervisor.process.watching.end_watch import exit_sentence
from wspulse.supervisor.process.watching.liveness import Decision, Liveness
from wspulse.supervisor.process.watching.silence import Silence

__all__ = ["Child", "ChildState"]

SLOW_BOOT_S = 10.0
"""Nobody is killed for a slow import (`Outage` bounds it), but somebody may wonder why the server is not ready."""

_logger = logging.getLogger("wspulse.supervisor")


class Child:
    """See the module. `drain_timeout_s` bounds a drain; a stop is bounded by whoever stops."""

    def __init__(
        self,
        shard: int,
        seat: int,
        launch: Launch,
        events: ChildEvents[Child],
        history: History,
        *,
        stall_timeout_s: float,
        drain_timeout_s: float,
    ) -> None:
        self.shard = shard
        """Its name."""
        self.seat = seat
        self.state = ChildState.WAITING
        self.is_permanent = True
        """Whether the end of its worker is followed by the next start."""
        self.connections = 0
        self.last_end = ""
        """How its last worker ended."""
        self.started_at = 0.0
        """Monotonic."""
        self.ready_at: float | None = None
        self.served_at = 0.0
        """When a worker was ready for the last time; monotonic."""
        self._launch = launch
        self._events = events
        self._stall_timeout_s = stall_timeout_s
        self._drain_timeout_s = drain_timeout_s
        self._loop = asyncio.get_running_loop()
        self._worker: LaunchedWorker | None = None
        self._history = history
        self._restart = Outcome()
        self._liveness = Liveness(stall_timeout_s, 0.0)
        self._silence = Silence(0.0)
        self._next_start = NextStart(history, self._start_again)
        self._kill_timer = KillTimer(self._loop, self._kill_late)
        self._stopping = False
        self._ends_by_order = False
        """The end of the current worker is no crash."""
        self._boot_failure = ""
        """Why the current worker could not start: the text, which may be a traceback."""
        self._is_terminated = False
        """Somebody sent the current worker SIGTERM before it was ready."""
        self._told_slow_boot = False

    @property
    def pid(self) -> int | None:
        return None if self._worker is None else self._worker.pid

    @property
    def incarnation(self) -> int | None:
        return None if self._worker is None else self._worker.incarnation

    @property
    def restarts(self) -> int:
        """Starts that followed a crash, or a start that failed."""
        return self._history.restarts

    @property
    def last_failure(self) -> str:
        """How the last worker crashed, or why it could not start."""
        return self._history.last_failure

    @property
    def tally(self) -> Tally:
        """What the workers of its name have counted, the earlier ones too."""
        return self._history.tally

    @property
    def silence_s(self) -> float:
        """How long ago the worker was last heard; 0 before its first message, and for none. Time in which the supervisor itself
        stood still does not count."""
        return 0.0 if self._worker is None else self._silence.silence_s(time.monotonic())

    @property
    def ends_by_order(self) -> bool:
        """Whether the current worker's end is meant, and no crash."""
        return self._ends_by_order or self._stopping

    @property
    def serves(self) -> bool:
        """Whether there is a worker that is ready, or that ends by order after it was."""
        return self.state is ChildState.READY or (self.ready_at is not None and self._ends_by_order)

    @property
    def is_silent(self) -> bool:
        """Whether the others were told that the current worker is not heard."""
        return self._worker is not None and self._silence.is_told

    def start(self) -> None:
        """Start a worker. Raises OSError when there can be no process."""
        self._begin(
            self._launch(
                self.shard, self.seat, stands_by=False, on_message=self.on_worker_message, on_exit=self.on_worker_exit
            )
        )
        _logger.debug("a worker was started", extra=self._fields())

    def _begin(self, worker: LaunchedWorker) -> None:
        self._worker = worker
        self.state = ChildState.STARTING
        self.started_at = time.monotonic()
        self.ready_at = None
        self._ends_by_order = False
        self._boot_failure = ""
        self._is_terminated = False
        self._told_slow_boot = self._history.is_stuck = False
        self._liveness = Liveness(self._stall_timeout_s, self.started_at)
        self._silence = Silence(self.started_at)
        self._events.on_started(self)

    def take(self, standby: Standby) -> None:
        """Have a worker that was made ready, or is about to be, as the first one."""
        self._begin(standby.worker)
        if standby.was_heard:
            self._liveness.heard(self.started_at)
        standby.take_over(self)

    def tell(self, message: Message) -> None:
        """Pass an order on to the worker, if there is one."""
        if self._worker is not None:
            self._worker.tell(message)

    def restart(self) -> asyncio.Future[None]:
        """Start a worker that is not ready anew; not counted as a crash. The future is done when the next one is ready, or has
        an error: a RestartFailedError when it could not start, ServerClosedError when the server ends first. A restart that is
        under way already is joined."""
        if self._restart.waited is not None:
            return self._restart.waited
        outcome = self._restart.begin()
        match self.state:
            case ChildState.STARTING:
                self._ends_by_order = True
                self.kill()  # it may have loaded what is to be replaced
            case ChildState.WAITING:
                self._next_start.cancel()
                self._start_again()
            case ChildState.STOPPED:
                self._restart.fail(ServerClosedError())
            case ChildState.DRAINING | ChildState.DRAINED:
                self._ends_by_order = True  # it ends already
            case ChildState.READY:
                self._restart.succeed()
        return outcome

    def retire(self, order: Drain) -> None:
        """End for good: its sessions are elsewhere, or end by this order. `on_stopped` follows."""
        self.is_permanent = False
        self._next_start.cancel()
        self._restart.fail(ServerClosedError())
        if self._worker is None:
            self._be_stopped()
        elif self.state is ChildState.READY:
            self._worker.tell(order)
            self._on_draining()
            self._kill_timer.set(self._drain_timeout_s + order.spread_s)
        elif self.state is ChildState.STARTING:
            self._ends_by_order = True
            self._worker.kill()

    def stop(self, spread_s: float = 0.0) -> None:
        """End all sessions, for good, over so long a time. A worker that has not been heard yet has none, and is killed."""
        self._stopping = True
        self._kill_timer.cancel()
        self._next_start.cancel()
        self._restart.fail(ServerClosedError())
        if self._worker is None:
            self._be_stopped()
        elif not self._liveness.is_armed:
            self._worker.kill()
        elif self.state is ChildState.DRAINED:
            self._events.on_drained(self)
        else:
            self.state = ChildState.DRAINING
            self.tell(Drain(spread_s=spread_s))

    def exit(self) -> None:
        """Let a drained worker end."""
        if self._worker is not None:
            self._worker.tell(Exit())

    def kill(self) -> None:
        """SIGKILL."""
        if self._worker is not None:
            self._worker.kill()

    def tick(self, now: float) -> None:
        """Look whether the worker is silent, or stuck."""
        if self._worker is None:
            return
        # An import or an on_start may take its time, and nobody waits for what is to serve yet.
        if self.ready_at is not None and (silent_for_s := self._silence.look(now)) is not None:
            fields = {"silence_s": round(silent_for_s, 1), "process_state": process_state(self._worker.pid)}
            _logger.warning("a worker is silent", extra={**self._fields(), **fields})
            self._events.on_silence(self, silent_for_s, is_over=False)
        if not self._liveness.is_armed and not self._told_slow_boot and now - self.started_at > SLOW_BOOT_S:
            self._told_slow_boot = True
            _logger.warning("a worker is still loading the application", extra=self._fields())
        match self._liveness.tick(now):
            case Decision.DUMP:
                silence_s = round(self._liveness.silence_s(now), 1)
                _logger.error("a worker is stuck; its stacks follow", extra={**self._fields(), "silence_s": silence_s})
                self._worker.dump()
            case Decision.KILL:
                self._history.is_stuck = True
                self._worker.kill()
            case Decision.WAIT:
                pass

    def on_worker_message(self, worker: LaunchedWorker, message: Message) -> None:
        """What the worker says."""
        if worker is not self._worker:
            return  # the last words of one that is gone
        now = time.monotonic()
        self._liveness.heard(now)
        if (was_silent_s := self._silence.heard(now)) is not None:
            _logger.warning(
                "a worker that was silent is back", extra={**self._fields(), "silence_s": round(was_silent_s, 1)}
            )
            self._events.on_silence(self, was_silent_s, is_over=True)
        match message:
            case Alive():
                self.connections = message.connections
                self._history.heard(worker.incarnation, message.counters, message.histograms)
            case Ready():
                self._on_ready()
            case BootFailed():
                self._on_boot_failed(message)
            case Draining():
                self._on_draining()
            case Drained():
                self._on_drained()
            case CloseRequested():
                self._events.on_close_requested(self)
            case _:
                self._events.on_message(self, message)

    def _on_ready(self) -> None:
        self.ready_at = self.served_at = time.monotonic()
        self._next_start.forget()
        if self.state is not ChildState.STARTING or self._ends_by_order:
            return  # told to end meanwhile, or killed
        self.state = ChildState.READY
        _logger.debug(
            "a worker is ready", extra={**self._fields(), "after_s": round(self.ready_at - self.started_at, 3)}
        )
        self._restart.succeed()
        self._events.on_ready(self)

    def _on_draining(self) -> None:
        """By order, or since somebody sent it SIGTERM."""
        if self.state is ChildState.READY:
            self._ends_by_order = True
        elif self.state is ChildState.STARTING:
            self._is_terminated = True
        else:
            return
        self.state = ChildState.DRAINING
        self._kill_timer.set(self._drain_timeout_s)

    def _on_drained(self) -> None:
        self.state = ChildState.DRAINED
        if self._stopping:
            self._events.on_drained(self)
            return
        if self._boot_failure:
            return  # it has its order
        # A planned restart, or somebody sent this one worker SIGTERM: nobody waits for it.
        if not self._is_terminated:
            self._ends_by_order = True
        if not self._kill_timer.is_set:
            self._kill_timer.set(self._drain_timeout_s)
        self.exit()

    def _on_boot_failed(self, failure: BootFailed) -> None:
        self._boot_failure = failure.text or "it gave no reason"
        self.state = ChildState.DRAINED
        self._events.on_boot_failed(self, failure)
        if not self._stopping:
            self._kill_timer.set(LEAVE_S)
            self.exit()

    # The end of a worker, and what follows it.

    def on_worker_exit(self, worker: LaunchedWorker, code: int) -> None:
        """The worker has ended."""
        fields = self._fields()
        was_draining = self.state in (ChildState.DRAINING, ChildState.DRAINED)
        ready_for_s = 0.0 if self.ready_at is None else time.monotonic() - self.ready_at
        if code == -signal.SIGTERM and self.ready_at is not None:
            self._ends_by_order = True  # the application took our handler of it away
        if self.ready_at is not None:
            self.served_at = time.monotonic()
        self._worker = None
        self.connections = 0
        self.last_end = exit_sentence(code)
        self._kill_timer.cancel()
        self._events.on_down(self, worker.incarnation)
        if self._stopping:
            if code != 0 and was_draining and not self._boot_failure:
                _logger.warning("a worker did not end cleanly", extra={**fields, "end": self.last_end})
            self._be_stopped()
        elif not self.is_permanent:
            if self._ends_by_order:
                _logger.info("a worker has stopped as requested", extra=fields)
            elif self.ready_at is None:
                _logger.warning("a worker died before it was ready", extra={**fields, "end": self.last_end})
            else:
                self._next_start.after_crash(self.last_end, ready_for_s, fields, is_replaced=True)
            self._be_stopped()
        elif self._ends_by_order:
            _logger.info("a worker ended after it was replaced", extra=fields)
            self._start_again()
        elif self._boot_failure:
            self._next_start.after_failed_start(self._boot_failure, fields)
            self._wait()
        elif code == -signal.SIGTERM or self._is_terminated:
            self._next_start.after_termination("was terminated (SIGTERM) while it started", fields)
            self._wait()
        else:
            self._next_start.after_crash(self.last_end, ready_for_s, fields, is_replaced=False)
            self._wait()

    def _be_stopped(self) -> None:
        self.state = ChildState.STOPPED
        self._events.on_stopped(self)

    def _start_again(self) -> None:
        try:
            self.start()
        except Exception as error:  # whatever it is, there must be a next attempt
            self._next_start.after_refusal(error, self.shard)
            self._wait()

    def _wait(self) -> None:
        """For the next start, which is set."""
        self.state = ChildState.WAITING
        self._ends_by_order = False
        self._restart.fail(RestartFailedError(self.shard, self.last_failure, serves=False))

    def _kill_late(self) -> None:
        _logger.warning("a worker did not end in time and is killed", extra=self._fields())
        self.kill()

    def _fields(self) -> dict[str, object]:
        return {"shard": self.shard, "pid": self.pid, "incarnation": self.incarnation}
