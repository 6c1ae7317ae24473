"""`python -m tests.support.cluster.host_process URL NAME FILE`: a member in a process of its own, until its input ends.

Its lease is in the file of that descriptor. It prints "joined", and then "lost" and "regained" as it is told.
"""

from __future__ import annotations

import asyncio
import sys

from tests.support.cluster.hosts_stage import Host, connected, host_info
from wspulse.supervisor.host.shared_file import SharedFile

__all__: list[str] = []


async def main(url: str, name: str, file: str) -> None:
    host = Host(await connected(url), host_info(name), file=SharedFile(int(file)))
    host.membership.lost = lambda: print("lost", flush=True)
    host.membership.regained = lambda: print("regained", flush=True)
    await host.join()
    print("joined", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await host.end()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
