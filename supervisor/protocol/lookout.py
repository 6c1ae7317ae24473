"""`Lookout`: ZeroMQ sockets in an event loop, without a future per message.

Created by whoever owns the sockets. It knows only when to look at them; what is there, the owner takes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import zmq

__all__ = ["Lookout"]


class Lookout:
    """Calls `look()` when there may be something to do with one of the sockets, from `open` until `close`.

    The descriptors of ZeroMQ tell of changes only, and any operation on a socket may use one up. So whoever operates on a
    socket calls `again()`, and `look` takes all there is or calls `again()` too.
    """

    def __init__(self, look: Callable[[], None], *sockets: zmq.Socket[bytes]) -> None:
        self.is_closed = False
        self._look = look
        self._sockets = sockets
        self._loop = asyncio.get_running_loop()
        self._is_due = False

    def open(self) -> None:
        for watched in self._sockets:
            self._loop.add_reader(watched.fileno(), self._now)
        self.again()

    def close(self) -> None:
        """To be called while the sockets are still open; they stay the owner's. Idempotent. The loop may be closed by then."""
        if not self.is_closed:
            self.is_closed = True
            if self._loop.is_closed():
                return
            for watched in self._sockets:
                self._loop.remove_reader(watched.fileno())

    def again(self) -> None:
        """Look in the next turn of the loop: once, however often this is called."""
        if not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._now)

    def _now(self) -> None:
        self._is_due = False
        if not self.is_closed:
            self._look()
