"""`HandlerTimeouts`: finds the `on_message` handlers that run longer than `handler_timeout`, and has them cancelled.

One per runtime. It looks now and then at the inboxes whose async handlers run, as `SlowHandlers` does: a message costs no timer
and no look at the clock, and a loop that was blocked makes nobody late. A handler that blocks the loop itself cannot be
cancelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from contextvars import Context
from math import ceil

from wspulse.actors.sessions.patience.cancellations import Cancellable
from wspulse.actors.values.timing.running_handler import running_handler

__all__ = ["HandlerTimeouts"]

_LOOKS = 4
"""Within the timeout: a handler is cancelled when it has run for that long, or up to a quarter longer."""

_SHORTEST_PERIOD_S = 0.01
"""Between two looks, however short the timeout: then one is cancelled up to so much later."""


class HandlerTimeouts:
    """See the module. `working` are the inboxes whose async handlers run now; `cancel(inbox, error)` with what its handler's
    being late counts as. Looks from its creation until `stop`, never where `timeout_s` is 0."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        context: Context,
        working: Collection[Cancellable],
        timeout_s: float,
        cancel: Callable[[Cancellable, BaseException], None],
    ) -> None:
        self._loop = loop
        self._context = context
        self._working = working
        self._timeout_s = timeout_s
        self._period_s = max(timeout_s / _LOOKS, _SHORTEST_PERIOD_S)
        self._looks = ceil(timeout_s / self._period_s)
        self._cancel = cancel
        self._timer = loop.call_later(self._period_s, self._look, context=context) if timeout_s else None

    def stop(self) -> None:
        """Look no more; idempotent."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        self._timer = self._loop.call_later(self._period_s, self._look, context=self._context)
        for inbox in self._working:
            mark = running_handler(inbox)
            if mark is None:
                continue
            mark.late_looks += 1
            if mark.late_looks == self._looks:
                self._cancel(
                    inbox, TimeoutError(f"wspulse: on_message ran longer than handler_timeout ({self._timeout_s:g} s)")
                )
