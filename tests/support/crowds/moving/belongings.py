"""What a server takes of the machine: processes, threads, descriptors, memory, and files in its runtime directory."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.support.processes.server_process import ServerProcess

__all__ = ["Belongings"]

SETTLED_WITHIN_S = 15.0
"""A worker that was replaced ends when its last sockets have; the bus closes what it has left after a while."""

MEMORY_SHARE = 1.15
MEMORY_BYTES = 20 * 2**20
"""So much more may be what allocators keep."""


@dataclass(frozen=True)
class Belongings:
    processes: int
    threads: int
    descriptors: int
    files: int
    supervisor_bytes: int
    all_bytes: int

    @classmethod
    def now(cls, server: ServerProcess) -> Belongings:
        processes = [psutil.Process(pid) for pid in sorted(server.pids())]
        memory = {each.pid: each.memory_info().rss for each in processes}
        return cls(
            processes=len(processes),
            threads=sum(each.num_threads() for each in processes),
            descriptors=sum(each.num_fds() for each in processes),
            files=len(_files(server)),
            supervisor_bytes=memory.get(server.pid, 0),
            all_bytes=sum(memory.values()),
        )

    def grown(self, server: ServerProcess) -> list[str]:
        """What the server has more of, when it has come to rest."""
        until = time.monotonic() + SETTLED_WITHIN_S
        while True:
            try:
                more = self._more(Belongings.now(server))
            except psutil.NoSuchProcess:
                more = ["a process that has just ended"]
            if not more or time.monotonic() > until:
                return more
            time.sleep(0.2)

    def _more(self, later: Belongings) -> list[str]:
        more = [
            f"{name}: {getattr(later, name)}, {getattr(self, name)} before"
            for name in ("processes", "threads", "descriptors", "files")
            if getattr(later, name) > getattr(self, name)
        ]
        for name in ("supervisor_bytes", "all_bytes"):
            before, now = getattr(self, name), getattr(later, name)
            if now > before * MEMORY_SHARE + MEMORY_BYTES:
                more.append(f"{name}: {now:,}, {before:,} before")
        return more


def _files(server: ServerProcess) -> list[str]:
    """Of its runtime directory, which is where its control socket is."""
    if server.control is None:
        return []
    folder = Path(server.control.removeprefix("ipc://")).parent
    return sorted(os.listdir(folder))  # noqa: PTH208
