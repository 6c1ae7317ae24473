"""`RuntimeDir`: the folder in which one server's Unix sockets live, and the lock that makes it one server's.

`$XDG_RUNTIME_DIR/wspulse/<port>` where that can be used, else `/tmp/wspulse-<uid>/<port>`; mode 0700 and ours, or
refused. Where another server has the port on another address, and with it that folder, it is `<port>@<address>` beside it.
Who holds the lock on the folder itself owns it, whatever becomes of the files in it. The kernel releases the lock with its
holder, however that ends, so the folder's states can be told apart:

    no file `lock`                    nobody was here, or the last server ended in order
    a file `lock`, folder locked      a server runs
    a file `lock`, folder not locked  a server crashed; its workers may live for some seconds more

The file also says where the server is found (`record`). Names of sockets carry the run: what a crashed server's workers still
try to reach must never be the sockets of its successor. Nobody deletes another live server's files. Claimed by the supervisor
when it has the port, which decides between two servers before either touches what is another's.
"""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Self

from wspulse.supervisor.errors import StartError
from wspulse.supervisor.premises.lock import LockContestedError, LockHeldError, is_at, is_locked, lock_folder
from wspulse.supervisor.premises.record import RECORD, Record, read_record, write_record

__all__ = ["Predecessor", "RuntimeDir", "find_predecessor", "refusal"]

_logger = logging.getLogger("wspulse.supervisor")

MAX_SOCKET_PATH_BYTES = 103 if sys.platform == "darwin" else 107
"""sizeof(sun_path) - 1."""

LONGEST_SOCKET_NAME = "mailbox-1023-999999.sock"

INCARNATIONS_PER_RUN = 1_000_000
"""Incarnations of a server's run begin at a multiple of this."""

_ANY_ADDRESS = frozenset({"", "0.0.0.0", "::"})


class RuntimeDir:
    """A locked runtime directory. Made by `claim`."""

    def __init__(self, path: Path, lock: int, run: int, address: str, *, after_crash: bool) -> None:
        self.path = path
        self.run = run
        """0 after an orderly end, else one more than the crashed server's."""
        self.after_crash = after_crash
        self._record = Record(os.getpid(), run, address)
        self._lock = lock
        """The folder's descriptor."""

    @classmethod
    def claim(cls, port: int, environ: Mapping[str, str] = os.environ, *, address: str = "") -> Self:
        """Make (or take over) the folder for `port`, and clean it; `address` is the IP address that the server listens on.

        Raises StartError when there is none that is ours to use.
        """
        for name in _names(port, address):
            path = _base(environ, name) / name
            _make(path.parent)
            try:
                return cls._take(path, address)
            except LockHeldError:
                continue
            except LockContestedError:
                raise StartError(
                    f"the runtime directory {path} could not be locked: other servers keep starting and stopping there"
                ) from None
        record = read_record(path)
        raise StartError(refusal(port, None if record is None else record.pid))

    @classmethod
    def _take(cls, path: Path, address: str) -> Self:
        lock = lock_folder(path, lambda: _make(path))
        try:
            last = read_record(path)
            run = 0 if last is None else last.run + 1
            taken = cls(path, lock, run, address, after_crash=last is not None)
            write_record(path, taken._record)
            taken._remove_sockets()
        except OSError as error:
            os.close(lock)
            raise StartError(f"the runtime directory {path} cannot be prepared: {error.strerror}") from None
        return taken

    @property
    def last_incarnation(self) -> int:
        """Those of this run's workers come after it, and it after all those of a crashed predecessor."""
        return self.run * INCARNATIONS_PER_RUN

    def socket_path(self, name: str) -> str:
        """The path for a socket of this run: `name` must be unique within it."""
        return str(self.path / f"{name}-{self.run}.sock")

    def tell(self, control: str, urls: Sequence[str]) -> None:
        """Write down where the server is controlled and where clients find it, for those who look for it. Raises StartError."""
        self._record = self._record._replace(control=control, urls=tuple(urls))
        try:
            write_record(self.path, self._record)
        except OSError as error:
            raise StartError(f"the runtime directory {self.path} cannot be written: {error.strerror}") from None

    def restore(self) -> bool:
        """See that the folder is there, and ours; where somebody has removed it, make it again. Returns whether anything was
        made again. The sockets are their owners' to bind again.

        Raises OSError or StartError when that is not possible, or when the folder at our path is another server's.
        """
        if not is_at(self._lock, self.path):
            _make(self.path.parent)
            try:
                lock = lock_folder(self.path, lambda: _make(self.path))
            except LockHeldError:
                raise StartError(f"the runtime directory {self.path} now belongs to another server") from None
            except LockContestedError:
                raise StartError(f"the runtime directory {self.path} could not be locked") from None
            os.close(self._lock)
            self._lock = lock
        elif (self.path / RECORD).is_file():
            return False
        write_record(self.path, self._record)
        return True

    def release(self) -> None:
        """Remove the folder: an orderly end. What somebody else has removed already is no error."""
        try:
            if is_at(self._lock, self.path):
                self._remove_sockets()
                with contextlib.suppress(OSError):
                    (self.path / RECORD).unlink(missing_ok=True)
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


class Predecessor(NamedTuple):
    """A server that has a port, as its runtime directory tells of it."""

    folder: Path
    pid: int | None
    is_running: bool
    """Else it crashed: its workers may hold the port for some seconds more."""


def find_predecessor(port: int, address: str, environ: Mapping[str, str] = os.environ) -> Predecessor | None:
    """Who of us has a port at an IP address, since it is taken. It only looks."""
    found = None
    for name in _names(port, address):
        folder = _base(environ, name, tells=False) / name
        record = read_record(folder)
        if record is None or not _overlap(record.address, address):
            continue
        with contextlib.suppress(OSError):
            if is_locked(folder):
                return Predecessor(folder, record.pid, is_running=True)
            found = Predecessor(folder, record.pid, is_running=False)
    return found


def refusal(port: int, pid: int | None) -> str:
    """What a start is told whose port another server has."""
    holder = "" if pid is None else f" (pid {pid})"
    return f"another wspulse server{holder} uses port {port}; stop it or choose another --port"


def _names(port: int, address: str) -> tuple[str, ...]:
    """The folders that a server may have, the first that is free."""
    return (str(port), f"{port}@{address}") if address else (str(port),)


def _overlap(one: str, other: str) -> bool:
    return one == other or one in _ANY_ADDRESS or other in _ANY_ADDRESS


def _base(environ: Mapping[str, str], name: str, *, tells: bool = True) -> Path:
    named = environ.get("XDG_RUNTIME_DIR")
    if named:
        base = Path(named) / "wspulse"
        problem = _why_unusable(Path(named)) or _why_too_long(base / name)
        if problem is None:
            return base
        if tells:
            _logger.info("XDG_RUNTIME_DIR is not used", extra={"reason": problem})
    return Path(f"/tmp/wspulse-{os.geteuid()}")


def _why_unusable(folder: Path) -> str | None:
    if not folder.is_absolute():
        return f"{folder} is not an absolute path"
    try:
        status = folder.stat()
    except OSError as error:
        return f"{folder}: {error.strerror}"
    if not stat.S_ISDIR(status.st_mode):
        return f"{folder} is not a folder"
    if status.st_uid != os.geteuid():
        return f"{folder} belongs to user {status.st_uid}"
    if not os.access(folder, os.W_OK | os.X_OK):
        return f"{folder} cannot be written to"
    return None


def _why_too_long(folder: Path) -> str | None:
    length = len(os.fsencode(folder / LONGEST_SOCKET_NAME))
    if length > MAX_SOCKET_PATH_BYTES:
        return f"{folder} makes Unix socket paths {length} bytes long; the limit is {MAX_SOCKET_PATH_BYTES}"
    return None


def _make(folder: Path) -> None:
    """Make the folder, or see that the one that is there is ours alone."""
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        pass
    except OSError as error:
        raise StartError(f"the runtime directory {folder} cannot be created: {error.strerror}") from None
    try:
        status = folder.lstat()
    except FileNotFoundError:
        return  # gone again: taking the lock will fail and begin anew
    remedy = "remove it or set XDG_RUNTIME_DIR to a folder of your own"
    if not stat.S_ISDIR(status.st_mode):
        raise StartError(f"the runtime directory {folder} is not a folder; {remedy}")
    if status.st_uid != os.geteuid():
        raise StartError(
            f"the runtime directory {folder} belongs to user {status.st_uid}, not to user {os.geteuid()}; {remedy}"
        )
    if status.st_mode & 0o077:
        raise StartError(
            f"the runtime directory {folder} is accessible to other users (mode {stat.S_IMODE(status.st_mode):04o}); "
            f"run chmod 700 {folder}"
        )
