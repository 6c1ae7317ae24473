"""Of calls of the application to a client, and of their answers."""

from __future__ import annotations

from tests.support.simulation.faults.replacements import Faults, never
from wspulse.actors.sessions import session as sessions
from wspulse.actors.sessions.asking.answer import Answer
from wspulse.actors.sessions.asking.asking_inbox import AskingInbox, Waiting
from wspulse.actors.sessions.asking.call import _Deadline, end_calls
from wspulse.actors.sessions.session import Session
from wspulse.actors.values.close_code import CloseRow
from wspulse.actors.values.frame import Frame

__all__ = ["FAULTS"]


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


_detach = Session._detach
_answered = AskingInbox.answered

FAULTS: Faults = {
    "answer reaches a handler too": ((AskingInbox, "answered", _answer_and_handle),),
    "answer goes to another call": ((AskingInbox, "answered", _answer_any),),
    "call survives its session": ((sessions, "end_calls", never),),
    "suspension ends a call": ((Session, "_detach", _detach_and_end_calls),),
    "call's time is never over": ((_Deadline, "_look", never),),
    "call that has ended is kept": ((AskingInbox, "call_ends", never),),
    "call waits behind frames that wait for its handler": ((AskingInbox, "call_begins", _begin_call_and_lose_track),),
    "socket is read on when the last call has ended": ((AskingInbox, "_hold", never),),
}
