"""`held`: a message that came for a session between two processes, kept and given to the actor anew when it is known where that
is.

Used by whoever hands messages to an actor: a reference within the process, a mailbox. What is held is answered in the order in
which it came, before anything that comes later; whoever waits for an answer may give up, and then nothing is done and nothing
kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from wspulse.actors.mesh.message import Message
from wspulse.actors.values.errors import InTransitError

__all__ = ["held"]


def held(
    message: Message, receive: Callable[[Message], Any], in_transit: InTransitError, loop: asyncio.AbstractEventLoop
) -> asyncio.Future[Any]:
    """A future of what `receive` will make of the message, which has raised `in_transit` for it. To cancel it withdraws the
    message."""
    return _Held(message, receive, in_transit, loop).outcome


class _Held:
    __slots__ = ("_inner", "_message", "_receive", "outcome")

    def __init__(
        self,
        message: Message,
        receive: Callable[[Message], Any],
        in_transit: InTransitError,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._message: Message | None = message
        self._receive = receive
        self._inner: asyncio.Future[Any] | None = None
        self.outcome: asyncio.Future[Any] = loop.create_future()
        self.outcome.add_done_callback(self._let_go)
        in_transit.wait(self._give)

    def _give(self) -> None:
        message = self._message
        if message is None or self.outcome.done():
            return
        try:
            result = self._receive(message)
        except InTransitError as again:
            again.wait(self._give)
        except (KeyboardInterrupt, SystemExit) as error:
            self.outcome.cancel()
            raise error
        except BaseException as error:
            self.outcome.set_exception(error)
        else:
            if isinstance(result, asyncio.Future):
                self._inner = result
                result.add_done_callback(self._answered)
            else:
                self.outcome.set_result(result)

    def _answered(self, inner: asyncio.Future[Any]) -> None:
        outcome = self.outcome
        if outcome.done():
            if not inner.cancelled():
                inner.exception()  # nobody is there to be told
        elif inner.cancelled():
            outcome.cancel()
        elif (error := inner.exception()) is not None:
            outcome.set_exception(error)
        else:
            outcome.set_result(inner.result())

    def _let_go(self, outcome: asyncio.Future[Any]) -> None:
        self._message = None
        if outcome.cancelled() and self._inner is not None:
            self._inner.cancel()
