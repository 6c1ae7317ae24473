"""`SlowHandlers`: notices handlers that run longer than `slow_handler`, and so make their ids deaf.

One per runtime. It looks now and then at the inboxes whose async handlers run, and marks what they handle; what still has its
mark at the last of a few looks is told of, once. So a message costs no timer and no look at the clock, and a loop that was
blocked makes nobody slow. A handler that blocks the loop itself is not its matter: nothing looks then. It ends no handler.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Any, Protocol

__all__ = ["SlowHandlers"]

_LOOKS = 4
"""Within `slow_handler`: a handler is told of when it has run for that long, or up to a quarter longer."""


class Named(Protocol):
    @property
    def id(self) -> str: ...


class Handling(Protocol):
    """An inbox, as this sees it."""

    handling: Any
    """The entry of the mailbox whose handler is awaited: a callback, which has a `kind`, or a frame and its size. It may be
    replaced by anything; the inbox sets it anew for each entry."""

    @property
    def connection(self) -> Named: ...


class SlowHandlers:
    """See the module. `working` are the inboxes whose async handlers run now; `tell(callback, event, connection_id)`. Looks from
    its creation until `stop`, never where `slow_handler_s` is 0."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        working: Collection[Handling],
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
            handling = inbox.handling
            if not isinstance(handling, _Seen):
                inbox.handling = _Seen(handling)
                continue
            handling.looks += 1
            if handling.looks == _LOOKS:
                self._tell(*_named(handling.item), inbox.connection.id)


class _Seen:
    """The mark: what is handled, and how many looks ago that was found."""

    __slots__ = ("item", "looks")

    def __init__(self, item: Any) -> None:
        self.item = item
        self.looks = 0


def _named(item: Any) -> tuple[str, str]:
    """Which callback it is, and of which event."""
    kind = getattr(item, "kind", None)
    return (kind, "") if kind is not None else ("on_message", item[0].event)
