"""`leave_terminal`: what a process does with a terminal that was closed behind it.

Used by the thread that writes the log, which is the first to notice.
"""

from __future__ import annotations

import os
import stat

__all__ = ["leave_terminal"]


def leave_terminal(fd: int) -> None:
    """After an EIO: a terminal that was closed stays closed for those who have it open. Nobody who prints shall fail for it."""
    status = os.fstat(fd)
    if not stat.S_ISCHR(status.st_mode):
        return
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in {0, 1, 2, fd}:
        try:
            found = os.fstat(number)
        except OSError:
            continue
        if (found.st_dev, found.st_ino) == (status.st_dev, status.st_ino):
            os.dup2(nowhere, number)
    os.close(nowhere)
