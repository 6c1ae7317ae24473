"""`Standby`: a worker that is made ready beside those that serve; and what of a worker's process it and a `Child` need.

Made by `Workers` for a planned restart and for a worker more, so that code that cannot be loaded, or whose on_start fails, costs
nobody anything: nothing is changed for anybody before the standby is prepared. It is at a seat of its own from the first moment,
where others reach it; it accepts nothing, and nobody's connection id is its own. One that has failed, or that nobody needs any
more, leaves by itself, and is killed when it does not.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Protocol

from wspulse.actors.mesh.lifecycle import BootFailed, CloseRequested, Drained, Draining, Exit, Prepared, TakeOver
from wspulse.actors.mesh.message import Message
from wspulse.supervisor.process.watching.end_watch import exit_sentence

__all__ = ["LEAVE_S", "Launch", "LaunchedWorker", "Standby", "StandbyEvents", "last_line"]

_OF_A_LINE = ("SyntaxError:", "IndentationError:", "TabError:")
_WHERE = re.compile(r'File "(?:.*/)?([^"/]+)", line (\d+)$')

LEAVE_S = 5.0
"""How long a worker that could not start has to end by itself, which runs what the application registered for its exit."""


class LaunchedWorker(Protocol):
    """What is needed of a `WorkerProcess`."""

    pid: int
    incarnation: int

    def tell(self, message: Message) -> None: ...
    def dump(self) -> None: ...
    def kill(self) -> None: ...


class Launch(Protocol):
    """Starts a worker of a name at a seat; one that `stands_by` says Prepared and then waits for TakeOver. Raises OSError when
    there can be no process."""

    def __call__(
        self,
        shard: int,
        seat: int,
        *,
        stands_by: bool,
        on_message: Callable[[LaunchedWorker, Message], None],
        on_exit: Callable[[LaunchedWorker, int], None],
    ) -> LaunchedWorker: ...


class StandbyEvents(Protocol):
    """What a standby tells while it is one."""

    def on_standby_prepared(self, standby: Standby) -> None:
        """It waits for nothing but its turn."""

    def on_standby_failed(self, standby: Standby, text: str) -> None:
        """It will not be prepared, or is not any more; `text` may be a traceback. It is to be dismissed."""

    def on_standby_gone(self, standby: Standby) -> None:
        """The process of one that was dismissed has ended."""

    def on_standby_closes(self, standby: Standby) -> None:
        """The application asks for the end of the whole server, from its on_start."""


class WorkerEvents(Protocol):
    """What a child takes of its worker."""

    def on_worker_message(self, worker: LaunchedWorker, message: Message) -> None: ...
    def on_worker_exit(self, worker: LaunchedWorker, code: int) -> None: ...


class Standby:
    """See the module. Starts the process, or raises what `launch` raises. It has `patience_s` to be prepared."""

    def __init__(self, shard: int, seat: int, launch: Launch, events: StandbyEvents, *, patience_s: float) -> None:
        self.shard = shard
        self.seat = seat
        self.was_heard = False
        """Whether its loop runs."""
        self.is_prepared = False
        self._events = events
        self._patience_s = patience_s
        self._child: WorkerEvents | None = None
        """Whose worker it has become."""
        self._is_over = False
        """It has failed, or was dismissed."""
        self._loop = asyncio.get_running_loop()
        self.worker = launch(shard, seat, stands_by=True, on_message=self._on_message, on_exit=self._on_exit)
        self._timer = self._loop.call_later(patience_s, self._is_late)

    def take_over(self, child: WorkerEvents) -> LaunchedWorker:
        """Let it serve, as soon as it is prepared. Whatever it says from here on is the child's to hear."""
        self._child = child
        self._timer.cancel()
        self.worker.tell(TakeOver())
        return self.worker

    def dismiss(self) -> None:
        """Let it end; `on_standby_gone` follows. One whose loop does not run yet hears nothing, and has nothing to end."""
        self._is_over = True
        self._timer.cancel()
        if self.was_heard:
            self._timer = self._loop.call_later(LEAVE_S, self.worker.kill)
            self.worker.tell(Exit())
        else:
            self.worker.kill()

    def _on_message(self, worker: LaunchedWorker, message: Message) -> None:
        self.was_heard = True
        if self._child is not None:
            if not isinstance(message, Prepared):  # its turn came before it was
                self._child.on_worker_message(worker, message)
        elif not self._is_over:
            match message:
                case Prepared():
                    self._timer.cancel()
                    self.is_prepared = True
                    self._events.on_standby_prepared(self)
                case BootFailed():
                    self._fail(message.text or "it gave no reason")
                case Draining() | Drained():
                    self._fail("it was terminated (SIGTERM)")
                case CloseRequested():
                    self._events.on_standby_closes(self)

    def _on_exit(self, worker: LaunchedWorker, code: int) -> None:
        if self._child is not None:
            self._child.on_worker_exit(worker, code)
            return
        if not self._is_over:
            self._fail(exit_sentence(code))
        self._timer.cancel()
        self._events.on_standby_gone(self)

    def _is_late(self) -> None:
        self._fail(f"it was not ready within {self._patience_s:g} s (--give-up-after)")

    def _fail(self, text: str) -> None:
        self._is_over = True
        self._events.on_standby_failed(self, text)


def last_line(text: str) -> str:
    """What a traceback comes to."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    last = lines[-1] if lines else ""
    if last.startswith(_OF_A_LINE):
        # Which one it is stands above.
        where = next((found for line in reversed(lines) if (found := _WHERE.match(line))), None)
        if where is not None:
            return f"{last} ({where[1]}, line {where[2]})"
    return last
