"""`begin_call`: sends a frame that asks for an answer, and waits for that, for its time, or for the session's end.

Called by a local connection, and by the dispatch for those of other shards. A suspension in between ends no call: the answer may
come through the next transport.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import Protocol, TypeVar

from wspulse.actors.sessions.asking.asking_inbox import AskingInbox, Waiting
from wspulse.actors.sessions.inbox import Inbox
from wspulse.actors.values.errors import ConnectionClosedError

__all__ = ["begin_call", "end_calls"]

_LEAST_S = 0.001
"""What is due within less is due."""

AnyShard = TypeVar("AnyShard", bound="CallShard", covariant=True)


class CallShard(Protocol):
    """What a call needs of the shard."""

    loop: asyncio.AbstractEventLoop
    context: Context

    @property
    def clock(self) -> Callable[[], float]: ...


class CallSession(Protocol[AnyShard]):
    """What a call needs of the session."""

    inbox: Inbox

    @property
    def shard(self) -> AnyShard: ...

    def send(self, wire: bytes) -> None: ...


def begin_call(session: CallSession[CallShard], call_id: str, wire: bytes, timeout_s: float) -> Waiting:
    """Returns what becomes the answer, None when `timeout_s` have passed, or ConnectionClosedError. Whoever waits may cancel it.
    Raises what `session.send` raises."""
    session.send(wire)
    inbox = session.inbox
    if not isinstance(inbox, AskingInbox):
        # A slot more and a look at it would be paid by every frame of every session.
        inbox.__class__ = AskingInbox
        assert isinstance(inbox, AskingInbox)
    waiting: Waiting = session.shard.loop.create_future()
    inbox.call_begins(call_id, waiting)
    _Deadline(session.shard, inbox, call_id, waiting, timeout_s)
    return waiting


def end_calls(inbox: Inbox, connection_id: str) -> None:
    """The session has ended, and with it all its calls."""
    for waiting in (inbox.asked or {}).values():
        if not waiting.done():
            waiting.set_exception(ConnectionClosedError(connection_id))


class _Deadline:
    """Ends a call when its time is over, in seconds in which the shard could serve; forgets it when it has ended."""

    __slots__ = ("_call_id", "_due", "_inbox", "_shard", "_timer", "_waiting")

    def __init__(self, shard: CallShard, inbox: AskingInbox, call_id: str, waiting: Waiting, timeout_s: float) -> None:
        self._shard = shard
        self._inbox = inbox
        self._call_id = call_id
        self._waiting = waiting
        self._due = shard.clock() + timeout_s
        self._timer = shard.loop.call_later(timeout_s, self._look, context=shard.context)
        waiting.add_done_callback(self._ended, context=shard.context)

    def _look(self) -> None:
        left_s = self._due - self._shard.clock()
        if left_s > _LEAST_S:
            # The loop was away: what has come meanwhile is read first.
            self._timer = self._shard.loop.call_later(left_s, self._look, context=self._shard.context)
        elif not self._waiting.done():
            self._waiting.set_result(None)

    def _ended(self, waiting: Waiting) -> None:
        self._timer.cancel()
        self._inbox.call_ends(self._call_id)
        if not waiting.cancelled():
            # Whoever waited may have been cancelled in the same moment.
            waiting.exception()
