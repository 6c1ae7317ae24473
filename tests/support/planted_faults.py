"""Faults that a session, a shard or a buffer could have, to be planted into the real code: does the simulation find them?

Each is the smallest change that makes the mistake. `planted(name)` makes it for as long as the context is open.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any
from unittest.mock import patch

from wspulse.actors.sessions import session as sessions
from wspulse.actors.sessions.admission import Admission
from wspulse.actors.sessions.asking.answer import Answer
from wspulse.actors.sessions.asking.asking_inbox import AskingInbox, Waiting
from wspulse.actors.sessions.asking.call import _Deadline, end_calls
from wspulse.actors.sessions.inbox import Callback, Inbox
from wspulse.actors.sessions.patience.cancellations import Cancellations
from wspulse.actors.sessions.patience.handler_timeouts import HandlerTimeouts
from wspulse.actors.sessions.room import Room
from wspulse.actors.sessions.rooms.further import FurtherRooms
from wspulse.actors.sessions.send_buffer import SendBuffer
from wspulse.actors.sessions.session import Session
from wspulse.actors.sessions.shard import Shard
from wspulse.actors.sessions.state import TRANSITIONS, Effect, SessionEvent, SessionState
from wspulse.actors.transport import client as clients
from wspulse.actors.transport import outlet as outlets
from wspulse.actors.transport import transport as transports
from wspulse.actors.transport.outlet import Outlet
from wspulse.actors.transport.patience.heartbeat import Heartbeat
from wspulse.actors.transport.patience.parting import Parting, Patience
from wspulse.actors.transport.patience.write_watch import WriteWatch
from wspulse.actors.transport.refusal import Refusal
from wspulse.actors.transport.state import TRANSITIONS as TRANSPORT_TRANSITIONS
from wspulse.actors.transport.state import TransportEffect, TransportEvent, TransportState
from wspulse.actors.transport.transport import Transport
from wspulse.actors.transport.upgrade import Upgrade
from wspulse.actors.values.close_code import CloseRow
from wspulse.actors.values.errors import ConnectionClosedError, SendBufferFullError
from wspulse.actors.values.frame import Frame
from wspulse.actors.values.timing.running_handler import RunningHandler
from wspulse.actors.values.timing.service_clock import ServiceClock

__all__ = ["FAULTS", "planted"]


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


_admit = Admission.admit


def _admit_at_once(admission: Admission, transport: Transport, upgrade: Upgrade) -> None:
    """`Admission.admit` that does not wait until the room is joined."""
    _admit(admission, transport, upgrade)
    if transport in admission.newcomers:
        admission._decide(transport)


def _wait_for_the_first(admission: Admission, transport: Transport) -> bool:
    """`Admission._wait` that looks at one room."""
    room = admission.newcomers[transport]
    if room.waiting is None:
        return False
    room.waiting[transport] = lambda: admission._room_joined(transport)
    return True


def _join_at_once(rooms: FurtherRooms[Session], room_id: str, *_: object) -> None:
    """`FurtherRooms.join` that does not wait until the room is joined."""
    if room_id not in rooms.rooms:
        rooms.add(rooms._table.enter(room_id))


def _leave_and_stay(rooms: FurtherRooms[Session], room_id: str) -> None:
    """`FurtherRooms.leave` that forgets the room's side."""
    room = rooms.rooms.pop(room_id, None)
    if room is not None:
        rooms._table.look_at(room)


_attach = Session.attach


def _attach_and_forget(session: Session, transport: Transport) -> None:
    """`Session.attach` that keeps the first room alone."""
    if session.further is not None:
        session.further.end(session.id)
        session.further = None
    _attach(session, transport)


def _end_and_stay(rooms: FurtherRooms[Session], _connection_id: str) -> None:
    """`FurtherRooms.end` that tells no room."""
    rooms.rooms = {}


_write_but = Room.write_but


def _write_to_all(room: Room[Session], wire: bytes, _excluded: frozenset[str]) -> None:
    _write_but(room, wire, frozenset())


def _write_before_the_turn(room: Room[Session], wire: bytes, excluded: frozenset[str]) -> None:
    """`Room.write_but` that overtakes what the room has got in this turn."""
    pending, room._pending = room._pending, []
    _write_but(room, wire, excluded)
    room._pending = pending


_end = Session._end


def _end_without_frames(session: Session, event: SessionEvent, error: BaseException | None) -> None:
    lost = event in (SessionEvent.LOSE, SessionEvent.EXPIRE)
    _end(session, SessionEvent.DUPLICATE if lost else event, error)


def _detach_and_end_calls(session: Session, close: CloseRow | None) -> None:
    if session.inbox.asked:
        end_calls(session.inbox, session.id)
    _detach(session, close)


def _answer_and_handle(inbox: AskingInbox, frame: Frame, opcode: int, payload: bytes) -> None:
    _answered(inbox, frame, opcode, payload)
    inbox._append(frame, len(payload))
    if not inbox._busy:
        inbox._pump()


def _answer_any(inbox: AskingInbox, frame: Frame, opcode: int, payload: bytes) -> None:
    """`AskingInbox.answered` that takes each answer for one to the oldest call."""
    for waiting in (inbox.asked or {}).values():
        if not waiting.done():
            waiting.set_result(Answer(frame, opcode, payload))
            return


def _begin_call_and_lose_track(inbox: AskingInbox, call_id: str, waiting: Waiting) -> None:
    """`AskingInbox.call_begins` that does not have the socket read."""
    if inbox.asked is None:
        inbox.asked = {}
    inbox.asked[call_id] = waiting


def _no_wait(inbox: Inbox, predecessor: Inbox) -> None:
    """`Inbox.wait_for` that does not wait."""


def _never(_self: Any, *_args: Any) -> None:
    """Something that is forgotten."""


def _row(
    state: TransportState, event: TransportEvent, following: TransportState, *effects: TransportEffect
) -> tuple[Any, str, Any]:
    """A row of the transport's table in the place of the one that is there."""
    return TRANSPORT_TRANSITIONS, "", {(state, event): (following, effects)}


def _nothing(*_args: Any) -> int:
    return 0


def _pause_writing_under_the_clock(transport: Transport) -> None:
    heartbeat, transport._heartbeat = transport._heartbeat, None
    _pause_writing(transport)
    transport._heartbeat = heartbeat


def _ping_if_not_blocked(transport: Transport, payload: bytes) -> None:
    if not transport.blocked:
        _ping(transport, payload)


def _hear_anything(heartbeat: Heartbeat, _pong: bytes) -> None:
    heartbeat._payload = heartbeat._doubt = None


def _beat_anew(heartbeat: Heartbeat, now: float) -> None:
    if now >= heartbeat._next_ping and heartbeat._payload is not None:
        heartbeat._payload = b"%f" % now
    _beat(heartbeat, now)


def _beat_without_settling(clock: ServiceClock) -> bool:
    clock._is_settling = True
    return _clock_beat(clock)


def _buffered_only(client: asyncio.Transport | None) -> int:
    return 0 if client is None else client.get_write_buffer_size()


def _without_patience(parting: Parting, transport: Any, at: Any, now: float, patience: Patience) -> None:
    _part(parting, transport, at, now, Patience(0.1, 0.1, 0.1))


def _end_turn_and_read(transport: Transport) -> None:
    transport.release()


def _decide_as_if_open(admission: Admission, transport: Transport) -> None:
    half_closed, transport.half_closed = transport.half_closed, False
    _decide(admission, transport)
    transport.half_closed = half_closed


_detach, _answered = Session._detach, AskingInbox.answered


def _cancel_another(cancellations: Cancellations, inbox: Any, mark: RunningHandler) -> None:
    """`Cancellations._cancel` that hits another session's handler, where there is one."""
    others = [other for other in cancellations._working if other is not inbox]
    if others and inbox.handling is mark:
        cancellations._working[others[0]].cancel()
    else:
        _cancel(cancellations, inbox, mark)


def _cancel_whatever_runs(cancellations: Cancellations, inbox: Any, mark: RunningHandler) -> None:
    """`Cancellations._cancel` that does not look whether it is still the same handler."""
    if inbox.handling is not mark and inbox in cancellations._working:
        cancellations._working[inbox].cancel()
    else:
        _cancel(cancellations, inbox, mark)


def _cancel_callbacks_too(mark: RunningHandler) -> str:
    return "on_message"


def _cancel_own(session: Session, _event: SessionEvent) -> None:
    """`Session._cancel_handler` that does not look who ends the session."""
    if session.shard.options.cancel_on_disconnect:
        session.shard.cancellations.cancel(session.inbox)


def _as_it_raised(_cancellations: Cancellations, mark: RunningHandler, raised: BaseException | None) -> Any:
    """`Cancellations.outcome` that counts what the handler makes of its cancellation."""
    mark.inbox = None
    return raised


def _in_half_the_time(
    timeouts: HandlerTimeouts, loop: Any, context: Any, working: Any, timeout_s: float, cancel: Any
) -> None:
    _init_timeouts(timeouts, loop, context, working, timeout_s / 2, cancel)


def _go_on_beside(cancellations: Cancellations, mark: RunningHandler) -> None:
    """`Cancellations._insist` that lets the session of a handler that refuses go on beside it."""
    inbox = mark.inbox
    if inbox is not None and inbox.handling is mark:
        inbox.handling = None
        del cancellations._working[inbox]
        inbox._pump()


_cancel, _init_timeouts = Cancellations._cancel, HandlerTimeouts.__init__
_pause_writing, _ping, _decide = Transport.pause_writing, Transport.ping, Admission._decide
_beat, _clock_beat, _part = Heartbeat.__call__, ServiceClock.beat, Parting.__init__

_T, _E, _F = TransportState, TransportEvent, TransportEffect

_context_of_all = copy_context()

FAULTS: dict[str, tuple[tuple[Any, str, Any], ...]] = {
    "context that sessions share": ((Inbox, "context", property(lambda _inbox: _context_of_all, lambda *_args: None)),),
    "context that does not last": ((Inbox, "context", property(lambda inbox: copy_context(), lambda *_args: None)),),
    "answer reaches a handler too": ((AskingInbox, "answered", _answer_and_handle),),
    "answer goes to another call": ((AskingInbox, "answered", _answer_any),),
    "call survives its session": ((sessions, "end_calls", _never),),
    "suspension ends a call": ((Session, "_detach", _detach_and_end_calls),),
    "call's time is never over": ((_Deadline, "_look", _never),),
    "call that has ended is kept": ((AskingInbox, "call_ends", _never),),
    "call waits behind frames that wait for its handler": ((AskingInbox, "call_begins", _begin_call_and_lose_track),),
    "socket is read on when the last call has ended": ((AskingInbox, "_hold", _never),),
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
    "newcomer does not wait for the room": ((Admission, "admit", _admit_at_once),),
    "newcomer waits for the first of its rooms only": ((Admission, "_wait", _wait_for_the_first),),
    "member of a further room before it is joined": ((FurtherRooms, "join", _join_at_once),),
    "further room is forgotten at a resume": ((Session, "attach", _attach_and_forget),),
    "member of a further room is not slow there when its transport takes nothing": (
        (FurtherRooms, "set_slow", _never),
    ),
    "member of a further room is not swift there again": ((FurtherRooms, "set_swift", _never),),
    "member that leaves stays": ((FurtherRooms, "leave", _leave_and_stay),),
    "member that ends stays in its further rooms": ((FurtherRooms, "end", _end_and_stay),),
    "frame that some do not get goes to all": ((Room, "write_but", _write_to_all),),
    "frame that some do not get overtakes those of its turn": ((Room, "write_but", _write_before_the_turn),),
    "duplicate does not wait for the last callback": ((Inbox, "wait_for", _no_wait),),
    "messages read before a drop are forgotten": ((Session, "_end", _end_without_frames),),
    "callbacks of a session run that the application has ended": ((Inbox, "discard_all", Inbox.discard_frames),),
    "pong clock runs on while nothing is read": (_row(_T.OPEN, _E.HOLD, _T.HELD, _F.PAUSE),),
    "peer that answers no ping is never dropped": ((Transport, "fell_silent", _never),),
    "pong clock does not go on when a peer is read again": ((Heartbeat, "go_on", _never),),
    "peer that takes nothing is never dropped": ((WriteWatch, "__call__", _never),),
    "peer's close frame is awaited for ever": ((Parting, "__call__", _never),),
    "refused client that does not go stays for ever": ((Refusal, "_give_up", _never),),
    "what a held transport had read is lost when it is replaced": ((Transport, "hand_over_rest", _never),),
    "what a held transport had read is lost with it": ((transports, "hand_over", _never),),
    "pong clock runs on while nothing is taken": ((Transport, "pause_writing", _pause_writing_under_the_clock),),
    "blocked peer is not pinged": ((Transport, "ping", _ping_if_not_blocked),),
    "pong that answers no ping is a sign of life": ((Heartbeat, "hear", _hear_anything),),
    "peer is judged by what was not read": ((transports, "unread_bytes", _nothing),),
    "peer is judged by a ping that it has not got": ((Outlet, "untaken_bytes", property(_nothing)),),
    "each ping has a payload of its own": ((Heartbeat, "__call__", _beat_anew),),
    "clock runs on while the loop stands still": ((ServiceClock, "__call__", lambda clock: clock._real()),),
    "what has come while the loop stood still is not waited for": ((ServiceClock, "beat", _beat_without_settling),),
    "peer that takes nothing stays with the kernel": ((clients, "unsent_bytes", _buffered_only),),
    "socket is closed though its peer is far behind": ((clients, "is_behind", _nothing),),
    "peer that is far behind has its stream ended, and is lost with it": ((transports, "is_behind", _nothing),),
    "peer that is kicked and takes nothing is waited for": ((outlets, "KICK_WAIT_S", 30.0),),
    "peer that takes its last words is cut off": ((Parting, "__init__", _without_patience),),
    "socket is not read on after its turn": ((Transport, "_next_turn", _never),),
    "socket that ended its turn is read on before what it had read is handled": (
        (Transport, "_end_turn", _end_turn_and_read),
    ),
    "half-closed peer is lost with its answers": ((Transport, "eof_received", _never),),
    "half-closed peer stays when nothing is due": ((Transport, "answers_are_out", _never),),
    "half-closed newcomer takes the id of a session": ((Admission, "_decide", _decide_as_if_open),),
    "held transport is not read on when it is closed": (_row(_T.HELD, _E.FINISH, _T.CLOSING, _F.SAY, _F.LOOK),),
    "close frame that was read before ours is overlooked": (_row(_T.HELD, _E.FINISH, _T.CLOSING, _F.SAY, _F.RESUME),),
    "socket stays open when both close frames are there": (_row(_T.CLOSING, _E.HEAR, _T.LINGERING),),
    "socket stays open when the peer has closed": (_row(_T.OPEN, _E.PEER_CLOSE, _T.LINGERING, _F.SAY),),
    "peer that broke the protocol sees no end": (_row(_T.OPEN, _E.VIOLATE, _T.LINGERING, _F.SAY),),
    "cancellation hits another session's handler": ((Cancellations, "_cancel", _cancel_another),),
    "cancellation hits the next handler": ((Cancellations, "_cancel", _cancel_whatever_runs),),
    "callback that is no message's is cancelled": ((RunningHandler, "callback", property(_cancel_callbacks_too)),),
    "handler that ends its own session is cancelled": ((Session, "_cancel_handler", _cancel_own),),
    "handler of a client that is only cut off is cancelled": ((sessions, "PeerClosedError", BaseException),),
    "handler of those who have left goes on": ((Session, "_cancel_handler", _never),),
    "handler that is late goes on": ((HandlerTimeouts, "_look", _never),),
    "handler that is late is cancelled too early": ((HandlerTimeouts, "__init__", _in_half_the_time),),
    "handler that is late has not raised": ((Cancellations, "outcome", _as_it_raised),),
    "handler that refuses its cancellation is not cancelled again": ((Cancellations, "_insist", _never),),
    "handler that refuses its cancellation has others beside it": ((Cancellations, "_insist", _go_on_beside),),
    "newcomer whose socket was not read is not read when it is refused": (
        _row(_T.WAITING_HELD, _E.REFUSE, _T.GONE, _F.REFUSE, _F.LET_GO),
    ),
}
"""What is wrong → (owner, attribute, replacement); an attribute of "" adds to a dict."""


@contextmanager
def planted(name: str) -> Iterator[None]:
    patches = [
        patch.object(owner, attribute, replacement) if attribute else patch.dict(owner, replacement)
        for owner, attribute, replacement in FAULTS[name]
    ]
    for one in patches:
        one.start()
    try:
        yield
    finally:
        for one in reversed(patches):
            one.stop()
