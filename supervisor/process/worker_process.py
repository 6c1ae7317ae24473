"""`WorkerProcess`: one started worker as the supervisor sees it: a process, its channel, its end.

Created by `Workers` for each start of a `Child`. It calls back with each message, and once with the exit code when the
process has ended and was waited for. It never decides anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from multiprocessing.context import SpawnProcess

from wspulse.actors.mesh.message import Envelope, MailboxMoved, Message, Tell
from wspulse.actors.mesh.stream import Stream
from wspulse.supervisor.process.watching.end_watch import EndWatch
from wspulse.supervisor.worker.child_spec import ChildSpec, Place, Start
from wspulse.supervisor.worker.main import DUMP_SIGNAL, main
from wspulse.supervisor.worker.masked_start import start_masked

__all__ = ["WorkerProcess"]

LAST_WORDS_S = 0.01
"""What the worker said last may still be in the channel, and tell why it ended: let the loop read it."""

_spawn = multiprocessing.get_context("spawn")


class WorkerProcess:
    """Runs from its construction. Raises OSError when no process can be started."""

    def __init__(
        self,
        spec: ChildSpec,
        place: Place,
        *,
        on_message: Callable[[WorkerProcess, Message], None],
        on_exit: Callable[[WorkerProcess, int], None],
    ) -> None:
        self.seat = place.seat
        self.incarnation = place.incarnation
        self.started_at = time.monotonic()
        self._on_message = on_message
        self._on_exit = on_exit
        self._loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # Not a daemon: those may not have children of their own, which an application may want.
            self._process = _spawn.Process(
                target=main, args=(spec, Start(place, theirs)), name=f"wspulse worker {place.shard}", daemon=False
            )
            start_masked(self._process)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        assert self._process.pid is not None
        self.pid = self._process.pid
        with ExitStack() as undo:
            # Nobody would see its end, and another would be started beside it.
            undo.callback(_end, self._process)
            undo.callback(ours.close)
            self._stream = Stream(ours, self._on_envelope, _nothing)
            undo.callback(self._stream.close)
            self._end_watch = EndWatch(self._process, self._ended)
            undo.pop_all()

    @property
    def is_running(self) -> bool:
        return self._end_watch.is_running

    def tell(self, message: Message) -> None:
        """Queue an order; ignored when the worker has ended."""
        self._stream.send(Tell(message))

    def move_mailbox(self, listener: socket.socket) -> bool:
        """Have the worker be reached at another listener, of which it gets a copy. False when it takes nothing now, and gets
        none."""
        number = self._stream.send(MailboxMoved(), listener.fileno())
        self._stream.flush()
        return not self._stream.take_back(number)

    def dump(self) -> None:
        """Have the worker write its threads' stacks to the log."""
        self._signal(DUMP_SIGNAL)

    def kill(self) -> None:
        """SIGKILL; `on_exit` follows."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        # Not waited for yet, so the pid is this process's and nobody else's; if somebody did in our place, there is none.
        if self.is_running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def _on_envelope(self, envelope: Envelope, _fd: int | None) -> None:
        if isinstance(envelope, Tell):
            self._on_message(self, envelope.message)

    def _ended(self, code: int) -> None:
        self._loop.call_later(LAST_WORDS_S, self._finish, code)

    def _finish(self, code: int) -> None:
        self._stream.close()
        self._on_exit(self, code)


def _end(process: SpawnProcess) -> None:
    process.kill()
    process.join()
    process.close()


def _nothing() -> None:
    """The channel's end says nothing that the process's end does not."""
