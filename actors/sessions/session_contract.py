"""What a session needs of its shard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from wspulse.actors.journal.journal import Journal
from wspulse.actors.sessions.connections.connection import Connection
from wspulse.actors.sessions.inbox import Inbox
from wspulse.actors.sessions.inbox_contract import InboxShard
from wspulse.actors.sessions.room import RoomMember
from wspulse.actors.sessions.rooms.further import RoomEntrance
from wspulse.actors.sessions.state import SessionEvent
from wspulse.actors.sessions.transfer.transit import Transit
from wspulse.actors.transport.writing import Writing
from wspulse.actors.values.frame import Frame
from wspulse.actors.values.options.server_options import ServerOptions

__all__ = ["Flushable", "SessionShard"]

S = TypeVar("S", bound=RoomMember)
"""The session: a parameter, so that this file need not import it."""


class Flushable(Protocol):
    def flush(self) -> None: ...


class SessionShard(InboxShard[Inbox], Protocol[S]):
    """What a session and its connection need of their shard."""

    options: ServerOptions
    journal: Journal
    origin: int
    thread: int
    """The loop's, in which alone a session may be touched."""
    encode: Callable[[Frame], bytes]
    """A frame in wire form. Raises what the codec raises."""
    writing: Writing
    """Where what is written is kept before."""
    large_frame_bytes: int
    """What is written at once, and not at the end of the turn: so the frames of one turn never exceed a send buffer."""

    @property
    def room_table(self) -> RoomEntrance[S]:
        """The rooms of the shard."""

    resumable: Callable[[Connection], bool] | None
    """Whose sessions have the resume window; None: all."""

    @property
    def clock(self) -> Callable[[], float]: ...

    @property
    def at(self) -> Callable[[float, Callable[[float], None]], None]:
        """Have `call(now)` called at a time or a little later; it cannot be cancelled."""

    def schedule(self, item: Flushable) -> None:
        """Have `item.flush()` called at the end of this loop turn."""

    def start_window(self, session: S, window_s: float) -> None:
        """Have the resume window end the session after so long, unless something else happens first."""

    @property
    def transit(self) -> Transit | None:
        """Where sessions are that move; None while none do."""

    def session_ended(self, session: S, event: SessionEvent) -> None:
        """It leaves the table and the room; its callbacks are still on their way."""

    def close_session(self, session: S, code: int = 1000, reason: str = "") -> None:
        """End it as `connection.close()` does."""

    def publish_event(self, kind: str, session: S, error: BaseException | None = None) -> None: ...
