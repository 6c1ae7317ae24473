"""`Halting`: brings sessions to rest, so that nothing of them runs or is under way but what travels.

Made by whoever moves sessions out of a shard, which has it meanwhile. First a session's socket is no longer read, then what
runs is waited for: a callback, a `join`, a `call` (whose answer is still read). What waits for its handler by then goes with
it; callbacks that wait run first. So it comes to rest within one handler, however much its client sends.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import UNSET, Raw

from wspulse.actors.sessions.inbox import Callback, Inbox
from wspulse.actors.sessions.session import Session
from wspulse.actors.sessions.state import SessionState
from wspulse.actors.values.frame import Frame, MsgpackFrame

__all__ = ["Aborting", "Halting", "can_travel"]


class Aborting:
    """Of a shard that ends: nobody would cancel or await a handler that begins."""

    __slots__ = ()

    def stops(self, _inbox: Inbox) -> bool:
        return True

    def holds(self, _inbox: Inbox) -> bool:
        return False

    def disturbed(self, _inbox: Inbox) -> None:
        """Nobody is told."""


class Halting:
    """See the module. `disturbed` is told where something happens to a session at rest."""

    __slots__ = ("_disturbed", "_inboxes")

    def __init__(self, disturbed: Callable[[Inbox], None]) -> None:
        self._inboxes: set[Inbox] = set()
        self._disturbed = disturbed

    def stops(self, inbox: Inbox) -> bool:
        """Asked by an inbox before it calls the next handler: whether it comes to rest instead."""
        mailbox = inbox._mailbox
        if inbox not in self._inboxes or not mailbox:
            return False
        transport = inbox._session.transport
        if transport is not None and transport.half_closed:
            # It cannot move, and its peer waits for answers for a moment only.
            return False
        if any(isinstance(item, Callback) or not can_travel(item[0]) for item in mailbox):
            return False
        inbox._busy = False
        return True

    def holds(self, inbox: Inbox) -> bool:
        """Whether nothing more of what its client sends is to begin, from whatever socket."""
        return inbox in self._inboxes

    def disturbed(self, inbox: Inbox) -> None:
        """A callback of it is about to wait: its socket was lost, or its client is back."""
        self._disturbed(inbox)

    def halt(self, session: Session) -> None:
        """Begin nothing more of what its client sends."""
        self._inboxes.add(session.inbox)
        self._stop_reading(session)

    def go_on(self, session: Session) -> None:
        """As if nothing had been: what waits is handled, and its socket read."""
        inbox = session.inbox
        self._inboxes.discard(inbox)
        if inbox._mailbox:
            inbox._run_soon()
        if session.transport is not None:
            session.transport.read_on()

    def forget(self, inbox: Inbox) -> None:
        """It has ended, or left."""
        self._inboxes.discard(inbox)

    def is_at_rest(self, session: Session) -> bool:
        """Whether nothing of a session that was halted runs, and nothing of it will."""
        return not self.what_runs(session)

    def what_runs(self, session: Session) -> str:
        """What keeps it from its rest; "" where nothing does."""
        inbox, further, transport = session.inbox, session.further, session.transport
        if inbox.asked:
            if transport is not None:
                # The call may have begun when it was not read any more.
                transport.read_on()
            return "a call is waiting for the client's answer"
        self._stop_reading(session)
        if inbox.busy:
            return "a handler is running"
        if further is not None and further.is_joining:
            return "it is joining a room"
        if transport is None:
            return "" if session.state is SessionState.SUSPENDED else "it is between two sockets"
        return "" if transport.can_leave else "its socket is closing, or cannot be passed on"

    def _stop_reading(self, session: Session) -> None:
        # The answer to a call may stand behind what it has sent.
        if session.transport is not None and not session.inbox.asked:
            session.transport.stop_reading()


def can_travel(frame: Frame) -> bool:
    """Whether a frame that waits is of one of our codecs: what another made of a message only its handler can take."""
    payload = frame.payload
    return type(frame) in (Frame, MsgpackFrame) and (payload is UNSET or isinstance(payload, (Raw, str, bytes)))
