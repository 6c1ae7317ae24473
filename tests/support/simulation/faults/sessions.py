"""Of sessions: their windows, their order, their buffers and their contexts."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextvars import copy_context

from tests.support.simulation.faults.replacements import Faults, never
from wspulse.actors.journal.journal import Journal
from wspulse.actors.sessions.inbox import Callback, Inbox
from wspulse.actors.sessions.send_buffer import SendBuffer
from wspulse.actors.sessions.session import Session
from wspulse.actors.sessions.shard import Shard
from wspulse.actors.sessions.state import ENDINGS, TRANSITIONS, Effect, SessionEvent, SessionState
from wspulse.actors.transport.transport import Transport
from wspulse.actors.values.errors import ConnectionClosedError, SendBufferFullError

__all__ = ["FAULTS"]


def _window(ends: Callable[[Session], bool]) -> Callable[[Shard, Session], None]:
    """`Shard.start_window` with another condition than the epoch's."""

    def start_window(shard: Shard, session: Session) -> None:
        def end(_now: float) -> None:
            if ends(session):
                session.apply(SessionEvent.EXPIRE)

        shard.at(shard.clock() + shard.options.resume_window, end)

    return start_window


def _attach_and_replay_later(session: Session, transport: Transport) -> None:
    """`Session.attach` that replays what is buffered from the loop."""
    session.transport = transport
    transport.session = session
    if session.inbox.behind:
        transport.hold()
    if transport.blocked:
        session.room.set_slow(session)
    else:
        session.room.set_swift(session, transport.write)
        session.shard.loop.call_soon(session.unblocked)


def _send_past_the_turn(session: Session, wire: bytes) -> None:
    """`Session.send` that forgets, when the transport is blocked, what was sent earlier in the turn."""
    transport = session.transport
    if transport is None:
        if session.state is SessionState.CLOSED:
            raise ConnectionClosedError(session.id)
        session._push(wire)
    elif transport.blocked:
        if session._buffer is not None and session._buffer.full:
            raise SendBufferFullError(session.id)
        session._push(wire)
    elif session._turn is None:
        session._turn = [wire]
        if not transport.corked:
            session.shard.schedule(session)
    else:
        session._turn.append(wire)
        if len(session._turn) >= session.shard.options.send_buffer_size:
            session.flush()


def _post_and_pump(inbox: Inbox, kind: str, error: BaseException | None = None) -> None:
    """`Inbox.post` that does not look whether a callback runs."""
    if inbox._mailbox is None:
        inbox._mailbox = deque()
    inbox._mailbox.append(Callback(kind, error))
    inbox._shard.loop.call_soon(inbox._pump)


def _push_or_drop(buffer: SendBuffer, wire: bytes) -> bool:
    """`SendBuffer.push` that drops the newest."""
    if buffer.full:
        return True
    buffer._frames.append(wire)
    return False


def _end_without_frames(session: Session, event: SessionEvent, error: BaseException | None) -> None:
    lost = event in (SessionEvent.LOSE, SessionEvent.EXPIRE)
    _end(session, SessionEvent.DUPLICATE if lost else event, error)


def _no_wait(inbox: Inbox, predecessor: Inbox) -> None:
    """`Inbox.wait_for` that does not wait."""


_end = Session._end

_context_of_all = copy_context()

FAULTS: Faults = {
    "context that sessions share": ((Inbox, "context", property(lambda _inbox: _context_of_all, lambda *_args: None)),),
    "context that does not last": ((Inbox, "context", property(lambda inbox: copy_context(), lambda *_args: None)),),
    "window without an epoch check": ((Shard, "start_window", _window(lambda _session: True)),),
    "window not fenced against a resume": (
        (Shard, "start_window", _window(lambda session: session.state is SessionState.SUSPENDED)),
    ),
    "on_disconnect twice when a window ends after a kick": (
        (Shard, "start_window", _window(lambda session: session.state is not SessionState.CONNECTED)),
        (
            TRANSITIONS,
            "",
            {(SessionState.CLOSED, SessionEvent.EXPIRE): (SessionState.CLOSED, (Effect.END,))},
        ),
    ),
    "replay after newer frames": ((Session, "attach", _attach_and_replay_later),),
    "frame of a blocked transport before those of its turn": ((Session, "send", _send_past_the_turn),),
    "callbacks overlap": ((Inbox, "post", _post_and_pump),),
    "newest frame dropped": ((SendBuffer, "push", _push_or_drop),),
    "duplicate does not wait for the last callback": ((Inbox, "wait_for", _no_wait),),
    "messages read before a drop are forgotten": ((Session, "_end", _end_without_frames),),
    "end of a session that is not counted": ((Journal, "session_ended", never),),
    "end of a window counted as that of a connection": ((ENDINGS, "", {SessionEvent.EXPIRE: None}),),
    "callbacks of a session run that the application has ended": ((Inbox, "discard_all", Inbox.discard_frames),),
}
