"""`KillTimer`: how long a worker that ends by itself may take.

One per `Child`, which says when it begins and what is done about a worker that is late. Where the supervisor stood still
meanwhile, what the worker has said is still unread, and it is given some seconds more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["KillTimer"]

OWN_DELAY_S = 1.0
"""A timer that comes later than this was held up by ourselves."""

MORE_S = 5.0


class KillTimer:
    """See the module. `kill` is called in the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, kill: Callable[[], None]) -> None:
        self._loop = loop
        self._kill = kill
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_set(self) -> bool:
        return self._timer is not None

    def set(self, seconds: float) -> None:
        """From now on; one that is set already is forgotten."""
        self.cancel()
        self._timer = self._loop.call_later(seconds, self._due, self._loop.time() + seconds)

    def cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _due(self, at: float) -> None:
        if self._loop.time() - at > OWN_DELAY_S:
            self.set(MORE_S)
        else:
            self._kill()
