"""`RuntimeDir`: the folder in which one server's Unix sockets live, and the lock that makes it one server's.

`$XDG_RUNTIME_DIR/wspulse/<port>` where that can be used, else `/tmp/wspulse-<uid>/<port>`; mode 0700 and ours, or
refused. Who holds the lock on the file `lock` owns the folder. The kernel releases the lock with its holder, however that ends,
so the folder's states can be told apart:

    no lock file             nobody was here, or the last server ended in order
    lock file, locked        a server runs
    lock file, not locked    a server crashed; its workers may live for some seconds more

The lock file says "<pid> <run>". Names of sockets carry the run: what a crashed server's workers still try to reach
must never be the sockets of its successor. Nobody deletes another live server's files.
"""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from wspulse.supervisor.errors import StartError
from wspulse.supervisor.host.lock import LOCK_TEXT_BYTES, LockContestedError, LockHeldError, take_lock

__all__ = ["RuntimeDir"]

_logger = logging.getLogger("wspulse.supervisor")

MAX_SOCKET_PATH_BYTES = 103 if sys.platform == "darwin" else 107
"""sizeof(sun_path) - 1."""

LONGEST_SOCKET_NAME = "mailbox-1023-999999.sock"


class RuntimeDir:
    """A locked runtime directory. Made by `claim`."""

    def __init__(self, path: Path, lock: int, run: int, *, after_crash: bool) -> None:
        self.path = path
        self.run = run
        """0 after an orderly end, else one more than the crashed server's."""
        self.after_crash = after_crash
        self._lock = lock

    @classmethod
    def claim(cls, port: int, environ: Mapping[str, str] = os.environ) -> Self:
        """Make (or take over) the folder for `port`, and clean it. Raises StartError when it is not ours to use."""
        base = _base(environ, port)
        _make(base)
        path = base / str(port)
        try:
            lock = take_lock(path / "lock", make_folder=lambda: _make(path))
        except LockHeldError as error:
            raise StartError(_refusal(port, error.text)) from None
        except LockContestedError:
            raise StartError(
                f"the runtime directory {path} could not be locked: servers come and go there all the time"
            ) from None
        try:
            last_run = _last_run(os.pread(lock, LOCK_TEXT_BYTES, 0).decode("ascii", "replace"))
            run = 0 if last_run is None else last_run + 1
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"{os.getpid()} {run}\n".encode(), 0)
            runtime_dir = cls(path, lock, run, after_crash=last_run is not None)
            runtime_dir._remove_sockets()
        except OSError as error:
            os.close(lock)
            raise StartError(f"the runtime directory {path} cannot be prepared: {error.strerror}") from None
        return runtime_dir

    def socket_path(self, name: str) -> str:
        """The path for a socket of this run: `name` must be unique within it."""
        return str(self.path / f"{name}-{self.run}.sock")

    def release(self) -> None:
        """Remove the folder: an orderly end."""
        try:
            self._remove_sockets()
            with contextlib.suppress(OSError):
                (self.path / "lock").unlink()
                self.path.rmdir()
        finally:
            os.close(self._lock)

    def _remove_sockets(self) -> None:
        """Somebody else, who cleans up, may remove them at the same time, or the folder itself."""
        entries: list[Path] = []
        with contextlib.suppress(FileNotFoundError):
            entries.extend(self.path.iterdir())
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                if stat.S_ISSOCK(entry.lstat().st_mode):
                    entry.unlink()


def _base(environ: Mapping[str, str], port: int) -> Path:
    named = environ.get("XDG_RUNTIME_DIR")
    if named:
        base = Path(named) / "wspulse"
        problem = _why_unusable(Path(named)) or _why_too_long(base / str(port))
        if problem is None:
            return base
        _logger.info("XDG_RUNTIME_DIR is not used", extra={"reason": problem})
    return Path(f"/tmp/wspulse-{os.geteuid()}")


def _why_unusable(folder: Path) -> str | None:
    if not folder.is_absolute():
        return f"{folder} is no absolute path"
    try:
        status = folder.stat()
    except OSError as error:
        return f"{folder}: {error.strerror}"
    if not stat.S_ISDIR(status.st_mode):
        return f"{folder} is no folder"
    if status.st_uid != os.geteuid():
        return f"{folder} belongs to user {status.st_uid}"
    if not os.access(folder, os.W_OK | os.X_OK):
        return f"{folder} cannot be written to"
    return None


def _why_too_long(folder: Path) -> str | None:
    length = len(os.fsencode(folder / LONGEST_SOCKET_NAME))
    if length > MAX_SOCKET_PATH_BYTES:
        return f"{folder} makes Unix socket paths of {length} bytes; {MAX_SOCKET_PATH_BYTES} are possible"
    return None


def _make(folder: Path) -> None:
    """Make the folder, or see that the one that is there is ours alone."""
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        pass
    except OSError as error:
        raise StartError(f"the runtime directory {folder} cannot be made: {error.strerror}") from None
    try:
        status = folder.lstat()
    except FileNotFoundError:
        return  # gone again: taking the lock will fail and begin anew
    remedy = "remove it, or set XDG_RUNTIME_DIR to a folder of your own"
    if not stat.S_ISDIR(status.st_mode):
        raise StartError(f"the runtime directory {folder} is no folder; {remedy}")
    if status.st_uid != os.geteuid():
        raise StartError(
            f"the runtime directory {folder} belongs to user {status.st_uid}, not to user {os.geteuid()}; {remedy}"
        )
    if status.st_mode & 0o077:
        raise StartError(
            f"the runtime directory {folder} is open to others (mode {stat.S_IMODE(status.st_mode):04o}); "
            f"run chmod 700 {folder}"
        )


def _refusal(port: int, lock_text: bytes) -> str:
    words = lock_text.split()
    holder = f" (pid {words[0].decode('ascii', 'replace')})" if words else ""
    return f"another wspulse{holder} serves port {port}; stop it or choose another port with --port"


def _last_run(text: str) -> int | None:
    """The run that a lock file tells of; None for an empty one, made just now."""
    words = text.split()
    if not words:
        return None
    return int(words[1]) if len(words) > 1 and words[1].isdecimal() else 0
