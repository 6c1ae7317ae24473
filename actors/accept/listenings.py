"""`Listenings`: all that one worker accepts from, as one.

Made by the acceptor each time that it begins to listen. A connection is told to each of them, since all take descriptors from the
same few.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from wspulse.actors.accept.listening import Listening

__all__ = ["Listenings"]


class Listenings:
    """See the module. What is told for each connection, `took(client)` and `opened(number)`, goes straight to the only one where
    there is one, as most often."""

    def __init__(self, each: Sequence[Listening]) -> None:
        self.each = each
        self.took: Callable[[asyncio.BaseTransport], None] = each[0].took if len(each) == 1 else self._all_took
        self.opened: Callable[[int], None] = each[0].opened if len(each) == 1 else self._all_opened

    async def open(self) -> None:
        """Raises OSError when it cannot listen."""
        for listening in self.each:
            await listening.open()

    def begin(self) -> None:
        for listening in self.each:
            listening.begin()

    def close(self) -> None:
        for listening in self.each:
            listening.close()

    def rest(self, seconds: float) -> None:
        for listening in self.each:
            listening.rest(seconds)

    def _all_took(self, client: asyncio.BaseTransport) -> None:
        for listening in self.each:
            listening.took(client)

    def _all_opened(self, number: int) -> None:
        for listening in self.each:
            listening.opened(number)
