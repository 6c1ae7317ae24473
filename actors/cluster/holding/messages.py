"""`HeldMessages`: what clients send waits here while it is not known whose their sessions' ids are.

One per shard, in front of the application's `on_message`, where there is one. While the host's lease is over others may have the
ids of its sessions: a message that is handled then may be one of a session that has gone on, or ended, elsewhere. Those behind it
wait in the mailbox, and soon the client's socket is not read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from wspulse.actors.sessions.connections.local_connection import LocalConnection
from wspulse.actors.sessions.inbox import Inbox
from wspulse.actors.sessions.shard import Shard
from wspulse.actors.values.frame import Frame
from wspulse.actors.values.timing.running_handler import running_handler

__all__ = ["HeldMessages"]

_NOT_YET = -(1 << 62)
"""Looks at a handler that has not begun: it is neither slow nor late."""


class HeldMessages:
    """See the module. `may_decide()` says whether the ids are known to be ours."""

    def __init__(self, shard: Shard, may_decide: Callable[[], bool]) -> None:
        self._may_decide = may_decide
        self._loop = shard.loop
        self._held: dict[Inbox, asyncio.Future[bool]] = {}
        """By inbox, of which each has one message here; and whether that is to be handled."""
        if shard.handlers.on_message is not None:
            self._handle = shard.handlers.on_message
            shard.handlers.on_message = self._take

    def go_on(self) -> None:
        """Have all that waits handled; ids that are another's have been dropped before."""
        self._settle(list(self._held.values()), is_handled=True)

    def drop(self, inbox: Inbox) -> None:
        """Its id is another's: nothing that its client has sent is handled."""
        Inbox.discard_frames(inbox)  # also what an exact session would handle in any case
        if (held := self._held.get(inbox)) is not None:
            self._settle([held], is_handled=False)

    @staticmethod
    def _settle(futures: list[asyncio.Future[bool]], *, is_handled: bool) -> None:
        for future in futures:
            if not future.done():
                future.set_result(is_handled)

    def _take(self, connection: LocalConnection, frame: Frame) -> Any:
        if self._may_decide():
            return self._handle(connection, frame)
        return self._wait(connection, frame)

    async def _wait(self, connection: LocalConnection, frame: Frame) -> None:
        inbox = connection._session.inbox
        mark = running_handler(inbox)
        while not self._may_decide():
            held = self._held[inbox] = self._loop.create_future()
            if mark is not None:
                mark.slow_looks = mark.late_looks = _NOT_YET
            try:
                if not await held:
                    return
            finally:
                del self._held[inbox]
        if mark is not None:
            mark.slow_looks = mark.late_looks = -1
        result = self._handle(connection, frame)
        if result is not None and hasattr(result, "__await__"):
            await result
