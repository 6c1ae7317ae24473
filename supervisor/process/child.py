"""`Child`: one shard's place in the supervisor, over all the workers that hold it one after another.

Created once per shard by `Workers`. It tells the supervisor what matters through `ChildEvents`. Restarts are one-for-one: a
child knows nothing of the others.

    start() ──▶ STARTING ──Ready──▶ READY ──Drain──▶ DRAINING ──Drained──▶ DRAINED ──Exit──▶ the process ends
                    ▲                  the process ends at any time │
                    └── WAITING (backoff) ◀── crash ────────────────┼── planned restart ──▶ start()
                                                                    └── stop() ──▶ STOPPED
"""

from __future__ import annotations

import asyncio
import enum
import logging
import time
from collections.abc import Callable
from typing import Protocol

from wspulse.actors.mesh.message import Alive, BootFailed, CloseRequested, Drain, Drained, Exit, Message, Ready
from wspulse.actors.values.errors import ServerClosedError
from wspulse.supervisor.host.process_state import process_state
from wspulse.supervisor.process.liveness import Decision, Liveness
from wspulse.supervisor.process.restart_intensity import RestartIntensity
from wspulse.supervisor.process.silence import Silence
from wspulse.supervisor.process.worker_process import exit_sentence

__all__ = ["Child", "ChildEvents", "ChildState", "Launch", "LaunchedWorker"]

SLOW_BOOT_S = 10.0
"""An import may take as long as it likes, but somebody may wonder why the server is not ready."""

_logger = logging.getLogger("wspulse.supervisor")


class ChildState(enum.Enum):
    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    DRAINED = "drained"
    WAITING = "waiting"
    """Between a crash and the next start."""
    STOPPED = "stopped"
    """For good."""


class ChildEvents(Protocol):
    """What a child tells the supervisor."""

    def on_ready(self, child: Child) -> None:
        """Its worker is ready."""

    def on_down(self, child: Child, incarnation: int) -> None:
        """Its worker has ended, for whatever reason: the sessions of that incarnation are gone."""

    def on_drained(self, child: Child) -> None:
        """After `stop()`: no session is left; the worker waits for `exit()`."""

    def on_stopped(self, child: Child) -> None:
        """After `stop()`: the worker has ended."""

    def on_boot_failed(self, child: Child, failure: BootFailed) -> None:
        """The application cannot be loaded; the worker waits to be stopped."""

    def on_gave_up(self, child: Child, sentence: str) -> None:
        """Its workers crash too often; `sentence` says how the last one ended."""

    def on_silence(self, child: Child, silence_s: float, *, is_over: bool) -> None:
        """Its worker has not been heard for so long; or it was, and is heard again."""

    def on_close_requested(self, child: Child) -> None:
        """The application asks for the end of the whole server."""

    def on_message(self, child: Child, message: Message) -> None:
        """Any other message of its worker."""


class LaunchedWorker(Protocol):
    """What a child needs of a `WorkerProcess`."""

    pid: int
    incarnation: int

    def tell(self, message: Message) -> None: ...
    def dump(self) -> None: ...
    def kill(self) -> None: ...


class Launch(Protocol):
    """Starts a worker. Raises OSError when there can be no process."""

    def __call__(
        self,
        shard: int,
        *,
        on_message: Callable[[LaunchedWorker, Message], None],
        on_exit: Callable[[LaunchedWorker, int], None],
    ) -> LaunchedWorker: ...


class Child:
    """See the module. `drain_timeout_s` bounds a planned restart's drain; a stop is bounded by whoever stops."""

    def __init__(
        self, shard: int, launch: Launch, events: ChildEvents, *, stall_timeout_s: float, drain_timeout_s: float
    ) -> None:
        self.shard = shard
        self.state = ChildState.WAITING
        self.restarts = 0
        """Starts that followed a crash."""
        self.connections = 0
        self.started_at = 0.0
        """Monotonic."""
        self.ready_at: float | None = None
        self._launch = launch
        self._events = events
        self._stall_timeout_s = stall_timeout_s
        self._drain_timeout_s = drain_timeout_s
        self._loop = asyncio.get_running_loop()
        self._worker: LaunchedWorker | None = None
        self._liveness = Liveness(stall_timeout_s, 0.0)
        self._silence = Silence(0.0)
        self._intensity = RestartIntensity()
        self._timer: asyncio.TimerHandle | None = None
        """In WAITING: the next start. While a worker ends by itself: when it is killed."""
        self._stopping = False
        self._ends_by_order = False
        """The end of the current worker is no crash."""
        self._boot_failed = False
        self._told_slow_boot = False
        self._replaced: asyncio.Future[None] | None = None
        """A planned restart under way: done when the replacement is ready."""

    @property
    def pid(self) -> int | None:
        return None if self._worker is None else self._worker.pid

    @property
    def incarnation(self) -> int | None:
        return None if self._worker is None else self._worker.incarnation

    @property
    def silence_s(self) -> float:
        """How long ago the worker was last heard; 0 before its first message, and for none. Time in which the supervisor itself
        stood still does not count."""
        return 0.0 if self._worker is None else self._silence.silence_s(time.monotonic())

    @property
    def ends_by_order(self) -> bool:
        """Whether the current worker's end is meant, and no crash."""
        return self._ends_by_order or self._stopping or self._boot_failed

    @property
    def is_silent(self) -> bool:
        """Whether the others were told that the current worker is not heard."""
        return self._worker is not None and self._silence.is_told

    def start(self) -> None:
        """Start a worker. Raises OSError when there can be no process."""
        self._worker = self._launch(self.shard, on_message=self._on_message, on_exit=self._on_exit)
        self.state = ChildState.STARTING
        self.started_at = time.monotonic()
        self.ready_at = None
        self._ends_by_order = False
        self._told_slow_boot = False
        self._liveness = Liveness(self._stall_timeout_s, self.started_at)
        self._silence = Silence(self.started_at)
        _logger.debug("a worker was started", extra=self._fields())

    def tell(self, message: Message) -> None:
        """Pass an order on to the worker, if there is one."""
        if self._worker is not None:
            self._worker.tell(message)

    def restart(self) -> asyncio.Future[None]:
        """Drain the worker and start its replacement; not counted as a crash. The future is done when that is ready;
        ServerClosedError when the server ends first. A restart that is under way already is joined."""
        if self._replaced is not None:
            return self._replaced
        self._replaced = future = self._loop.create_future()
        future.add_done_callback(_retrieve)
        self._ends_by_order = True
        match self.state:
            case ChildState.READY:
                self.state = ChildState.DRAINING
                self.tell(Drain(server_closes=False))
                self._kill_later()
            case ChildState.STARTING:
                self.kill()  # it may have loaded what is to be replaced
            case ChildState.WAITING:
                self._cancel_timer()
                self._start_again()
            case ChildState.STOPPED:
                self._fail_restart()
            case ChildState.DRAINING | ChildState.DRAINED:
                pass  # it ends already
        return future

    def stop(self) -> None:
        """End all sessions, for good. A worker that has not been heard yet has none, and is killed."""
        self._stopping = True
        self._cancel_timer()
        self._fail_restart()
        if self._worker is None:
            self.state = ChildState.STOPPED
        elif not self._liveness.is_armed:
            self.kill()
        elif self.state is ChildState.DRAINED:
            self._events.on_drained(self)
        else:
            self.state = ChildState.DRAINING
            self.tell(Drain())

    def exit(self) -> None:
        """Let a drained worker end."""
        self.tell(Exit())

    def kill(self) -> None:
        """SIGKILL."""
        if self._worker is not None:
            self._worker.kill()

    def tick(self, now: float) -> None:
        """Look whether the worker is silent, or stuck."""
        if self._worker is None:
            return
        if (silent_for_s := self._silence.look(now)) is not None:
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
                self._worker.kill()
            case Decision.WAIT:
                pass

    def _on_message(self, worker: LaunchedWorker, message: Message) -> None:
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
            case Ready():
                self._on_ready()
            case BootFailed():
                self._boot_failed = True
                self.state = ChildState.DRAINED
                self._events.on_boot_failed(self, message)
            case Drained():
                self._on_drained()
            case CloseRequested():
                self._events.on_close_requested(self)
            case _:
                self._events.on_message(self, message)

    def _on_ready(self) -> None:
        self.ready_at = time.monotonic()
        if self.state is not ChildState.STARTING:
            return  # told to end meanwhile
        self.state = ChildState.READY
        _logger.debug(
            "a worker is ready", extra={**self._fields(), "after_s": round(self.ready_at - self.started_at, 3)}
        )
        if self._replaced is not None:
            self._replaced.set_result(None)
            self._replaced = None
        self._events.on_ready(self)

    def _on_drained(self) -> None:
        self.state = ChildState.DRAINED
        if self._stopping:
            self._events.on_drained(self)
            return
        if self._boot_failed:
            return  # the supervisor is about to stop all
        # A planned restart, or somebody sent this one worker SIGTERM: nobody waits for it.
        if self._timer is None:
            self._kill_later()
        self.exit()

    def _on_exit(self, worker: LaunchedWorker, code: int) -> None:
        fields = self._fields()
        was_draining = self.state in (ChildState.DRAINING, ChildState.DRAINED)
        ready_for_s = 0.0 if self.ready_at is None else time.monotonic() - self.ready_at
        self._worker = None
        self.connections = 0
        self._cancel_timer()
        self._events.on_down(self, worker.incarnation)
        if self._stopping or self._boot_failed:
            self.state = ChildState.STOPPED
            if code != 0 and was_draining and not self._boot_failed:
                _logger.warning("a worker did not end in order", extra={**fields, "end": exit_sentence(code)})
            self._events.on_stopped(self)
        elif self._ends_by_order:
            _logger.info("a worker has ended for its replacement", extra=fields)
            self._start_again()
        else:
            self._crashed(exit_sentence(code), ready_for_s, fields)

    def _crashed(self, sentence: str, ready_for_s: float, fields: dict[str, object]) -> None:
        self.state = ChildState.WAITING
        delay_s = self._intensity.crashed(time.monotonic(), ready_for_s)
        if delay_s is None:
            self._events.on_gave_up(self, sentence)
            return
        _logger.warning("a worker died", extra={**fields, "end": sentence, "restart_in_s": delay_s})
        self.restarts += 1
        self._timer = self._loop.call_later(delay_s, self._start_again)

    def _start_again(self) -> None:
        self._timer = None
        try:
            self.start()
        except OSError as error:
            self._crashed(f"could not be started: {error}", 0.0, self._fields())

    def _kill_later(self) -> None:
        self._cancel_timer()
        self._timer = self._loop.call_later(self._drain_timeout_s, self.kill)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fail_restart(self) -> None:
        if self._replaced is not None:
            self._replaced.set_exception(ServerClosedError())
            self._replaced = None

    def _fields(self) -> dict[str, object]:
        return {"shard": self.shard, "pid": self.pid, "incarnation": self.incarnation}


def _retrieve(future: asyncio.Future[None]) -> None:
    """Whoever waited may be gone; then nobody needs the outcome."""
    if not future.cancelled():
        future.exception()
