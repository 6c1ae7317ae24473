"""`ActorRef`: how an actor is reached, wherever it lives.

Guarantee: what one sender tells or asks one actor arrives in the order of the calls. An ask is answered once: with the
result, or with an error; a dead actor answers with ShardUnavailableError, never with silence. Nothing is executed after its
caller was told that it failed. A tell has no answer and is lost with the actor.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from wspulse.actors.mesh.message import Message
from wspulse.actors.mesh.placing.held import held
from wspulse.actors.values.errors import InTransitError, SessionMovedError, ShardUnavailableError

__all__ = ["ASK_TIMEOUT_S", "ActorRef", "LocalRef", "MessageTaker"]

ASK_TIMEOUT_S = 5.0
"""contract §4: calls that cross shards have a deadline."""

MessageTaker = Callable[[Message], Any]
"""An actor's way of taking a message: returns the result or a future of it, or raises a WspulseError."""


class ActorRef(Protocol):
    def tell(self, message: Message) -> None: ...

    async def ask(self, message: Message, *, timeout_s: float | None = ASK_TIMEOUT_S) -> Any: ...


class LocalRef:
    """An actor of this process: it takes the message at once, or, for a session that is between two processes, as soon as it is
    known where that is. An ask that outlasts its time raises ShardUnavailableError."""

    __slots__ = ("_receive",)

    def __init__(self, receive: MessageTaker) -> None:
        self._receive = receive

    def tell(self, message: Message) -> None:
        try:
            self._receive(message)
        except InTransitError as in_transit:
            in_transit.wait(partial(self.tell, message))
        except SessionMovedError:
            pass  # a tell is lost with the actor

    async def ask(self, message: Message, *, timeout_s: float | None = ASK_TIMEOUT_S) -> Any:
        try:
            result = self._receive(message)
        except InTransitError as in_transit:
            result = held(message, self._receive, in_transit, asyncio.get_running_loop())
        if isinstance(result, asyncio.Future):
            try:
                async with asyncio.timeout(timeout_s) as patience:
                    return await result
            except TimeoutError:
                if patience.expired():
                    raise ShardUnavailableError("the request was not carried out in time") from None
                raise
        return result
