"""`OpenEnds`: the connections that a proxy has under way, so that none outlives it.

A connection that was closed with something unsent stays open for as long as its peer does not read.
"""

from __future__ import annotations

import asyncio

__all__ = ["OpenEnds"]


class OpenEnds:
    """See the module."""

    def __init__(self) -> None:
        self._ends: list[asyncio.StreamWriter] = []

    def add(self, end: asyncio.StreamWriter) -> None:
        self._ends.append(end)

    async def abort(self) -> None:
        """Cut all of them, and return when they are closed."""
        for end in self._ends:
            end.transport.abort()
        await asyncio.gather(*(end.wait_closed() for end in self._ends), return_exceptions=True)

    def most_unsent_bytes(self) -> int:
        """Of what was written to one of them."""
        return max((end.transport.get_write_buffer_size() for end in self._ends), default=0)
