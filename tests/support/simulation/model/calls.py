"""Calls in a simulated history: what a session's client was asked, how it answers, and how each call has to end.

One per history, part of the model. A call is a direct frame to the client, whose payload is "c" and its number; the client
answers with "a" and that number, or with "e" for an error. How it does that (once, twice, late, never) goes by the number.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from tests.support.simulation.model.frames import CLOSED, CONNECTED, SessionModel
from wspulse.actors.sessions.inbox_limits import INBOUND_LIMIT_FRAMES
from wspulse.actors.values.errors import ConnectionClosedError, ReplyError, SendBufferFullError, ShardUnavailableError
from wspulse.actors.values.frame import Frame

if TYPE_CHECKING:
    from tests.support.simulation.model.model import Model
    from tests.support.simulation.outside.peer import SimPeer

__all__ = ["MORE_FRAMES", "SimCalls", "WaitingCall"]

MORE_FRAMES = 8
"""How many more may wait for a handler in a simulation while a call waits."""

_SLACK_S = 0.05
_EPSILON_S = 1e-6

_ANSWERS: tuple[tuple[bytes, ...], ...] = ((b"a",), (b"a",), (b"e",), (b"a", b"a"), (b"a", b"e"), (), ())
"""What a client answers at once; nothing: later, or never."""


class WaitingCall(NamedTuple):
    session: SessionModel
    due: float
    is_handlers: bool
    """Whether a handler of the session itself waits for it."""
    task: asyncio.Task[object] | None
    is_held: bool
    """Whether its session was between two processes when it began."""


class SimCalls:
    """See the module."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self.waiting: dict[int, WaitingCall] = {}
        self.unanswered: list[tuple[str, int]] = []
        """What clients have been asked and not answered at once: their ids, and the numbers of the calls."""
        self._delivered: defaultdict[int, list[tuple[bytes, SimPeer]]] = defaultdict(list)

    # The client.

    def asked(self, peer: SimPeer, number: int) -> None:
        """A client has got a call."""
        answers = _ANSWERS[number % len(_ANSWERS)]
        if not answers:
            self.unanswered.append((peer.connection_id, number))
        for kind in answers:
            if peer.can_send:
                peer.answer_call(kind, number)

    def delivered(self, peer: SimPeer, kind: bytes, number: int) -> None:
        """The server has read an answer."""
        self._delivered[number].append((kind, peer))

    # The application.

    async def call(self, session: SessionModel, timeout_s: float, *, is_handlers: bool) -> None:
        model = self._model
        if session.is_lost:
            return
        number = model.new_number()
        caller = session.process
        was_closed = session.state is CLOSED
        is_full = (
            session.state is CONNECTED
            and session.peer.socket.paused
            and session.real.queued_frames >= model.limit_frames
        )
        due = model.now + timeout_s
        if not session.is_between:
            # Else it is when its session is somewhere.
            model.direct_accepted(session, number)
        self.waiting[number] = WaitingCall(session, due, is_handlers, asyncio.current_task(), session.is_between)
        try:
            answer = await session.connection.call(Frame("ask", b"c%d" % number), timeout_s)
        except ReplyError as error:
            self._look_at_answer(session, number, b"e", error.payload)
        except TimeoutError:
            # A millisecond is less than a loop can tell apart.
            if model.now < due - 0.001 - _EPSILON_S:
                model.fail(f"{session}: call {number} ended at {model.now}, and its time at {due}")
        except ConnectionClosedError:
            if was_closed:
                self._refused(session, number)
            elif session.state is not CLOSED:
                model.fail(f"{session}: call {number} ended as if the session had, which is {session.state}")
        except ShardUnavailableError:
            # Or who called is in a process that has nothing left to do, and ends.
            if session.halted_at is None and not (caller is not None and caller.is_dead):
                model.fail(f"{session}: call {number} ended for a move, and it is not to move")
        except SendBufferFullError:
            self._refused(session, number)
            if not is_full:
                model.fail(f"{session}: send buffer full for call {number}")
        else:
            self._look_at_answer(session, number, b"a", answer.payload)
        finally:
            del self.waiting[number]

    def _refused(self, session: SessionModel, number: int) -> None:
        if self._model.is_accepted(number):
            self._model.direct_refused(session, number)

    def _look_at_answer(self, session: SessionModel, number: int, kind: bytes, payload: bytes) -> None:
        if self._model.trace is not None:
            self._model.note(f"{session}: call {number} is answered {payload!r}")
        first = self._delivered[number][:1]
        if payload != b"%s%d" % (kind, number) or not first or first[0][0] != kind:
            self._model.fail(f"{session}: call {number} got {payload!r}, and {first} was answered")

    # What must be true while nothing happens.

    def check(self, late_until: float) -> None:
        model = self._model
        counts: defaultdict[SessionModel, int] = defaultdict(int)
        for number, call in self.waiting.items():
            session, due, is_handlers, _, is_held = call
            counts[session] += 1
            if session.is_between:
                if not is_held:
                    model.fail(f"{session}: call {number} waits, and it is between two processes")
                continue
            if session.state is CLOSED:
                model.fail(f"{session}: call {number} waits, and the session has ended")
                return
            if max(due, late_until) + _SLACK_S < model.now:
                model.fail(f"{session}: call {number} waits, and its time was over at {due}")
            peer = session.peer
            is_read = session.state is CONNECTED and not peer.held and not peer.socket.closing
            if is_read and any(by is peer for _, by in self._delivered[number]):
                model.fail(f"{session}: call {number} waits, and {peer} has answered")
            waiting_frames = len(session.real.inbox._mailbox or ())
            if (
                is_handlers
                and session.state is CONNECTED
                and peer.held
                and not peer.is_held_up
                and waiting_frames < INBOUND_LIMIT_FRAMES + MORE_FRAMES
            ):
                model.fail(
                    f"{session}: a handler's call {number} waits behind {waiting_frames}, and {peer} is not read"
                )
        for session in model.live.values():
            if session.is_between:
                continue
            kept = session.real.inbox.asked or ()
            if len(kept) != counts[session]:
                model.fail(f"{session}: {len(kept)} calls are kept, and {counts[session]} wait")
