"""Faults that a session, a shard or a buffer could have, to be planted into the real code: does the simulation find them?

Each is the smallest change that makes the mistake. `planted(name)` makes it for as long as the context is open.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from wspulse.actors.sessions.admission import Admission
from wspulse.actors.sessions.inbox import Callback, Inbox
from wspulse.actors.sessions.send_buffer import SendBuffer
from wspulse.actors.sessions.session import Session
from wspulse.actors.sessions.shard import Shard
from wspulse.actors.sessions.state import TRANSITIONS, Effect, SessionEvent, SessionState
from wspulse.actors.transport.heartbeat import Heartbeat
from wspulse.actors.transport.refusal import Refusal
from wspulse.actors.transport.state import TRANSITIONS as TRANSPORT_TRANSITIONS
from wspulse.actors.transport.state import TransportEffect, TransportEvent, TransportState
from wspulse.actors.transport.transport import Transport
from wspulse.actors.transport.upgrade import Upgrade
from wspulse.actors.transport.write_watch import WriteWatch
from wspulse.actors.values.errors import ConnectionClosedError, SendBufferFullError

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
    room = admission.newcomers.get(transport)
    if room is not None:
        admission.room_joined(room)


_end = Session._end


def _end_without_frames(session: Session, event: SessionEvent, error: BaseException | None) -> None:
    lost = event in (SessionEvent.LOSE, SessionEvent.EXPIRE)
    _end(session, SessionEvent.DUPLICATE if lost else event, error)


def _no_wait(inbox: Inbox, predecessor: Inbox) -> None:
    """`Inbox.wait_for` that does not wait."""


def _never(_self: Any, *_args: Any) -> None:
    """Something that is forgotten."""


def _row(
    state: TransportState, event: TransportEvent, following: TransportState, *effects: TransportEffect
) -> tuple[Any, str, Any]:
    """A row of the transport's table in the place of the one that is there."""
    return TRANSPORT_TRANSITIONS, "", {(state, event): (following, effects)}


_T, _E, _F = TransportState, TransportEvent, TransportEffect

FAULTS: dict[str, tuple[tuple[Any, str, Any], ...]] = {
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
    "duplicate does not wait for the last callback": ((Inbox, "wait_for", _no_wait),),
    "messages read before a drop are forgotten": ((Session, "_end", _end_without_frames),),
    "callbacks of a session run that the application has ended": ((Inbox, "discard_all", Inbox.discard_frames),),
    "pong clock runs on while nothing is read": ((Heartbeat, "go_on", _never),),
    "peer that takes nothing is never dropped": ((WriteWatch, "__call__", _never),),
    "peer's close frame is awaited for ever": ((Transport, "_give_up", _never),),
    "refused client that does not go stays for ever": ((Refusal, "_give_up", _never),),
    "what a held transport had read is lost when it is replaced": ((Transport, "hand_over_rest", _never),),
    "what a held transport had read is lost with it": ((Transport, "_drain_parser", _never),),
    "held transport is not read on when it is closed": (_row(_T.HELD, _E.FINISH, _T.CLOSING, _F.SAY, _F.LOOK),),
    "close frame that was read before ours is overlooked": (_row(_T.HELD, _E.FINISH, _T.CLOSING, _F.SAY, _F.RESUME),),
    "socket stays open when both close frames are there": (_row(_T.CLOSING, _E.HEAR, _T.LINGERING),),
    "socket stays open when the peer has closed": (_row(_T.OPEN, _E.PEER_CLOSE, _T.LINGERING, _F.SAY),),
    "peer that broke the protocol sees no end": (_row(_T.OPEN, _E.VIOLATE, _T.LINGERING, _F.SAY),),
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
