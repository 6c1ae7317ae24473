"""`Record`: the file in a runtime directory that says whose it is: which process, and where clients and control clients find it.

Written by the server that has the folder (`runtime_dir`), read by a server that starts and by commands that look for one.
Its lines are "<pid> <run> <address>", the control endpoint, and the URLs, one a line.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from wspulse.supervisor.premises.lock import is_locked

__all__ = ["RECORD", "Record", "RunningServer", "folders_of", "read_record", "running_servers", "write_record"]

RECORD = "lock"
"""The file's name."""

MOST_BYTES = 8192
"""More than any server writes there."""


class Record(NamedTuple):
    """What a file says."""

    pid: int | None
    run: int = 0
    address: str = ""
    """The IP address that it listens on."""
    control: str = ""
    """Its control endpoint, from the moment at which there is one."""
    urls: tuple[str, ...] = ()
    """Where clients find it."""


class RunningServer(NamedTuple):
    """A server of this user that runs on this machine."""

    folder: Path
    record: Record

    @property
    def port(self) -> int | None:
        """The port by which control clients find it; None where another server is found by that."""
        return int(self.folder.name) if self.folder.name.isdecimal() else None


def write_record(folder: Path, record: Record) -> None:
    """As a whole or not at all: a disk that is full must not cost the former record, which says what names are used."""
    whole, begun = folder / RECORD, folder / f"{RECORD}.new"
    first = f"{record.pid} {record.run} {record.address}".rstrip()
    lines = [first, record.control, *record.urls] if record.control else [first]
    file = os.open(begun, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        os.write(file, os.fsencode("\n".join(lines)) + b"\n")
        begun.rename(whole)
    except BaseException:
        begun.unlink(missing_ok=True)
        raise
    finally:
        os.close(file)


def read_record(folder: Path) -> Record | None:
    """What the file in a folder says; None where there is none, or an empty one, made just now, or another user's."""
    try:
        file = os.open(folder / RECORD, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        if os.fstat(file).st_uid != os.geteuid():
            return None
        lines = os.fsdecode(os.read(file, MOST_BYTES)).rstrip("\n").split("\n")
    except OSError:
        return None
    finally:
        os.close(file)
    words = lines[0].split()
    if not words:
        return None
    pid, run, address, *_ = *words, "", ""
    control, *urls = lines[1:] or [""]
    return Record(_number(pid), _number(run) or 0, address, control, tuple(urls))


def folders_of(environ: Mapping[str, str]) -> list[Path]:
    """The folders in which runtime directories may be, the first choice first."""
    folders = [Path(f"/tmp/wspulse-{os.geteuid()}")]
    if named := environ.get("XDG_RUNTIME_DIR"):
        folders.insert(0, Path(named) / "wspulse")
    return folders


def running_servers(environ: Mapping[str, str] = os.environ) -> list[RunningServer]:
    """The servers of this user that run now and can be found, by port. It only looks."""
    found = [server for folder in folders_of(environ) for server in _running_in(folder)]
    return sorted(found, key=lambda server: (server.port is None, server.port, server.folder.name))


def _running_in(base: Path) -> Iterator[RunningServer]:
    with contextlib.suppress(OSError):
        for folder in base.iterdir():
            with contextlib.suppress(OSError):
                if (record := read_record(folder)) is not None and is_locked(folder):
                    yield RunningServer(folder, record)


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() else None
