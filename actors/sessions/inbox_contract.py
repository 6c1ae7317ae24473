"""What an inbox needs of its shard and of its session."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, Protocol, TypeVar

from wspulse.actors.sessions.connections.connection import Connection
from wspulse.actors.sessions.handlers import Handlers
from wspulse.actors.sessions.patience.cancellations import Cancellations
from wspulse.actors.transport.transport import Transport
from wspulse.actors.values.close_code import CloseRow
from wspulse.actors.values.frame import Frame
from wspulse.actors.values.metrics import Metrics

__all__ = ["InboxSession", "InboxShard", "Predecessor"]

AnyInbox_contra = TypeVar("AnyInbox_contra", contravariant=True)
AnyInbox = TypeVar("AnyInbox")
"""The inbox: a parameter, so that this file need not import it."""


class Predecessor(Protocol[AnyInbox]):
    """The inbox of an earlier session of an id, or what stands for one of another host."""

    successor: AnyInbox | None
    """Whose callbacks wait for its last one."""

    @property
    def key(self) -> tuple[int, int]:
        """The session's birth key."""


class Halting(Protocol[AnyInbox_contra]):
    def stops(self, inbox: AnyInbox_contra, /) -> bool:
        """Whether it calls no further handler; then it is no longer busy, unless everything ends."""

    def holds(self, inbox: AnyInbox_contra, /) -> bool:
        """Whether nothing more of what its client sends is to begin."""

    def disturbed(self, inbox: AnyInbox_contra, /) -> None:
        """A callback is about to wait that says what became of its socket."""


class InboxShard(Protocol[AnyInbox]):
    """What an inbox needs of its shard."""

    handlers: Handlers
    metrics: Metrics
    loop: asyncio.AbstractEventLoop
    context: Context
    """In which nothing of a session's is set: each session's own begins as a copy of it."""
    aborting: bool
    """Whether patience has ended: no handler begins any more."""

    @property
    def halting(self) -> Halting[AnyInbox] | None:
        """Says which inboxes must call no further handler; None: all may."""

    decode: Callable[[Any], Frame]
    decode_refused: Callable[[Any, Exception], Frame]
    """Takes what `decode` has raised at, with the error; raises that, or another."""
    keeps_kind: bool
    """Whether `decode` gets text as `str`."""
    wants_text: bool
    """Whether what the codec passes through may go out as text."""
    cancellations: Cancellations
    """What ends handlers that still run."""
    working: dict[AnyInbox, asyncio.Task[None]]
    """The tasks of those whose async handlers run."""

    def spawn(self, inbox: AnyInbox, work: Coroutine[Any, Any, None]) -> None:
        """Run a session's async handlers in a task, in its context; the task is kept in `working`."""

    def session_finished(self, inbox: AnyInbox) -> None:
        """Its last callback has run."""

    def callback_raised(self, connection: Connection, kind: str, error: BaseException) -> bool:
        """Returns whether it counts as an error: not where it only says that the session has ended."""

    def undecodable(self, connection: Connection, error: BaseException) -> None: ...

    def answer_dropped(self, connection: Connection) -> None:
        """A client answered what nobody waits for."""

    def rest_dropped(self, connection: Connection) -> None:
        """A frame of a lost transport was dropped, since too many wait."""


class InboxSession(Protocol):
    """What an inbox needs of its session."""

    @property
    def transport(self) -> Transport | None: ...

    @property
    def key(self) -> tuple[int, int]:
        """Its birth key."""

    def transport_failed(self, error: BaseException, close: CloseRow) -> None:
        """End the transport, telling the peer why."""

    def finished(self) -> None:
        """The last callback has run: nothing more comes to the inbox."""
