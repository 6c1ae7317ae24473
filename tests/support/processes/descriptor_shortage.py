"""A moment in which this process has no descriptor free: EMFILE for whoever wants one."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["no_descriptor_free"]

SPARE = 16
"""Above the highest that is open: few, so that taking all of them takes no time."""


@contextmanager
def no_descriptor_free() -> Iterator[None]:
    """Until the end of the block. What was open stays open, and what is closed meanwhile is free again."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(name) for name in os.listdir("/dev/fd"))  # noqa: PTH208
    taken: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + SPARE, hard))
    try:
        try:
            while True:
                taken.append(os.dup(0))
        except OSError:
            pass
        yield
    finally:
        for fd in taken:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
