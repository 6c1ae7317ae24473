"""`Lease`: until when this host counts as a member of its cluster, in a page that its processes share.

One for each process, over the same file. The gateway extends it with each renewal that the cluster acknowledged; every decision
in a worker looks at it. It is compared with a clock, not ended by a timer: a host that was stopped, or a machine that was
suspended, sees in the first instant in which it runs again that its lease is over.

word 0   until when, in seconds of `lease_clock` (f64)
word 1   the term: how often it was taken, first or after it was over (f64)
"""

from __future__ import annotations

import os
import time
from functools import partial
from mmap import PAGESIZE, PROT_READ, PROT_WRITE, mmap

__all__ = ["Lease", "lease_clock"]

lease_clock = partial(time.clock_gettime, getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
"""Seconds, the same in all processes of a machine. It runs on while the machine is suspended, where there is such a clock."""

_UNTIL = 0
_TERM = 1


class Lease:
    """See the module. `file` stays the caller's; it may be closed as soon as this is made. Only a `writable` one is extended."""

    def __init__(self, file: int, *, writable: bool = False) -> None:
        if writable and os.fstat(file).st_size < PAGESIZE:
            os.ftruncate(file, PAGESIZE)
        self._memory = mmap(file, PAGESIZE, prot=PROT_READ | PROT_WRITE if writable else PROT_READ)
        self._words = memoryview(self._memory).cast("d")

    def is_held(self) -> bool:
        """Whether this host may decide anything. Some 0.1 µs: ask it for every decision, and keep no answer."""
        return lease_clock() < self._words[_UNTIL]

    @property
    def until(self) -> float:
        """In seconds of `lease_clock`; 0.0 where it was never held, or was given up."""
        return self._words[_UNTIL]

    @property
    def term(self) -> int:
        """0 before it was first held. It rises when the lease is taken after it was over: in between, others may have taken what
        this host had."""
        return int(self._words[_TERM])

    def extend(self, until: float) -> None:
        """Of the same term. 0.0 gives it up."""
        self._words[_UNTIL] = until

    def begin_term(self, until: float) -> None:
        """Have it, for the first time or after it was over. Who sees it held sees the new term, too."""
        self._words[_TERM] += 1
        self._words[_UNTIL] = until

    def close(self) -> None:
        self._words.release()
        self._memory.close()
