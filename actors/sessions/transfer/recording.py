"""Making a session's record, and a session of a record.

Called by whoever moves sessions, with a session that is at rest; neither touches a table, a room or a socket.
"""

from __future__ import annotations

from collections import deque
from typing import Any, cast

import msgspec
from msgspec import UNSET, Raw

from wspulse.actors.sessions.asking.asking_inbox import AskingInbox
from wspulse.actors.sessions.connections.connection import Resumption
from wspulse.actors.sessions.connections.expressible import expressible
from wspulse.actors.sessions.connections.local_connection import LocalConnection
from wspulse.actors.sessions.exact.recording import exact_record_of, restore_exact
from wspulse.actors.sessions.exact.session import ExactSession
from wspulse.actors.sessions.inbox import Inbox
from wspulse.actors.sessions.room import Room
from wspulse.actors.sessions.rooms.membership import rooms_of
from wspulse.actors.sessions.send_buffer import SendBuffer
from wspulse.actors.sessions.session import Session
from wspulse.actors.sessions.shard import Shard
from wspulse.actors.sessions.state import SessionState
from wspulse.actors.sessions.transfer.record import (
    ErrorRecord,
    ReturnRecord,
    SessionRecord,
    WaitingFrame,
)
from wspulse.actors.transport.transfer.record import TransportRecord
from wspulse.actors.values.errors import (
    ConnectionLostError,
    KeepaliveTimeoutError,
    PeerClosedError,
    ProtocolError,
    TransportError,
    WriteTimeoutError,
    text_of,
)
from wspulse.actors.values.frame import Frame, MsgpackFrame
from wspulse.actors.values.request import Request

__all__ = ["record_of", "session_of", "weight_bytes"]


def record_of(session: Session, transport: TransportRecord | None) -> tuple[SessionRecord, list[str]]:
    """The record of a session at rest, and the keys of the application's state that no other process can be given."""
    connection = session.connection
    assert isinstance(connection, LocalConnection)
    request, returned = connection.request, connection.resumed_with
    state, unsaid = connection._state, []
    if state:
        said = expressible(state)
        unsaid = [str(key) for key in state if key not in said]
        state = said
    record = SessionRecord(
        connection_id=session.id,
        birth=session.key,
        rooms=list(rooms_of(session)),
        head=request.head,
        remote_address=request.remote_address,
        state=state,
        subprotocol=connection.subprotocol,
        resumes=session.resumes,
        connected_at=session.connected_at,
        dropped_frames=session.dropped_frames,
        epoch=session.epoch,
        window_left_s=_window_left_s(session),
        error=None if session.error is None else _error_record(session.error),
        buffered=[] if session._buffer is None else session._buffer.frames(),
        waiting=[_waiting(*cast("tuple[Frame, int]", item)) for item in session.inbox._mailbox or ()],
        was_asked=session.inbox.asked is not None,
        returned=None if returned is None else _return_record(returned),
        exact=exact_record_of(session) if isinstance(session, ExactSession) else None,
        transport=transport,
        scheme=request.scheme,
    )
    return record, unsaid


def weight_bytes(session: Session) -> int:
    """About how much its record is more than that of one for which nothing waits."""
    buffer, transport = session._buffer, session.transport
    weight = session.inbox._waiting_bytes
    if buffer is not None:
        weight += buffer.size_bytes
    if isinstance(session, ExactSession):
        weight += session.log.size_bytes
    return weight if transport is None else weight + transport.weight_bytes


def session_of(shard: Shard, record: SessionRecord, room: Room[Session]) -> Session:
    """The session of a record, whose first room was entered for it. It is in no table and no room, and has no transport."""
    session: Session
    if record.exact is not None:
        exact = ExactSession(shard, record.connection_id, room, 0, record.connected_at, shard.exact_frames)
        restore_exact(exact, record.exact)
        session = exact
    else:
        session = Session(shard, record.connection_id, room, 0, record.connected_at)
    session.incarnation, session.serial = record.birth
    session.epoch = record.epoch + 1
    session.resumes = record.resumes
    session.dropped_frames = record.dropped_frames
    session.error = None if record.error is None else _error_of(record.error)
    if record.window_left_s is not None:
        session.state = SessionState.SUSPENDED
        # The new code may let nobody wait so long.
        session.window_ends = shard.clock() + min(record.window_left_s, shard.options.resume_window)
    if record.buffered:
        options = shard.options
        session._buffer = SendBuffer(options.send_buffer_size, options.send_buffer_bytes, record.buffered)
    if record.was_asked:
        if record.exact is None:
            session.inbox.__class__ = AskingInbox
        session.inbox.asked = {}
    session.inbox.connection = _connection_of(session, record)
    if record.waiting:
        _fill(session.inbox, record.waiting)
    return session


def _connection_of(session: Session, record: SessionRecord) -> LocalConnection:
    connection = LocalConnection.__new__(LocalConnection)
    connection._session = session
    connection._request = Request(record.head, record.remote_address, record.scheme)
    connection._state = cast("dict[str, Any] | None", record.state)
    connection._subprotocol = record.subprotocol
    returned = record.returned
    connection._resumed_with = (
        None
        if returned is None
        else Resumption(
            Request(returned.head, returned.remote_address, returned.scheme),
            cast("dict[str, Any] | None", returned.state),
        )
    )
    return connection


def _return_record(returned: Resumption) -> ReturnRecord:
    state, request = returned.state, returned.request
    return ReturnRecord(
        request.head, request.remote_address, None if state is None else expressible(state), request.scheme
    )


def _waiting(frame: Frame, size_bytes: int) -> WaitingFrame:
    payload, kind, data = frame.payload, "", b""
    if isinstance(payload, str):
        kind, data = "text", payload.encode("utf-8", "surrogatepass")
    elif payload is not UNSET:
        kind, data = "raw" if isinstance(payload, Raw) else "bytes", bytes(payload)
    # Not by the codec: one of the application's may have made it by one of ours.
    return WaitingFrame(frame.event, frame.id, kind, data, size_bytes, isinstance(frame, MsgpackFrame))


def _fill(inbox: Inbox, waiting: list[WaitingFrame]) -> None:
    inbox._mailbox = deque((_frame(each), each.size_bytes) for each in waiting)
    inbox._waiting_bytes = sum(each.size_bytes for each in waiting)


def _frame(waiting: WaitingFrame) -> Frame:
    make = MsgpackFrame if waiting.is_packed else Frame
    return make(waiting.event, _payload(waiting), waiting.id)


def _payload(waiting: WaitingFrame) -> Any:
    match waiting.kind:
        case "raw":
            return msgspec.Raw(waiting.payload)
        case "text":
            return waiting.payload.decode("utf-8", "surrogatepass")
        case "bytes":
            return waiting.payload
        case _:
            return UNSET


def _error_record(error: BaseException) -> ErrorRecord:
    match error:
        case PeerClosedError():
            return ErrorRecord("PeerClosedError", error.close_reason, error.close_code)
        case ProtocolError():
            return ErrorRecord("ProtocolError", error.reason, error.close_code)
        case ConnectionLostError():
            return ErrorRecord("ConnectionLostError", error.reason)
        case KeepaliveTimeoutError() | WriteTimeoutError():
            return ErrorRecord(type(error).__name__)
        case TransportError() if type(error) is TransportError:
            # It has moved before.
            return ErrorRecord("other", error.reason)
        case _:
            return ErrorRecord("other", f"{type(error).__name__}: {text_of(error)}")


def _error_of(record: ErrorRecord) -> TransportError:
    match record.kind:
        case "PeerClosedError":
            return PeerClosedError(record.code, record.text)
        case "ProtocolError":
            return ProtocolError(record.code, record.text)
        case "ConnectionLostError":
            return ConnectionLostError(record.text)
        case "KeepaliveTimeoutError":
            return KeepaliveTimeoutError()
        case "WriteTimeoutError":
            return WriteTimeoutError()
        case _:
            return TransportError(record.text)


def _window_left_s(session: Session) -> float | None:
    if session.state is not SessionState.SUSPENDED:
        return None
    return max(0.0, session.window_ends - session.shard.clock())
