"""`Closing`: how a shard ends: the drain, and `server.close()` from anywhere, the handlers of its own sessions included.

One per runtime. A session whose handler closes the server waits for the end, and the end does not wait for that handler:
such sessions are the *closers*. With a supervisor the first call only asks it to close the server, since the other shards
are to end too; it answers with the order to drain. What a shard consists of is taken apart by the runtime, behind this.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import Any, Protocol

from wspulse.actors.accept.acceptor import Acceptor
from wspulse.actors.accept.http_app import HttpApplication
from wspulse.actors.accept.listener import Listener
from wspulse.actors.mesh.lifecycle import CloseRequested
from wspulse.actors.mesh.mailbox import Mailbox
from wspulse.actors.mesh.message import Message
from wspulse.actors.moving.drain import Drain
from wspulse.actors.runtime.task_set import TaskSet
from wspulse.actors.sessions.inbox import Inbox, calling_inbox
from wspulse.actors.sessions.shard import CANCELLED_S, Shard
from wspulse.actors.values.options.kinds import Duration

__all__ = ["PATIENCE_S", "Closing", "checked_patience"]

PATIENCE_S = 10.0
"""How long the callbacks of a server that a program runs by itself may take at its end."""


_LAST_CALLBACK_S = 2.0
"""How long the handler that called `server.close()` may still run when all else has ended."""

_HTTP_SHARE = 0.7
"""Of the time that a worker has to end: what is left is for the lifespan of the HTTP application."""


def checked_patience(patience_s: float) -> float:
    """Raises ValueError for what is none."""
    try:
        return Duration(0, 3600).checked(patience_s)
    except ValueError as error:
        raise ValueError(f"wspulse: patience_s: {error}") from None


class Watch(Protocol):
    """What ticks beside the shard's own ticker."""

    def stop(self) -> None: ...


class Closing:
    """See the module. Without `listeners` an ASGI server brings the connections; without `tell_supervisor` this is the
    server's only shard."""

    def __init__(
        self,
        shard: Shard,
        acceptor: Acceptor,
        *,
        listeners: Sequence[Listener],
        mailbox: Mailbox | None,
        http: HttpApplication | None,
        tell_supervisor: Callable[[Message], None] | None,
        drain_s: float,
        watches: Collection[Watch],
        tasks: TaskSet,
    ) -> None:
        self.server_closing = False
        """Whether the whole server closes or has closed; not set where only this shard is replaced."""
        self._shard = shard
        self._acceptor = acceptor
        self._listeners = listeners
        self._mailbox = mailbox
        self._http = http
        self._tell_supervisor = tell_supervisor
        self._http_patience_s = drain_s * _HTTP_SHARE
        self._watches = watches
        self._tasks = tasks
        self._closers: Counter[Inbox] = Counter()
        """With each, how many of its handler's calls wait."""
        shard.cancellations.exempt = self._closers
        self._closer: asyncio.Task[Any] | None = None
        """The task that closed the server first: a request of the HTTP application, perhaps."""
        self._closed: asyncio.Future[None] | None = None
        self._is_over = False

    async def drain(self, *, server_closes: bool = True, restarts: bool = False, spread_s: float = 0.0) -> None:
        """Accept no more, end every session with 1001, or 1012 where the server `restarts`, within `spread_s`, and wait for
        their callbacks and their peers' close frames.

        Where only this shard is replaced (`server_closes` is False) it is deaf from here on: upgrades that other shards
        hand over wait for the replacement instead of being refused, and the last callbacks may still broadcast.
        """
        self.server_closing = self.server_closing or server_closes
        if self._mailbox is not None and not server_closes:
            self._mailbox.leave_descriptors()
        self._acceptor.close()
        if not server_closes and self._mailbox is not None:
            self._mailbox.close()
        self._shard.close_all(Drain(self._shard, spread_s=spread_s, restarts=restarts).close)
        requests = (
            self._tasks.spawn(self._http.drain(self._http_patience_s, self._closer)) if self._http is not None else None
        )
        # Those who are refused are the shard's to wait for.
        await self._acceptor.quiet()
        await self._shard.quiet(self._closers)
        if requests is not None:
            await requests

    async def drain_within(
        self, patience_s: float, *, server_closes: bool = True, restarts: bool = False, spread_s: float = 0.0
    ) -> None:
        """`drain`, for so long; then cancel the handlers that still run, and wait a second for the callbacks behind them."""
        try:
            async with asyncio.timeout(patience_s) as timeout:
                await self.drain(server_closes=server_closes, restarts=restarts, spread_s=spread_s)
        except TimeoutError:
            if not timeout.expired():
                raise
            shard = self._shard
            # One that was called and has not begun would never be awaited.
            await asyncio.sleep(0)
            tasks = [task for inbox, task in shard.working.items() if inbox not in self._closers]
            shard.options.logger.warning(
                "handlers that are still running are cancelled",
                extra={"handlers": len(tasks), "patience_s": patience_s},
            )
            for task in tasks:
                task.cancel()
            try:
                async with asyncio.timeout(CANCELLED_S):
                    await shard.quiet(self._closers)
            except TimeoutError:
                pass

    async def close(self) -> None:
        """`server.close()`: the whole server, from any shard and from inside any handler. Returns when it has closed."""
        first = self._closed is None
        if self._closed is None:
            self._closed = asyncio.get_running_loop().create_future()
            self._closer = asyncio.current_task()
        caller = calling_inbox()
        if caller is not None:
            self._closers[caller] += 1
            self._shard.look_if_quiet()
        if first:
            self.server_closing = True
            if self._is_over:
                # Called from on_stop: nobody is left who would say that it has closed.
                self._closed.set_result(None)
            elif self._tell_supervisor is not None:
                self._tell_supervisor(CloseRequested())
            else:
                # In a task of its own: it ends newcomers too, and one of them may be the caller, in `connect`.
                self._tasks.spawn(self._close_alone(self._closed), self._shard.context.copy())
        try:
            await asyncio.shield(self._closed)
        except asyncio.CancelledError:
            if caller is not None:
                # Its handler goes on, and the end waits for it as for any other.
                self._closers[caller] -= 1
                if not self._closers[caller]:
                    del self._closers[caller]
            raise

    async def _close_alone(self, closed: asyncio.Future[None]) -> None:
        """Close the server's only shard."""
        try:
            # Nobody else holds the listeners here: what connects from now on is to be refused, not to wait in its queue.
            self._acceptor.close()
            for listener in self._listeners:
                listener.sock.close()
            await self.drain()
            if not self._listeners:
                # Under an ASGI server that speaks no lifespan to us nobody stops the runtime: let nothing tick on.
                for watch in self._watches:
                    watch.stop()
                if not self._closers:
                    await self._shard.abort()
        finally:
            if not closed.done():
                closed.set_result(None)

    async def release_closers(self) -> None:
        """The end of all else has come: accept nothing, and let those who closed the server return and end, within 2 s."""
        self.server_closing = self._is_over = True
        self._acceptor.close()
        if self._closed is not None and not self._closed.done():
            self._closed.set_result(None)
        if self._closers:
            try:
                async with asyncio.timeout(_LAST_CALLBACK_S):
                    await self._shard.quiet()
            except TimeoutError:
                pass
