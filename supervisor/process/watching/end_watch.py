"""`EndWatch`: notices that a process of ours has ended, and what its exit code means.

One per `WorkerProcess`. It waits for the process's descriptor (pidfd), and where the system refuses that (old kernels, and
containers whose seccomp filter does not know the call) looks ten times a second. It does not rely on multiprocessing's sentinel:
that is a pipe, which stays open while a process that the application forked has it.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
from collections.abc import Callable
from multiprocessing import spawn
from multiprocessing.context import SpawnProcess
from pathlib import Path

__all__ = ["EndWatch", "exit_sentence", "watched"]

REAP_POLL_S = 0.01
"""A process's descriptors close a moment before it can be waited for."""

LOOK_S = 0.1
"""One system call for each worker."""

REFUSALS = frozenset({errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EINVAL, errno.ENODEV})
"""There will be no pidfd however often one asks: seccomp, no such call, no file system for it."""

NOTHING_KNOWN = 255
"""What a process ends with that could not be executed, and what stands for an exit code that somebody else has taken."""

_logger = logging.getLogger("wspulse.supervisor")
watched: set[int] = set()
"""The processes that are watched, and so waited for, here."""

_told: set[int] = set()
"""The refusals that this process's log has had."""


class EndWatch:
    """Calls `on_end` with the exit code (negative: a signal) in the loop, once, when the process was waited for; the process
    is closed then. Raises OSError when there is no descriptor free to watch it."""

    def __init__(self, process: SpawnProcess, on_end: Callable[[int], None]) -> None:
        assert process.pid is not None
        self.is_running = True
        self._process = process
        self._pid = process.pid
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._fd = _open_pidfd(self._pid)
        if self._fd is None:
            self._loop.call_later(LOOK_S, self._look)
        else:
            try:
                self._loop.add_reader(self._fd, self._ended)
            except OSError:
                os.close(self._fd)
                raise
        watched.add(self._pid)

    def _ended(self) -> None:
        assert self._fd is not None
        self._loop.remove_reader(self._fd)
        os.close(self._fd)
        self._reap()

    def _reap(self) -> None:
        if not self._is_reaped():
            self._loop.call_later(REAP_POLL_S, self._reap)

    def _look(self) -> None:
        if not self._is_reaped():
            self._loop.call_later(LOOK_S, self._look)

    def _is_reaped(self) -> bool:
        code = self._process.exitcode
        if code is None:
            if _exists(self._pid):
                return False
            # Somebody else took it; multiprocessing would take the process for a living one, and keep its pipes.
            code = self._process._popen.returncode = NOTHING_KNOWN  # type: ignore[attr-defined]
        self.is_running = False
        watched.discard(self._pid)
        self._process.close()
        self._on_end(code)
        return True


def exit_sentence(code: int) -> str:
    """What an exit code (negative: a signal) means."""
    if code == NOTHING_KNOWN:
        return f"ended with exit code {code}: {_why_nothing_is_known()}"
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"was killed by {name}"


def _why_nothing_is_known() -> str:
    """The system's answer to the execution of a worker's Python is read by nobody; what it was can be asked again."""
    python = Path(os.fsdecode(spawn.get_executable() or ""))
    try:
        python.stat()
    except OSError as error:
        return f"{python} cannot be executed ({error.strerror})"
    if not os.access(python, os.X_OK):
        return f"{python} cannot be executed (Permission denied)"
    return "the application exited with it, or the system could not execute it"


def _open_pidfd(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except AttributeError:
        return None  # no Linux
    except OSError as error:
        if error.errno not in REFUSALS:
            raise
        if error.errno not in _told:
            _told.add(error.errno)
            _logger.info(
                "the system has no process descriptors (pidfd_open); workers are polled instead",
                extra={"reason": error.strerror},
            )
        return None


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True
