"""`Orphans`: workers and terminators of a server whose supervisor was killed, that have not ended by themselves.

Each notices its supervisor's end and is gone within 5 s, unless it was stopped (SIGSTOP, a debugger, a frozen container):
then it holds the port for as long as it stays so. Whose it is can be seen from outside: it holds a mailbox socket that was bound
in the runtime directory, which is the caller's by now, and its parent, which would be a living supervisor, holds none. Without
/proc nobody is found. Made by the supervisor where it finds its port taken.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
from collections.abc import Iterator, Set
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Orphan", "Orphans", "find_orphans", "mark"]

_logger = logging.getLogger("wspulse.supervisor")

PROC = Path("/proc")

MAILBOX = "mailbox-"
"""What the names of the shards' mailbox sockets begin with, and those of the marks of processes that have none."""


def mark(folder: Path, name: str) -> socket.socket:
    """A socket for nothing but that its process, which has no mailbox, can be told for one of this server, for as long as it is
    open. It leaves no file. `name` is nobody else's in the server."""
    path = folder / f"{MAILBOX}{name}.mark"
    path.unlink(missing_ok=True)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    made.bind(str(path))
    path.unlink()
    return made


@dataclass(frozen=True, slots=True)
class Orphan:
    """A process, and the mailbox sockets by which it was known."""

    pid: int
    is_stopped: bool
    """It cannot end by itself."""
    inodes: frozenset[str]


class Orphans:
    """Those of the dead server whose runtime directory was `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ended: set[int] = set()

    def end(self, *, only_stopped: bool) -> bool:
        """SIGKILL to those that are there, or to those of them that cannot end by themselves. Returns whether there was one
        that had not been sent it before."""
        ended = False
        for orphan in find_orphans(self._folder):
            if orphan.pid not in self._ended and (orphan.is_stopped or not only_stopped) and _kill(orphan):
                self._ended.add(orphan.pid)
                ended = True
                _logger.warning(
                    "a process of a killed server still held the port; it was killed too",
                    extra={"pid": orphan.pid, "is_stopped": orphan.is_stopped, "runtime_dir": str(self._folder)},
                )
        return ended


def find_orphans(folder: Path) -> list[Orphan]:
    """The processes of a dead server whose runtime directory was `folder`; none as long as its supervisor lives."""
    inodes = frozenset(_mailbox_inodes(folder))
    if not inodes:
        return []
    holders = {pid: held for pid in _own_processes() if (held := _held(pid, inodes))}
    found = []
    for pid, held in holders.items():
        try:
            state, parent = _state_and_parent(pid)
        except (OSError, ValueError):
            continue  # it has just ended
        if parent in holders:
            return []
        found.append(Orphan(pid, state in "Tt", held))
    return found


def _kill(orphan: Orphan) -> bool:
    """SIGKILL, if it still is the process that was found. Returns whether it was sent."""
    descriptor = None
    try:
        # Before the process is looked at again: from here on its number cannot become another one's.
        with contextlib.suppress(AttributeError, OSError):
            descriptor = os.pidfd_open(orphan.pid)
        if not _held(orphan.pid, orphan.inodes):
            return False
        if descriptor is None:
            os.kill(orphan.pid, signal.SIGKILL)
        else:
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    except OSError:
        return False
    finally:
        if descriptor is not None:
            os.close(descriptor)
    return True


def _mailbox_inodes(folder: Path) -> Iterator[str]:
    """Of all sockets that were bound there, also where the file is gone."""
    beginning = os.fsencode(folder / MAILBOX)
    try:
        lines = (PROC / "net" / "unix").read_bytes().splitlines()
    except OSError:
        return
    for line in lines:
        fields = line.split(maxsplit=7)  # number, references, protocol, flags, type, state, inode, path
        if len(fields) == 8 and fields[7].startswith(beginning):
            yield fields[6].decode()


def _own_processes() -> Iterator[int]:
    try:
        entries = list(PROC.iterdir())
    except OSError:
        return
    for entry in entries:
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            try:
                if entry.stat().st_uid == os.geteuid():
                    yield int(entry.name)
            except OSError:
                continue


def _held(pid: int, inodes: Set[str]) -> frozenset[str]:
    """Which of these sockets a process has open; none where we may not look."""
    held = set()
    try:
        for entry in (PROC / str(pid) / "fd").iterdir():
            try:
                name = os.readlink(entry)  # noqa: PTH115 - a Path would tidy the name, which is none of a file
            except OSError:
                continue  # closed meanwhile
            if name.startswith("socket:[") and name[8:-1] in inodes:
                held.add(name[8:-1])
    except OSError:
        return frozenset()
    return frozenset(held)


def _state_and_parent(pid: int) -> tuple[str, int]:
    # The name of the program, in parentheses, may contain anything.
    state, parent, *_ = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return state, int(parent)
