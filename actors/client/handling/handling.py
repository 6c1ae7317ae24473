"""`Handling`: the task of a line in which its handlers run, one frame after the other.

The transport puts into the inbox what it takes, and calls `wake`. A handler may wait as long as it likes, for a `call` of the
line too: the socket is read meanwhile, until the inbox is full.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from wspulse.actors.client.handling.cancellation import is_cancelled
from wspulse.actors.client.handling.handlers import Handler, Handlers
from wspulse.actors.client.handling.inbox import Inbox
from wspulse.actors.client.handling.unclaimed import Unclaimed
from wspulse.actors.values.awaitable import result_of
from wspulse.actors.values.errors import ReplyError, text_of
from wspulse.actors.values.frame import Frame

__all__ = ["Handling"]

_QUESTION = "wspulse:"
"""How the ids begin that a server asks with. Only these are answered: where an application passes frames on to a room, the
answers of all to each other's would never end."""

_ERROR = "wspulse.error"


class Handling:
    """`answer` sends a frame in the session of this token, if it lives; `has_taken` is called when the inbox has become
    smaller."""

    def __init__(
        self,
        inbox: Inbox,
        handlers: Handlers,
        *,
        answer: Callable[[Frame, str], None],
        has_taken: Callable[[], None],
    ) -> None:
        self.unclaimed = Unclaimed()
        self._inbox = inbox
        self._handlers = handlers
        self._answer = answer
        self._has_taken = has_taken
        self._woken = asyncio.Event()
        self._is_over = False
        self._error: Callable[[], Exception] | None = None

    def wake(self) -> None:
        """There is something in the inbox."""
        self._woken.set()

    def finish(self, error: Callable[[], Exception] | None) -> None:
        """Nothing more will come: `run` returns when all is handled, and whoever iterates gets `error`, or an end."""
        self._is_over, self._error = True, error
        self._woken.set()

    async def run(self) -> None:
        try:
            await self._run()
        finally:
            self.unclaimed.finish(self._error)

    async def _run(self) -> None:
        while True:
            item = self._inbox.take()
            if item is None:
                if self._is_over:
                    return
                self._woken.clear()
                await self._woken.wait()
                continue
            self._has_taken()
            handlers = self._handlers.of(item.frame.event)
            if not handlers and not item.is_news:
                handlers = self._handlers.of("*")
            if item.is_news:
                await self._handle_news(item.frame)
            elif handlers:
                await self._handle(handlers, item.frame, item.token)
            else:
                await self.unclaimed.put(item.frame)

    async def _handle(self, handlers: tuple[Handler, ...], frame: Frame, token: str) -> None:
        """All of them, one after the other. The first answer is the answer."""
        is_asked = frame.id.startswith(_QUESTION)
        for handler in handlers:
            try:
                payload = frame.decode(handler.type)
            except Exception as error:
                if is_asked:
                    is_asked = False
                    await self._answer_error(Frame(f"{frame.event}.error", text_of(error), frame.id), token)
                await self._tell("frame", error)
                continue
            try:
                answer = await result_of(handler.call(payload, frame))
                if answer is not None and is_asked:
                    self._answer(Frame(frame.event, answer, frame.id), token)
                    is_asked = False
            except (Exception, asyncio.CancelledError) as error:
                if is_cancelled(error):
                    raise
                if is_asked:
                    is_asked = False
                    told = error.payload if isinstance(error, ReplyError) else text_of(error)
                    await self._answer_error(Frame(f"{frame.event}.error", told, frame.id), token)
                    if isinstance(error, ReplyError):
                        continue
                await self._tell("handler", error)

    async def _answer_error(self, frame: Frame, token: str) -> None:
        try:
            self._answer(frame, token)
        except Exception as error:
            await self._tell("handler", error)

    async def _handle_news(self, frame: Frame) -> None:
        for handler in self._handlers.of(frame.event):
            try:
                await result_of(handler.call(frame.payload, frame))
            except (Exception, asyncio.CancelledError) as error:
                if is_cancelled(error):
                    raise
                if frame.event != _ERROR:  # one that raises over its own errors would never end
                    await self._tell("handler", error)

    async def _tell(self, kind: str, error: BaseException) -> None:
        """At once: before the next frame is handled."""
        await self._handle_news(Frame(_ERROR, {"kind": kind, "error": error}))
