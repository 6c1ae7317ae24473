"""Locks on files and folders: what makes a path one server's, for as long as its process lives.

The kernel releases the lock with its holder, however that ends, so a lock file that is not locked is a crashed server's.
An owner that ends in order removes what is locked while it still holds the lock: whoever opened it before has then locked
something that nobody else will find, and must try again. A folder that is locked stays locked whatever becomes of the files
in it, and systemd's cleaner of old files leaves it alone.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path

from wspulse.supervisor.errors import StartError

__all__ = ["LOCK_TEXT_BYTES", "LockContestedError", "LockHeldError", "is_at", "is_locked", "lock_folder", "take_lock"]

LOCK_ATTEMPTS = 10
"""Each is lost only to another server that starts or ends in this very moment."""

LOCK_TEXT_BYTES = 100
"""What is read of a file: more than anybody writes there."""

GLANCE_S = 0.005
"""A folder is locked for some microseconds by whoever looks whether it is (`is_locked`)."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW


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
            raise StartError(f"the lock file {path} cannot be examined: {error.strerror}") from None
        os.close(lock)
    raise LockContestedError


def lock_folder(path: Path, make_folder: Callable[[], None]) -> int:
    """Have `make_folder` see that the folder is there, before each attempt, and lock it. Returns its descriptor; closing that
    is the release.

    Raises LockHeldError (without a text), LockContestedError, StartError when the folder cannot be opened, locked or looked
    at, and what `make_folder` raises.
    """
    for _ in range(LOCK_ATTEMPTS):
        make_folder()
        try:
            folder = os.open(path, _FOLDER)
        except FileNotFoundError:
            continue  # the last owner removed it just now
        except OSError as error:
            raise StartError(f"the folder {path} cannot be opened: {error.strerror}") from None
        try:
            if not _lock(folder):
                time.sleep(GLANCE_S)
                if not _lock(folder):
                    raise LockHeldError(b"")
            if is_at(folder, path):
                return folder
        except OSError as error:
            os.close(folder)
            raise StartError(f"the folder {path} cannot be locked: {error.strerror}") from None
        except BaseException:
            os.close(folder)
            raise
        os.close(folder)
    raise LockContestedError


def is_locked(path: Path) -> bool:
    """Whether somebody holds the lock on a folder. Raises OSError, FileNotFoundError where there is none."""
    folder = os.open(path, _FOLDER)
    try:
        return not _lock(folder)
    finally:
        os.close(folder)


def is_at(descriptor: int, path: Path) -> bool:
    """Whether what is open is what stands at the path now. Raises OSError when that cannot be said."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except (FileNotFoundError, NotADirectoryError):
        return False


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
