"""`SharedFile`: memory that a process shares with those that it starts, as a file without a name."""

from __future__ import annotations

import os
import tempfile
from multiprocessing.reduction import DupFd
from typing import Any
from weakref import finalize

__all__ = ["SharedFile"]


class SharedFile:
    """Empty at first. Pickled for a process that is started it becomes one of that process, of the same memory."""

    def __init__(self, descriptor: int | None = None) -> None:
        self.descriptor = _nameless() if descriptor is None else descriptor
        self._end = finalize(self, os.close, self.descriptor)

    def __reduce__(self) -> tuple[Any, ...]:
        return _inherited, (DupFd(self.descriptor),)

    def close(self) -> None:
        """Idempotent."""
        self._end()

    def clear(self, start: int, size: int) -> None:
        """Have these bytes be 0, those behind the end too. What was never written takes no memory, and is not written."""
        if os.fstat(self.descriptor).st_size < start + size:
            os.ftruncate(self.descriptor, start + size)
        for at in range(start, start + size, len(_ZEROS)):
            length = min(len(_ZEROS), start + size - at)
            if os.pread(self.descriptor, length, at) != _ZEROS[:length]:
                os.pwrite(self.descriptor, _ZEROS[:length], at)

    def write(self, start: int, data: bytes) -> None:
        os.pwrite(self.descriptor, data, start)


_ZEROS = bytes(64 * 1024)


def _nameless() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("wspulse")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _inherited(duplicate: Any) -> SharedFile:
    return SharedFile(duplicate.detach())
