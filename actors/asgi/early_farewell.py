"""`EarlyFarewell`: says 1001 to the sessions of a mounted server before its ASGI server shuts down.

uvicorn ends its WebSockets (1012) before it tells the lifespan. One per mounted server: it puts itself before the handlers
that such an ASGI server has for SIGINT and SIGTERM, has the sessions drained, and then hands the signal on. It touches no
handler but those, and none outside of the main thread.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import Any

__all__ = ["EarlyFarewell"]

_FAREWELL_S = 4.0
"""How long the ASGI server's own shutdown waits for our close frames: the peers' answers take 3 s at most."""

_Handler = Callable[[int, FrameType | None], Any]


class EarlyFarewell:
    """See the module. `drain()` ends the sessions of whatever runtime there is then."""

    def __init__(self, drain: Callable[[], Awaitable[None]]) -> None:
        self._drain = drain
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._chained: dict[int, _Handler] = {}
        """The ASGI server's own handlers of signals that come to us first."""

    def renew(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """Nothing is said yet, and what is to be said is said in this loop."""
        self._loop = loop
        self._task = None

    def chain(self) -> None:
        """Come before the ASGI server's handlers, from now on."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGINT, signal.SIGTERM):
            theirs = signal.getsignal(number)
            if callable(theirs) and hasattr(getattr(theirs, "__self__", None), "should_exit"):
                self._chained[number] = theirs
                signal.signal(number, self._signalled)

    def unchain(self) -> None:
        """Give the ASGI server its handlers back, unless somebody has put others there meanwhile."""
        for number, theirs in self._chained.items():
            if signal.getsignal(number) == self._signalled:
                signal.signal(number, theirs)
        self._chained.clear()

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        theirs = self._chained[number]
        if self._task is not None or self._loop is None or self._loop.is_closed():
            theirs(number, frame)
        else:
            self._loop.call_soon_threadsafe(self._say, number, theirs)

    def _say(self, number: int, theirs: _Handler) -> None:
        if self._task is None and self._loop is not None:
            self._task = self._loop.create_task(self._drain_then(number, theirs))

    async def _drain_then(self, number: int, theirs: _Handler) -> None:
        try:
            async with asyncio.timeout(_FAREWELL_S):
                await self._drain()
        except TimeoutError:
            pass
        finally:
            theirs(number, None)
