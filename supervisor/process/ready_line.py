"""`print_ready_line`: the one line on stdout, for programs that wait until the server is ready.

Called once by the supervisor, which must not wait for whoever reads it.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import threading
from collections.abc import Sequence

__all__ = ["print_ready_line"]

_logger = logging.getLogger("wspulse.supervisor")

STDOUT = 1


def print_ready_line(urls: Sequence[str], workers: int, control: str, fd: int = STDOUT) -> None:
    """At once, unless what stdout is takes nothing now: then as soon as it does, from a thread.

    Programs read this line, so its form stays: "1 worker" and "2 workers" are all the difference. `urls` are those of the
    server, of which the first stands at its place, and others behind it.
    """
    where, *others = urls
    also = "".join(f", also on {other}" for other in others)
    noun = "worker" if workers == 1 else "workers"
    _print_soon(f"wspulse: ready on {where} ({workers} {noun}{also}, control {control})\n".encode(), fd)


def _print_soon(line: bytes, fd: int) -> None:
    try:
        # A pipe that takes anything takes 4,096 bytes.
        is_ready = bool(select.select([], [fd], [], 0)[1])
    except (OSError, ValueError):
        is_ready = True
    if is_ready:
        _print(line, fd)
    else:
        _logger.warning("stdout is blocked: the ready line waits")
        threading.Thread(target=_print, args=(line, fd), name="wspulse ready line", daemon=True).start()


def _print(line: bytes, fd: int) -> None:
    # Else a terminal that stops those who write to it in the background (SIGTTOU) has the write begun anew for ever.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
    try:
        os.write(fd, line)
    except OSError as error:
        _logger.warning("the ready line could not be printed", extra={"reason": str(error)})
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
