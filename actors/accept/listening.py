"""`Listening`: a listening socket that all workers share, of IP or a Unix one, for as long as this one has descriptors for what
comes.

One per listener of an acceptor. A loop that meets the limit of open descriptors in the midst of accepting helps nobody:
uvloop's accepts and drops connections that another worker has a place for, and asyncio's logs thousands of lines. So it takes
none any more when the limit is near, and looks again a moment later; meanwhile they are others', or wait. What is left is for
whatever else the worker opens. It knows nothing of what becomes of a connection, and never closes one.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from contextlib import suppress
from logging import Logger
from resource import RLIM_INFINITY, RLIMIT_NOFILE, getrlimit
from socket import socket
from ssl import SSLContext
from time import monotonic
from typing import Any

from wspulse.actors.values.log_limit import LogLimit

__all__ = ["Listening"]

_BACKLOG = 4096
"""To listen is to set this again, so it must be the size that the supervisor chose."""

_SPARE = 32
"""Descriptors that no connection takes from the queue: for handovers, links, and what the application opens. With a very low
limit a quarter of it, or nobody would be taken at all."""

_LOOK_EVERY = 8
"""Connections between two looks at how near the limit is."""

_LOOK_SELDOM = 64
"""As long as more than half of the descriptors are free."""

_TAKEN_PER_TURN = 4
"""By asyncio's loop, which has no other bound than the backlog that it is given, and tells of a connection two turns later: some
of `_SPARE` are left. uvloop takes one."""

_AGAIN_S = 0.1

_TLS_OPTIONS = ("ssl", "ssl_handshake_timeout", "ssl_shutdown_timeout")


class Listening:
    """See the module. Each connection is told of by `took` once it has its transport, or by `greeted`. `listener` stays the
    caller's. `tls`: what is spoken, how long a handshake may take, and how long the farewell. `owed()` is how many descriptors
    those who have come will need beside their own."""

    def __init__(
        self,
        listener: socket,
        greet: Callable[[], asyncio.BaseProtocol],
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
        logger: Logger,
        tls: tuple[SSLContext, float, float] | None = None,
        owed: Callable[[], int] = int,
    ) -> None:
        self._listener = listener
        self._tls: dict[str, Any] = {} if tls is None else dict(zip(_TLS_OPTIONS, tls, strict=True))
        self._greet = greet
        self._owed = owed
        self._spawn = spawn
        self._logger = logger
        self._loop = asyncio.get_running_loop()
        self._server: asyncio.Server | None = None
        self._again: asyncio.TimerHandle | None = None
        self._until_look = _LOOK_EVERY
        self._near = _first_spare()
        """The first number that is too near to the limit, which was read when it mattered last."""
        self._has_been_short = False
        """Then descriptors are counted, which is dearer: there may be some free only here and there, with low numbers."""
        self._log = LogLimit(burst=1)
        self._closed = False

    @property
    def is_open(self) -> bool:
        """Whether it takes connections at this moment."""
        return self._server is not None and self._again is None

    async def open(self) -> None:
        """Raises OSError when it cannot listen."""
        await self._listen(self._listener.dup())

    def begin(self) -> None:
        """The same in a while, and whenever it can."""
        self._try_again()

    def close(self) -> None:
        """Take no more; idempotent."""
        self._closed = True
        if self._again is not None:
            self._again.cancel()
        self._stop()

    def took(self, client: asyncio.BaseTransport) -> None:
        """A connection has come."""
        self._until_look -= 1
        if not self._until_look:
            self._until_look = _LOOK_EVERY
            self._look(client)

    def greeted(self) -> None:
        """A connection has come, which is in the midst of being accepted."""
        self._until_look -= 1
        if not self._until_look:
            self._until_look = _LOOK_EVERY
            # A server that is closed while it accepts drops what it has accepted.
            self._loop.call_soon(self._look_ahead)

    def opened(self, number: int) -> None:
        """A descriptor with this number was opened for a connection beside its own."""
        if number >= self._near and self.is_open:
            self._near = _first_spare()
            if number >= self._near:
                self._pause()

    def rest(self, seconds: float) -> None:
        """Take nobody for so long, and at least until there are descriptors."""
        if self.is_open:
            self._again = self._loop.call_later(seconds, self._try_again)
            self._hold()

    def _look(self, client: asyncio.BaseTransport) -> None:
        if not self.is_open:
            return
        self._near = _first_spare()
        if self._has_been_short:
            if not self._are_enough_free():
                self._pause()
            return
        # The kernel gives the lowest number that is free: before the first high one all high ones are free.
        number = _number_of(client)
        if number >= self._near:
            self._pause()
        elif number < self._near // 2:
            self._until_look = _LOOK_SELDOM

    def _look_ahead(self) -> None:
        if not self.is_open:
            return
        self._near = _first_spare()
        if self._has_been_short:
            is_near = not self._are_enough_free()
        else:
            is_near = _lowest_free(self._listener.fileno()) + _LOOK_EVERY + self._owed() >= self._near
        if is_near:
            self._pause()

    def _pause(self) -> None:
        self._has_been_short = True
        self.rest(_AGAIN_S)
        not_logged = self._log.admit(monotonic())
        if not_logged is not None:
            self._logger.warning(
                "nearly all file descriptors are in use; new connections go to other workers or wait",
                extra={"descriptor_limit": _limit(), "not_logged": not_logged},
            )

    def _hold(self) -> None:
        server = self._server
        if server is not None and isinstance(self._loop, asyncio.BaseEventLoop):
            # Once its server is closed it drops what it has accepted and not yet told of.
            self._loop.remove_reader(server.sockets[0].fileno())
        else:
            self._stop()

    def _stop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()

    def _are_enough_free(self) -> bool:
        return _are_free(self._listener.fileno(), _spare(_limit()) + _LOOK_EVERY + self._owed())

    def _try_again(self) -> None:
        self._again = None
        if self._are_enough_free():
            self._stop()
            self._spawn(self._listen(self._listener.dup()))
        else:
            self._again = self._loop.call_later(_AGAIN_S, self._try_again)

    async def _listen(self, sock: socket) -> None:
        """Take from `sock`, and own it."""
        is_asyncios = isinstance(self._loop, asyncio.BaseEventLoop)
        try:
            server = await self._loop.create_server(
                self._greet,
                sock=sock,
                backlog=_TAKEN_PER_TURN if is_asyncios else _BACKLOG,
                start_serving=False,
                **self._tls,
            )
        except BaseException:
            sock.close()
            raise
        if self._closed:
            server.close()
            return
        self._server = server
        await server.start_serving()
        if is_asyncios and not self._closed:
            sock.listen(_BACKLOG)


def _number_of(client: asyncio.BaseTransport) -> int:
    """Its descriptor's; -1 where it is gone already."""
    with suppress(OSError):
        taken = client.get_extra_info("socket")
        if taken is not None:
            return int(taken.fileno())
    return -1


def _lowest_free(fd: int) -> int:
    """The number that the next one will have; beyond all where there is none."""
    try:
        number = os.dup(fd)
    except OSError:
        return _limit()
    os.close(number)
    return number


def _limit() -> int:
    soft = getrlimit(RLIMIT_NOFILE)[0]
    return 1 << 62 if soft == RLIM_INFINITY else soft


def _spare(limit: int) -> int:
    return min(_SPARE, limit // 4)


def _first_spare() -> int:
    limit = _limit()
    return limit - _spare(limit)


def _are_free(fd: int, count: int) -> bool:
    """Whether this process may open so many more, found out with copies of `fd`: 20 µs."""
    copies: list[int] = []
    try:
        copies.extend(os.dup(fd) for _ in range(count))
    except OSError:
        return False
    finally:
        for copy in copies:
            os.close(copy)
    return True
