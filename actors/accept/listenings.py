"""`Listenings`: all that one worker accepts from, as one.

Made by the acceptor each time that it begins to listen. A connection is told to each of them, since all take descriptors from the
same few.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from wspulse.actors.accept.listening import Listening

__all__ = ["Listenings"]


class Listenings:
    """See the module. With one, which is most often, its methods stand at the place of these."""

    def __init__(self, each: Sequence[Listening]) -> None:
        self.each = each
        if len(each) == 1:
            self.took, self.opened = each[0].took, each[0].opened  # type: ignore[method-assign]

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

    def took(self, client: asyncio.BaseTransport) -> None:
        for listening in self.each:
            listening.took(client)

    def opened(self, number: int) -> None:
        for listening in self.each:
            listening.opened(number)
