"""What an exact session has beside any other, as it travels to another process, and how it goes on there.

Called by `recording` of `transfer`, with a session that is at rest.
"""

from __future__ import annotations

from wspulse.actors.sessions.exact.log import SendLog
from wspulse.actors.sessions.exact.session import ExactSession
from wspulse.actors.sessions.transfer.record import ExactRecord

__all__ = ["exact_record_of", "restore_exact"]


def exact_record_of(session: ExactSession) -> ExactRecord:
    log = session.log
    return ExactRecord(
        token=session.token,
        received=session.inbox.received,
        told=session._told,
        untold_bytes=session._untold_bytes,
        owes_ack=session._owes_ack,
        greeting=session._first,
        frames=log.held(),
        first=log.first,
        unsent=log.unsent,
        gap=log.gap,
        acknowledged=log.acknowledged,
        sent_before=log.sent_before,
    )


def restore_exact(session: ExactSession, record: ExactRecord) -> None:
    """Have one that has just been made go on where another process has left it."""
    options = session.shard.options
    session.token = record.token
    session.inbox.received = record.received
    session._told, session._untold_bytes, session._owes_ack = record.told, record.untold_bytes, record.owes_ack
    session._first = record.greeting
    session.log = SendLog.of(
        options.send_buffer_size,
        options.send_buffer_bytes,
        record.frames,
        first=record.first,
        unsent=record.unsent,
        gap=record.gap,
        acknowledged=record.acknowledged,
        sent_before=record.sent_before,
    )
