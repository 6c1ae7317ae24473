"""`claim` and `claim_listener`: a listening socket of a server, also right behind a crash of the last one, whose workers hold the
port for some seconds more.

Called by `open_listeners`, for each. Who does not get the port has touched nothing of who has it, but for workers that nobody
supervises and that cannot end by themselves.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from typing import TypeVar

from wspulse.supervisor.errors import StartError
from wspulse.supervisor.premises.listeners.listen_socket import AddressTakenError, open_listener
from wspulse.supervisor.premises.orphans import Orphans
from wspulse.supervisor.premises.runtime_dir import find_predecessor, refusal

__all__ = ["claim", "claim_listener"]

ADDRESS_RETRY_S = 6.0
"""A crashed server's workers hold its port until they have noticed, 5 s at most (contract §6)."""

ADDRESS_RETRY_PERIOD_S = 0.1

ORPHANS_PERIOD_S = 1.0
"""Between two looks at whether those workers can notice anything at all; and how long a killed one may be on its way out."""


Opened = TypeVar("Opened")


async def claim_listener(
    host: str, port: int, is_over: Callable[[], bool], *, takes_ipv4: bool = True
) -> socket.socket | None:
    """None when the end comes first. Raises StartError."""
    return await claim(lambda: open_listener(host, port, takes_ipv4=takes_ipv4), port, is_over)


async def claim(open_it: Callable[[], Opened], port: int, is_over: Callable[[], bool]) -> Opened | None:
    """What `open_it` opens for the server of this port, as soon as it can; it raises AddressTakenError while somebody listens
    there. None when the end comes first. Raises StartError."""
    deadline = time.monotonic() + ADDRESS_RETRY_S
    orphans: Orphans | None = None
    look_at = 0.0
    while not is_over():
        try:
            return open_it()
        except AddressTakenError as error:
            predecessor = find_predecessor(port, error.address)
            if predecessor is None:
                raise
            if predecessor.is_running:
                raise StartError(refusal(port, predecessor.pid)) from None
            now = time.monotonic()
            is_late = now >= deadline
            if is_late or now >= look_at:
                look_at = now + ORPHANS_PERIOD_S
                orphans = orphans or Orphans(predecessor.folder)
                # Until then those that can may end in order.
                if orphans.end(only_stopped=not is_late):
                    deadline = max(deadline, now + ORPHANS_PERIOD_S)
                elif is_late:
                    raise
        await asyncio.sleep(ADDRESS_RETRY_PERIOD_S)
    return None
