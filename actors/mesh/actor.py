"""`ActorRef`: how an actor is reached, wherever it lives.

Guarantee: what one sender tells or asks one actor arrives in the order of the calls. An ask is answered once: with the
result, or with an error; a dead actor answers with ShardUnavailableError, never with silence. Nothing is executed after its
caller was told that it failed. A tell has no answer and is lost with the actor.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from wspulse.actors.mesh.message import Message

__all__ = ["ASK_TIMEOUT_S", "ActorRef", "LocalRef", "MessageTaker"]

ASK_TIMEOUT_S = 5.0
"""contract.md §4: calls that cross shards have a deadline."""

MessageTaker = Callable[[Message], Any]
"""An actor's way of taking a message: returns the result or a future of it, or raises a WspulseError."""


class ActorRef(Protocol):
    def tell(self, message: Message) -> None: ...

    async def ask(self, message: Message, *, timeout_s: float | None = ASK_TIMEOUT_S) -> Any: ...


class LocalRef:
    """An actor of this process: it takes the message at once."""

    __slots__ = ("_receive",)

    def __init__(self, receive: MessageTaker) -> None:
        self._receive = receive

    def tell(self, message: Message) -> None:
        self._receive(message)

    async def ask(self, message: Message, *, timeout_s: float | None = ASK_TIMEOUT_S) -> Any:
        result = self._receive(message)
        if isinstance(result, asyncio.Future):
            async with asyncio.timeout(timeout_s):
                return await result
        return result
