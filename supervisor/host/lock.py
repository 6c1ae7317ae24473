"""Lock files: what makes a path one server's, for as long as its process lives.

The kernel releases the lock with its holder, however that ends, so a lock file that is not locked is a crashed server's.
An owner that ends in order removes the file while it still holds the lock: whoever opened it before has then locked a
file that nobody else will find, and must try again.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

from wspulse.supervisor.errors import StartError

__all__ = ["LOCK_TEXT_BYTES", "LockContestedError", "LockHeldError", "take_lock"]

LOCK_ATTEMPTS = 10
"""Each is lost only to another server that starts or ends in this very moment."""

LOCK_TEXT_BYTES = 100
"""What is read of a file: more than anybody writes there."""


class LockHeldError(Exception):
    """Another one holds the lock. `text` is what it has written into the file."""

    def __init__(self, text: bytes) -> None:
        super().__init__(text)
        self.text = text


class LockContestedError(Exception):
    """The file was removed at each attempt."""


def take_lock(path: Path, make_folder: Callable[[], None] | None = None) -> int:
    """Make the file or take over the one that is there, and lock it. Returns its descriptor; closing that is the release.

    `make_folder` is called before each attempt, where the folder goes away with its owner; without it a missing folder is
    an error. Raises LockHeldError, LockContestedError, StartError when the file cannot be opened, locked or looked
    at.
    """
    for _ in range(LOCK_ATTEMPTS):
        if make_folder is not None:
            make_folder()
        try:
            lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            if make_folder is not None and isinstance(error, FileNotFoundError):
                continue  # the last owner removed the folder just now
            raise StartError(f"the lock file {path} cannot be opened: {error.strerror}") from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            text = os.pread(lock, LOCK_TEXT_BYTES, 0)
            os.close(lock)
            raise LockHeldError(text) from None
        except OSError as error:
            os.close(lock)
            raise StartError(f"the lock file {path} cannot be locked: {error.strerror}") from None
        try:
            if os.path.samestat(os.fstat(lock), path.lstat()):
                return lock
        except FileNotFoundError:
            pass  # the last owner removed it just now
        except OSError as error:
            os.close(lock)
            raise StartError(f"the lock file {path} cannot be looked at: {error.strerror}") from None
        os.close(lock)
    raise LockContestedError
