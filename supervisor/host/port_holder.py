"""`port_holder`: which process listens on a port, as /proc tells it to this user.

Asked by `wspulse doctor` about a port that is taken. Of processes of other users, whose descriptors only root may see, nothing is
known.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from wspulse.supervisor.host.kernel_facts import fact_text

__all__ = ["port_holder"]

LISTENING = "0A"
"""TCP_LISTEN, as /proc/net/tcp writes it."""


def port_holder(port: int, root: Path = Path("/")) -> str | None:
    """Its name and pid; None where it cannot be seen. `root` is where /proc is."""
    wanted = {f"socket:[{inode}]" for inode in _inodes(port, root / "proc/net")}
    if not wanted:
        return None
    for process in sorted((root / "proc").glob("[0-9]*"), key=lambda folder: int(folder.name)):
        if any(target in wanted for target in _descriptors(process)):
            return f"{fact_text(process / 'comm').strip() or 'a process'} (pid {process.name})"
    return None


def _inodes(port: int, folder: Path) -> Iterator[str]:
    """Of the sockets that listen there."""
    for name in ("tcp", "tcp6"):
        for line in fact_text(folder / name).splitlines()[1:]:
            fields = line.split()  # number, local address, remote address, state, …, inode in the tenth
            if len(fields) > 9 and fields[3] == LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                yield fields[9]


def _descriptors(process: Path) -> Iterator[str]:
    try:
        for entry in (process / "fd").iterdir():
            try:
                yield os.readlink(entry)  # noqa: PTH115 - a Path would tidy the name, which is none of a file
            except OSError:
                continue  # closed meanwhile
    except OSError:
        return  # another's, or it has ended
