"""`AcceptRate`: connections are accepted no faster than `accept_rate` says; meanwhile they wait in the kernel's queue.

One for each listening of an acceptor with that limit. All workers accept from the same queue, so each has its share of the rate,
and what one does not use is not lost: who has used up its own leaves the next to the others. So nothing need be shared for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from wspulse.actors.values.timing.allowance import Allowance

__all__ = ["AcceptRate"]

_REST_S = 0.1
"""The least: to stop and to begin costs some 100 µs."""


class Resting(Protocol):
    """What accepts."""

    def took(self, client: asyncio.BaseTransport) -> None: ...
    def rest(self, seconds: float) -> None:
        """Accept nobody for so long."""


class AcceptRate:
    """See the module. `share()` is how many per second this worker may accept, by how many workers there are now; `limited()` is
    called when it has accepted so many; `clock` is in seconds."""

    def __init__(
        self,
        listening: Resting,
        share: Callable[[], float],
        limited: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        self._listening = listening
        self._share = share
        self._limited = limited
        self._clock = clock
        self._allowance = Allowance(share(), clock())

    def took(self, client: asyncio.BaseTransport) -> None:
        """A connection has come."""
        self._listening.took(client)
        now, allowance = self._clock(), self._allowance
        allowance.change(self._share(), now)
        allowance.take(1, now)
        if (wait_s := allowance.wait_s(1, now)) > 0:
            self._listening.rest(max(_REST_S, wait_s))
            self._limited()
