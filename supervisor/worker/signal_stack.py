"""`enlarge_signal_stack`: room for every signal at once.

Called by a worker's entry, after faulthandler has given its thread a stack for the handlers of signals. That has 16 KB, and
each handler that is interrupted by another signal takes 3 to 11 KB of it, with the processor's registers: a process that was
stopped and then has five signals to take would be ended by SIGSEGV.
"""

from __future__ import annotations

import ctypes
import mmap
import sys

__all__ = ["enlarge_signal_stack"]

STACK_BYTES = 1 << 20
"""For 64 signals, the most that can wait. Memory that is not touched is none."""


class _Stack(ctypes.Structure):
    """`stack_t`."""

    _fields_ = (("ss_sp", ctypes.c_void_p), ("ss_flags", ctypes.c_int), ("ss_size", ctypes.c_size_t))


_kept: list[object] = []
"""The kernel uses it to the end of the process."""


def enlarge_signal_stack() -> None:
    """For the thread that calls it. Nothing happens where the system is not Linux."""
    if sys.platform != "linux":
        return
    memory = mmap.mmap(-1, STACK_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    begin = ctypes.c_char.from_buffer(memory)
    stack = _Stack(ctypes.addressof(begin), 0, STACK_BYTES)
    ctypes.CDLL(None).sigaltstack(ctypes.byref(stack), None)
    _kept.extend((memory, begin))
