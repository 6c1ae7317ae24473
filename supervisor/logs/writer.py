"""`LineWriter`: lines on their way to a descriptor that perhaps nobody reads. Whoever writes one waits for nothing.

One per process for its log, made by `configuration`, and one for the ready line where stdout is full. A thread does the
writing. The descriptor stays a blocking one, since it is shared with the other processes of the terminal; lines wait in memory,
up to a bound, beyond which they are dropped and counted, and the count is written when there is room again.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import threading
from collections.abc import Callable
from queue import SimpleQueue

from wspulse.supervisor.logs.terminal import leave_terminal

__all__ = ["LineWriter"]

MOST_WAITING_BYTES = 1 << 20
"""Some 8,000 lines: a second of a loud server whose reader is being replaced."""

LINE_BYTES = 100
"""What a line takes besides its text."""

FAULTS = frozenset({signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT})
"""Of the thread's own making: faulthandler tells of them."""


class _Gap:
    """Stands in the queue where lines are missing."""


_GAP = _Gap()


class LineWriter:
    """Runs from its construction. `note(count)` makes the line that tells of lines that were dropped.

    In the child of a fork the thread is missing: a child is the application's own, and writes by itself.
    """

    def __init__(self, fd: int, note: Callable[[int], bytes], *, most_waiting_bytes: int = MOST_WAITING_BYTES) -> None:
        self._fd = fd
        self._note = note
        self._most_waiting_bytes = most_waiting_bytes
        self._pid = os.getpid()
        # Not one of `threading`'s locks: a signal's handler may write a line in the middle of another one's writing.
        self._queue: SimpleQueue[bytes | _Gap | threading.Event | None] = SimpleQueue()
        # Each of these numbers is raised by one side only, and read by the other.
        self._taken_bytes = 0
        self._dropped = 0
        self._done_bytes = 0
        self._told_dropped = 0
        self._missing = 0
        """The thread's: lines that are not there, and of which no note has been written yet."""
        self._in_gap = False
        self._thread = threading.Thread(target=self._run, name="wspulse log", daemon=True)
        self._thread.start()

    def write(self, line: bytes) -> None:
        """Take a line, with its line feed; returns at once. Calls of several threads are to be made one at a time, as those
        of a `logging.Handler` are."""
        if os.getpid() != self._pid:
            self._written(line)
            return
        size = len(line) + LINE_BYTES
        waiting_bytes = self._taken_bytes - self._done_bytes
        # A line that is longer than all that may wait is taken when nothing waits.
        if waiting_bytes and waiting_bytes + size > self._most_waiting_bytes:
            self._dropped += 1
            if not self._in_gap:
                self._in_gap = True
                self._queue.put(_GAP)
            return
        if self._in_gap:
            self._in_gap = False
            self._queue.put(_GAP)  # those that were dropped while the thread was at the first one
        self._taken_bytes += size
        self._queue.put(line)

    def flush(self, timeout_s: float) -> bool:
        """Wait until what was taken is written, at most so long. Returns whether it is."""
        if os.getpid() != self._pid or not self._thread.is_alive():
            return True
        reached = threading.Event()
        self._queue.put(reached)
        return reached.wait(timeout_s)

    def close(self, timeout_s: float) -> None:
        """Let the thread end when it has written what it has; wait for that so long."""
        self._queue.put(None)
        self._thread.join(timeout_s)

    # The thread.

    def _run(self) -> None:
        # The process's signals are none of its business; and SIGTTOU, which stops those who write to a terminal in the
        # background, is not sent to a thread that blocks it.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals() - FAULTS)
        while (entry := self._queue.get()) is not None:
            if isinstance(entry, bytes):
                self._put_out(entry)
                self._done_bytes += len(entry) + LINE_BYTES
            elif isinstance(entry, threading.Event):
                entry.set()
            else:
                dropped = self._dropped
                self._missing += dropped - self._told_dropped
                self._told_dropped = dropped
                self._put_out(b"")

    def _put_out(self, line: bytes) -> None:
        data = self._note(self._missing) + line if self._missing else line
        if self._written(data):
            self._missing = 0
        elif line:
            self._missing += 1

    def _written(self, data: bytes) -> bool:
        """Whether all of it is. It is not when the disk is full, or the reader or the terminal gone."""
        rest = memoryview(data)
        try:
            while rest:
                try:
                    rest = rest[os.write(self._fd, rest) :]
                except BlockingIOError:
                    # Somebody who shares the descriptor has made it one that does not block.
                    select.select([], [self._fd], [])
        except OSError as error:
            if error.errno == errno.EIO:
                # Where no descriptor is free for that: at the next line.
                with contextlib.suppress(OSError):
                    leave_terminal(self._fd)
            return False
        return True
