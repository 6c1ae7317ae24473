"""`guarded`: uvicorn's protocol class with bounds, for a server that strangers may reach.

Made once by `serving`. There are at most so many connections; one that asks for nothing ends, and so does one that takes nothing
of what is written to it; heads of requests are bounded as the workers' are (`accept.http_heads`). It reads no HTTP itself.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from wspulse.actors.accept.http_heads import HeadBounds, bounded
from wspulse.actors.wire.answer import HTTPAnswer

__all__ = ["Guard", "guarded"]

MOST_CONNECTIONS = 256
FIRST_BYTE_S = 10.0
HEAD_S = 10.0
LOOK_S = 5.0
"""Between two looks at who takes nothing; one that has taken nothing between two of them is cut off."""


class Guard:
    """What the connections have in common."""

    def __init__(self) -> None:
        self.open: dict[_Guarded, int] = {}
        """With what waited to be written at the last look."""
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(LOOK_S, self._look)

    def end(self) -> None:
        """Cut all off."""
        if self._timer is not None:
            self._timer.cancel()
        for each in list(self.open):
            each.transport.abort()

    def _look(self) -> None:
        self.begin()
        for each, before in list(self.open.items()):
            now = each.transport.get_write_buffer_size()
            self.open[each] = now
            if now and before and now >= before:
                each.transport.abort()


def guarded(protocol_class: type[Any], guard: Guard) -> type[Any]:
    """The class of connections that are looked after by `guard`."""
    inner = bounded(protocol_class, HeadBounds(HEAD_S, _refuse))
    return type("GuardedProtocol", (_Guarded, inner), {"guard": guard})


class _Guarded(asyncio.Protocol):
    guard: Guard
    transport: asyncio.Transport
    loop: asyncio.AbstractEventLoop

    _is_let_in = False
    _first_byte: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        socket = cast("asyncio.Transport", transport)  # uvloop's is none by its type
        if len(self.guard.open) >= MOST_CONNECTIONS:
            socket.abort()
            return
        self._is_let_in = True
        self.guard.open[self] = 0
        self._first_byte = self.loop.call_later(FIRST_BYTE_S, socket.abort)
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        self._asks()
        super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._is_let_in:
            self._asks()
            self.guard.open.pop(self, None)
            super().connection_lost(exc)

    def _asks(self) -> None:
        if self._first_byte is not None:
            self._first_byte.cancel()
            self._first_byte = None


def _refuse(transport: asyncio.Transport, answer: HTTPAnswer) -> None:
    transport.write(answer.encode())
    transport.close()
