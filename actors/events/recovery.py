"""`recovery`: middleware that keeps a connection when a handler raises."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from logging import Logger, getLogger
from time import monotonic
from typing import Any

from wspulse.actors.events.context import Context, InvalidPayloadError
from wspulse.actors.sessions.connections.connection import is_own_end
from wspulse.actors.values.awaitable import is_awaitable
from wspulse.actors.values.errors import ReplyError
from wspulse.actors.values.log_limit import LogLimit, shortened

__all__ = ["recovery"]


def recovery(
    on_error: Callable[[Context, Exception], Any] | None = None, *, logger: Logger | None = None
) -> Callable[[Context], Awaitable[None] | None]:
    """Middleware that logs what the chain behind it raises, with the traceback, and keeps the connection open.

    Put it first: it covers what comes after it. `on_error(context, error)`, sync or async, is also called, to answer the
    client; what it raises is not caught. The rest of the chain is skipped. At most five errors in ten seconds are logged, the
    others counted (`not_logged`). These pass: InvalidPayloadError, which `on_invalid` answers; ReplyError, which is an
    answer; CancelledError; and ConnectionClosedError of the connection's own session, which has ended.
    """
    if on_error is not None and not callable(on_error):
        raise TypeError(f"wspulse: recovery: {on_error!r} is not callable")
    return _Recovery(on_error, logger or getLogger("wspulse"))


class _Recovery:
    """A class, and not a coroutine function, so that a chain without async steps stays without a task."""

    def __init__(self, on_error: Callable[[Context, Exception], Any] | None, logger: Logger) -> None:
        self._on_error = on_error
        self._logger = logger
        self._limit = LogLimit()

    def __call__(self, context: Context) -> Awaitable[None] | None:
        try:
            pending = context.advance()
        except (InvalidPayloadError, ReplyError):
            raise
        except Exception as error:
            if is_own_end(error, context.connection):
                raise
            return self._recovered(context, error)
        return None if pending is None else self._watch(context, pending)

    async def _watch(self, context: Context, pending: Awaitable[Any]) -> None:
        try:
            value = await pending
            if value is not None:
                context.answer(value)
        except (InvalidPayloadError, ReplyError):
            raise
        except Exception as error:
            if is_own_end(error, context.connection):
                raise
            answering = self._recovered(context, error)
            if answering is not None:
                await answering

    def _recovered(self, context: Context, error: Exception) -> Awaitable[None] | None:
        suppressed = self._limit.admit(monotonic())
        if suppressed is not None:
            self._logger.error(
                "handler raised",
                exc_info=error,
                extra={
                    "event": shortened(context.frame.event),
                    "connection_id": context.connection.id,
                    "not_logged": suppressed,
                },
            )
        if self._on_error is None:
            return None
        answering = self._on_error(context, error)
        return answering if is_awaitable(answering) else None
