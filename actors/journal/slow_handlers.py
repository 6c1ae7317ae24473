"""`SlowHandlers`: notices handlers that run longer than `slow_handler`, while the next frames of their connections wait.

One per runtime. It looks now and then at the inboxes whose async handlers run, and marks what they handle; what still has its
mark at the last of a few looks is told of, once. So a message costs no timer and no look at the clock, and a loop that was
blocked makes nobody slow. A handler that blocks the loop itself is not its matter: nothing looks then. It ends no handler.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Protocol

from wspulse.actors.values.timing.running_handler import Handling, running_handler

__all__ = ["SlowHandlers"]

_LOOKS = 4
"""Within `slow_handler`: a handler is told of when it has run for that long, or up to a quarter longer."""


class Named(Protocol):
    @property
    def id(self) -> str: ...


class Working(Handling, Protocol):
    """An inbox, as this sees it."""

    @property
    def connection(self) -> Named: ...


class SlowHandlers:
    """See the module. `working` are the inboxes whose async handlers run now; `tell(callback, event, connection_id)`. Looks from
    its creation until `stop`, never where `slow_handler_s` is 0."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        working: Collection[Working],
        slow_handler_s: float,
        tell: Callable[[str, str, str], None],
    ) -> None:
        self._loop = loop
        self._working = working
        self._period_s = slow_handler_s / _LOOKS
        self._tell = tell
        self._timer = loop.call_later(self._period_s, self._look) if slow_handler_s else None

    def stop(self) -> None:
        """Look no more; idempotent."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        self._timer = self._loop.call_later(self._period_s, self._look)
        for inbox in self._working:
            mark = running_handler(inbox)
            if mark is None:
                continue
            mark.slow_looks += 1
            if mark.slow_looks == _LOOKS:
                self._tell(mark.callback, mark.event, inbox.connection.id)
