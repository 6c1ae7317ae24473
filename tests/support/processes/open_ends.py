"""`OpenEnds`: the connections that a proxy has under way, so that none outlives it.

A connection that was closed with something unsent stays open for as long as its peer does not read.
"""

from __future__ import annotations

import asyncio
from weakref import WeakSet

__all__ = ["OpenEnds"]


class OpenEnds:
    """Of connections that are over it forgets."""

    def __init__(self) -> None:
        self._ends: WeakSet[asyncio.StreamWriter] = WeakSet()

    def add(self, end: asyncio.StreamWriter) -> None:
        self._ends.add(end)

    async def abort(self) -> None:
        """Cut all of them, and return when they are closed."""
        ends = list(self._ends)
        for end in ends:
            end.transport.abort()
        await asyncio.gather(*(end.wait_closed() for end in ends), return_exceptions=True)
