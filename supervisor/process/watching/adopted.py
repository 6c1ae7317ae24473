"""Processes that became the supervisor's when their own parents ended: what workers' applications have started, where the
supervisor is process 1 of its container, or a subreaper. Nobody else waits for them, and each would stay a zombie for as long as
the server runs.

Called by `Workers` at every look. It never takes the exit code of a worker.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Container

__all__ = ["adopts_processes", "reap_adopted"]

PR_GET_CHILD_SUBREAPER = 37

MOST_AT_ONCE = 1000
"""Ten microseconds each."""


def adopts_processes() -> bool:
    """Whether orphans become children of this process."""
    return os.getpid() == 1 or _is_subreaper()


def reap_adopted(workers: Container[int]) -> int:
    """Wait for those that have ended; returns how many. `workers` are the children whose ends are watched elsewhere: one of them
    that has just ended stands in the way of the others until it was waited for."""
    for count in range(MOST_AT_ONCE):
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is None or ended.si_pid in workers:
                return count
            os.waitpid(ended.si_pid, os.WNOHANG)
        except ChildProcessError:
            return count
    return MOST_AT_ONCE


def _is_subreaper() -> bool:
    if not sys.platform.startswith("linux"):
        return False
    answer = ctypes.c_int(0)
    try:
        failed = ctypes.CDLL(None).prctl(PR_GET_CHILD_SUBREAPER, ctypes.byref(answer), 0, 0, 0)
    except (OSError, AttributeError):
        return False
    return not failed and bool(answer.value)
