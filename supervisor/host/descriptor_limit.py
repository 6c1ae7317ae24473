"""The limit of open descriptors (RLIMIT_NOFILE): the soft limit of 1,024 that most systems start with is below what a
server of sockets needs, and meant to be raised by those who use no select()."""

from __future__ import annotations

import contextlib
import resource

from wspulse.supervisor.errors import StartError

__all__ = ["check_descriptors", "check_workers", "raise_descriptor_limit"]

PER_WORKER = 5
"""In the supervisor: mailbox listener, channel, multiprocessing's two pipes, the process's descriptor."""

OTHERS = 64
"""Standard streams, listener, lock, ZeroMQ, the event loop, and what a start needs for a moment."""


def raise_descriptor_limit() -> int:
    """Raise this process's soft limit to the hard one; returns what it is now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        # macOS reports no hard limit and refuses one.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    return 1 << 20 if soft == resource.RLIM_INFINITY else soft


def check_descriptors(workers: int) -> None:
    """Raise the limit. Raises StartError when it does not suffice for so many workers."""
    limit = raise_descriptor_limit()
    if workers * PER_WORKER + OTHERS > limit:
        most = max(1, (limit - OTHERS) // PER_WORKER)
        needs = "1 worker needs" if workers == 1 else f"{workers} workers need"
        raise StartError(
            f"{needs} more descriptors than this process may open ({limit}); "
            f"raise the limit (ulimit -Hn) or use at most --workers {most}"
        )


def check_workers(workers: int, most: int) -> None:
    """Raises ValueError when a server that runs cannot have so many workers."""
    if not 1 <= workers <= most:
        raise ValueError(f"wspulse: workers: {workers} is out of range; allowed: 1 … {most}")
    try:
        check_descriptors(workers)
    except StartError as error:
        raise ValueError(str(error)) from None
