"""Of exact sessions: what is counted, kept, sent again and told, and whose they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.support.simulation.faults.replacements import Faults, never
from wspulse.actors.sessions.asking.asking_inbox import AskingInbox
from wspulse.actors.sessions.exact import claims
from wspulse.actors.sessions.exact import session as sessions
from wspulse.actors.sessions.exact.inbox import ExactInbox
from wspulse.actors.sessions.exact.log import SendLog
from wspulse.actors.sessions.exact.session import ExactSession, _Beat
from wspulse.actors.sessions.exact.token import is_same_token, new_token
from wspulse.actors.sessions.inbox import Callback, Inbox
from wspulse.actors.sessions.room import Room
from wspulse.actors.sessions.session import Session
from wspulse.actors.sessions.state import TRANSITIONS, Effect, SessionEvent, SessionState
from wspulse.actors.transport.transport import Transport
from wspulse.actors.values.frame import Frame
from wspulse.actors.values.text.exact import Claim

__all__ = ["FAULTS"]

_append, _call, _hear = AskingInbox._append, Inbox._call, ExactInbox._hear
_receive_rest, _took, _acknowledged = ExactInbox.receive_rest, ExactSession.took, ExactSession.acknowledged
_resume, _put, _acknowledge, _claimed = SendLog.resume, SendLog.put, SendLog.acknowledge, ExactSession.claimed
_attach, _owed = ExactSession.attach, ExactSession._owed


def _append_uncounted(inbox: ExactInbox, frame: Frame, size_bytes: int) -> None:
    inbox.received -= 1
    _append(inbox, frame, size_bytes)


def _call_and_count(inbox: ExactInbox, item: Any, run: Callable[..., Any]) -> Any:
    """`Inbox._call` at which a message counts that waited."""
    inbox.received += not isinstance(item, Callback)
    return _call(inbox, item, run)


def _hear_and_count(inbox: ExactInbox, frame: Frame) -> None:
    inbox._take(b"")
    _hear(inbox, frame)


def _receive_rest_uncounted(inbox: ExactInbox, opcode: int, payload: bytes) -> None:
    received = inbox.received
    _receive_rest(inbox, opcode, payload)
    inbox.received = received


def _count_rest(inbox: ExactInbox, _opcode: int, payload: bytes) -> None:
    """`receive_rest` that counts what it does not take."""
    inbox._take(payload)


def _handle_reserved(inbox: ExactInbox, frame: Frame) -> None:
    if frame.event == "wspulse.x":
        inbox._append(frame, 0)
        inbox._run_soon()
    else:
        _hear(inbox, frame)


def _resume_with_more(log: SendLog, count: int) -> int:
    return _resume(log, max(0, count - 1))


def _resume_with_less(log: SendLog, count: int) -> int:
    return _resume(log, count + (log.first + log.frames > count))


def _resume_without_a_word(log: SendLog, count: int) -> int:
    _resume(log, count)
    return 0


def _put_without_a_word(log: SendLog, batch: Any) -> int:
    dropped = _put(log, batch)
    log.gap = 0
    return dropped


def _acknowledge_and_hold(log: SendLog, count: int) -> bool:
    """`SendLog.acknowledge` that lets go of nothing."""
    is_new = count > log.acknowledged
    log.acknowledged = count
    return is_new


def _acknowledge_anything(log: SendLog, count: int) -> bool:
    return _acknowledge(log, min(max(count, log.acknowledged), log.written))


def _is_any_claim(session: ExactSession, claim: Claim) -> bool:
    return is_same_token(session.token, claim.token)


def _claimed_up_to_what_was_sent(session: ExactSession, claim: Claim) -> None:
    _claimed(session, claim._replace(received=min(claim.received, session.log.sent)))


def _is_of_this_transport(session: ExactSession, claim: Claim) -> bool:
    """`is_of` that knows only what the transport of now was sent."""
    return is_same_token(session.token, claim.token) and claim.received <= session.log.written


def _claimed_with_another_token(session: ExactSession, claim: Claim) -> None:
    _claimed(session, claim)
    session.token = new_token(session.id)


def _owed_but_the_first(session: ExactSession) -> bytes:
    """`_owed` that has no first frame for a client that comes back."""
    if session._first is not None and session._first[0]:
        session._first = None
    return _owed(session)


def _attach_as_new(session: ExactSession, transport: Transport) -> None:
    """`attach` that tells a client that comes back of a new session."""
    claimed, session._claimed = session._claimed, None
    if claimed is not None:
        session.log.resume(claimed)
    _attach(session, transport)


def _flush_and_keep(room: Room[Session]) -> None:
    """`Room.flush` that keeps what it has written: but a member that blocked on it has gone from those who keep."""
    frames = room._pending
    if not frames:
        return
    room._pending = []
    slow = list(room._slow)
    wire = b"".join(frames)
    for write in list(room._swift.values()):
        write(wire)
    if room._backlog is not None and room._backlog.followers:
        room._backlog.append(frames, len(wire))
    for keep in (room._keeping or {}).values():
        keep((frames, len(wire)))
    for session in slow:
        session.buffer_broadcast(frames)


def _not_strange(_session: Session, *, is_exact: bool) -> bool:
    return False


def _any_token(_token: str, _shown: str) -> bool:
    return True


FAULTS: Faults = {
    "message counts when its handler begins": (
        (ExactInbox, "_append", _append_uncounted),
        (ExactInbox, "_call", _call_and_count),
    ),
    "frame of the protocol's own is counted": ((ExactInbox, "_hear", _hear_and_count),),
    "frame of the protocol's own reaches a handler": ((ExactInbox, "_hear", _handle_reserved),),
    "message of a lost transport is not counted": ((ExactInbox, "receive_rest", _receive_rest_uncounted),),
    "message of a lost transport is counted and not taken": ((ExactInbox, "receive_rest", _count_rest),),
    "handler that raises discards what is behind its frame": (
        (ExactInbox, "_message_handler_raised", Inbox._message_handler_raised),
    ),
    "duplicate discards what was taken": ((ExactInbox, "discard_frames", Inbox.discard_frames),),
    "server that closes discards what was taken": ((ExactSession, "outlasted", Session.outlasted),),
    "handler of a replaced transport ends the next one": (
        (
            TRANSITIONS,
            "",
            {
                (SessionState.CONNECTED, SessionEvent.TAKE_OVER): (
                    SessionState.CONNECTED,
                    (Effect.DETACH, Effect.ATTACH),
                )
            },
        ),
    ),
    "resume sends one frame too many": ((SendLog, "resume", _resume_with_more),),
    "resume sends one frame too few": ((SendLog, "resume", _resume_with_less),),
    "resume tells nothing of what was lost": ((SendLog, "resume", _resume_without_a_word),),
    "frames are dropped without a word": ((SendLog, "put", _put_without_a_word),),
    "acknowledged frames are held": ((SendLog, "acknowledge", _acknowledge_and_hold),),
    "acknowledgement that cannot be is taken": ((SendLog, "acknowledge", _acknowledge_anything),),
    "what a room writes is kept behind the writing": ((Room, "flush", _flush_and_keep),),
    "client that comes back gets no first frame": ((ExactSession, "_owed", _owed_but_the_first),),
    "client that comes back is told of a new session": ((ExactSession, "attach", _attach_as_new),),
    "client is not told what was taken": ((ExactSession, "tell_taken", never),),
    "client is not told that we are there": ((_Beat, "__call__", never),),
    "token is not looked at": ((sessions, "is_same_token", _any_token),),
    "token changes": ((ExactSession, "claimed", _claimed_with_another_token),),
    "claim of more than was sent is granted": (
        (ExactSession, "is_of", _is_any_claim),
        (ExactSession, "claimed", _claimed_up_to_what_was_sent),
    ),
    "claim of more than the last of several dials was sent is refused": (
        (ExactSession, "is_of", _is_of_this_transport),
    ),
    "stranger has an exact session": ((claims, "is_strange_to", _not_strange),),
    "close frame without 1000 ends an exact session": ((ExactSession, "_loss", Session._loss),),
}
