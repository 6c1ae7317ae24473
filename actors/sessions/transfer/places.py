"""A moving session's place in its shard: out of the tables and into them, and its callbacks again.

Called by whoever moves sessions, each in one step of the shard with what it does to rooms and sockets.
"""

from __future__ import annotations

from collections import deque

from wspulse.actors.sessions.exact.session import ExactSession
from wspulse.actors.sessions.inbox import Callback, Inbox
from wspulse.actors.sessions.session import Session
from wspulse.actors.sessions.shard import Shard
from wspulse.actors.sessions.state import SessionEvent
from wspulse.actors.transport.transport import Transport
from wspulse.actors.values.close_code import CloseReason
from wspulse.actors.values.errors import ServerClosedError

__all__ = ["call_first", "carry_on", "ends_with", "forget", "go_on", "let_go", "take_in", "take_out", "wait_on"]


def take_out(shard: Shard, session: Session) -> None:
    """Nobody finds it any more; the shard is not quiet without it."""
    del shard.sessions[session.id]


def take_in(shard: Shard, session: Session) -> None:
    shard.sessions[session.id] = session
    shard.unfinished.add(session.inbox)


def let_go(session: Session) -> None:
    """It is in no room, and judged by nobody's timer. Its transport leaves, or it has none."""
    if isinstance(session, ExactSession):
        session._end_deadlines()
        session.log.unfollow()
    session.epoch += 1
    session.room.remove(session)
    if session.further is not None:
        for room in session.further.rooms.values():
            room.remove(session)


def carry_on(session: Session, transport: Transport) -> None:
    """It has the transport again that it had, in this process or another, and is in its rooms."""
    if isinstance(session, ExactSession):
        if session._told < session.inbox.received:
            # Whatever was to tell its client in a while is not here.
            session._owes_ack = True
        session._begin_beat()
    # Not as an exact session attaches, which would greet its client anew.
    Session.attach(session, transport)


def wait_on(session: Session) -> None:
    """It waits for its client as before, in its rooms."""
    session._set_slow()
    session.shard.start_window(session, max(0.0, session.window_ends - session.shard.clock()))


def forget(shard: Shard, inbox: Inbox) -> None:
    """No callback of it runs here any more."""
    shard.unfinished.discard(inbox)
    if shard.id_left is not None:
        shard.id_left(inbox.connection.id)
    shard.look_if_quiet()


def call_first(inbox: Inbox, kind: str) -> None:
    """Have a callback run before what waits."""
    if inbox._mailbox is None:
        inbox._mailbox = deque()
    inbox._mailbox.appendleft(Callback(kind))


def ends_with(shard: Shard, session: Session) -> None:
    """It is here, and ends at once where all of the shard ends."""
    if shard.closing:
        session.apply(SessionEvent.SERVER_CLOSE, error=ServerClosedError(), close=CloseReason.SERVER_CLOSE)


def go_on(inbox: Inbox) -> None:
    """Have what waits handled."""
    if inbox._mailbox:
        inbox._run_soon()
