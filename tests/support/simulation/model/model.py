"""`Model`: what must be true of sessions, transports and callbacks in a simulated history (contract §3, §4).

One per history. It hears of every write to a socket, every change of a session's state and every callback, works out by
itself what is allowed then, and keeps the first violation. The checks that need a pause are in `sim_checks`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.support.simulation.loop import SimLoop
from tests.support.simulation.model.calls import SimCalls
from tests.support.simulation.model.ends import reason_of
from tests.support.simulation.model.exact import ExactModel
from tests.support.simulation.model.frames import CLOSED, CONNECTED, SUSPENDED, SessionModel
from tests.support.simulation.model.handlers import Run
from tests.support.simulation.model.losses import LossModel
from tests.support.simulation.model.patience import AT_ONCE, CLOSES, EPSILON_S
from wspulse.actors.values.errors import (
    DuplicateConnectionIDError,
    PeerClosedError,
    ServerClosedError,
)

if TYPE_CHECKING:
    from tests.support.simulation.outside.peer import SimPeer
    from wspulse.actors.sessions.connections.connection import Connection
    from wspulse.actors.sessions.session import Session
    from wspulse.actors.values.options.server_options import ServerOptions

__all__ = ["Model"]


class Model(LossModel):
    """See the module."""

    def __init__(self, loop: SimLoop, options: ServerOptions, callbacks: frozenset[str]) -> None:
        super().__init__(loop, options)
        self.callbacks = callbacks
        """Which of the five the application has."""
        self.strict = len(callbacks) == 5
        self.live: dict[str, SessionModel] = {}
        self.sessions: list[SessionModel] = []
        self.of: dict[Connection, SessionModel] = {}
        self.senders: dict[int, SimPeer] = {}
        """Inbound message's number → who sent it."""
        self.ordered: tuple[str, SessionModel | None, tuple[int, str | None]] | None = None
        """What is ordered right now: ("kick" or "close", session, (code, reason)) or ("shutdown", None, …), by the application;
        ("drain", session, (code, None)) where it cannot move."""
        self.closing = False
        self.calls = SimCalls(self)
        self._accepting: SimPeer | None = None
        self._duplicate: SessionModel | None = None
        self._was_connected = False
        """Whether that one was."""
        self._ended: list[SimPeer] = []
        self._keys: set[tuple[int, int]] = set()
        self._of_session: dict[Session, SessionModel] = {}

    # Writes.

    def wrote(self, peer: SimPeer, data: bytes) -> list[tuple[int, bytes]]:
        """The server writes to a peer. Returns the frames in it; an HTTP answer has opcode 0."""
        if data[0] == 72:
            self._answered(peer, int(data[9:12]))
            return [(0, data)]
        self.bytes_out += len(data)
        frames: list[tuple[int, bytes]] = []
        position, size = 0, len(data)
        while position < size:
            opcode = data[position] & 15
            end = position + 2 + data[position + 1]
            payload = data[position + 2 : end]
            position = end
            if peer.close_written is not None or not peer.accepted:
                self.fail(f"{peer}: opcode {opcode} was written after the close frame or before the 101")
            if opcode == 2:
                self.data_written(peer, payload)
            elif opcode == 10:
                peer.pinged = False
            elif opcode == 9:
                self.pinged(peer, payload)
            elif opcode == 8:
                peer.close_written = (int.from_bytes(payload[:2]), payload[2:].decode()) if payload else (0, "")
                peer.was_silent = self.is_silent(peer)
                if frames and peer.close_written[1] in AT_ONCE:
                    self.fail(f"{peer}: {frames} written before the close frame {peer.close_written}, not discarded")
            frames.append((opcode, payload))
        if self.trace is not None:
            self.note(f"{peer} <- {frames}")
        return frames

    def _answered(self, peer: SimPeer, status: int) -> None:
        if self.trace is not None:
            self.note(f"{peer} <- HTTP {status}")
        if peer.answer:
            self.fail(f"{peer}: answered {peer.answer} and {status}")
        peer.answer = status
        own = self._own(peer)
        if own is not None:
            peer.connection_id = own.id
        live = self.live.get(peer.connection_id)
        if status == 101:
            self._accepted(peer, live)
        elif status == 409:
            is_duplicate = live is not None and live.state is CONNECTED and self.options.on_duplicate == "reject"
            is_duplicate = is_duplicate and own is None
            if not is_duplicate and (live is None or not peer.eof_delivered):
                self.fail(f"{peer}: rejected as a duplicate of {live} {live and live.state}")
        elif status != 503 or not (self.closing or self.now >= peer.answer_by):
            self.fail(f"{peer}: answered {status}")

    def _accepted(self, peer: SimPeer, live: SessionModel | None) -> None:
        if self.closing:
            self.fail(f"{peer}: accepted after the server closed")
        if self._accepting is not None:
            self.fail(f"{self._accepting}: a 101, and nothing came of it")
        self._accepting = peer
        peer.accepted = True
        peer.accepted_at = self.now
        peer.early_messages = peer.messages_delivered
        peer.next_ping = self.now + self.options.ping_period
        if live is None:
            if self._duplicate is not None and self._duplicate.id == peer.connection_id:
                self._look_at_duplicate(peer, self._duplicate)
                self._duplicate = None
                if peer.socket.closing:
                    self.fail(f"{peer}: a newcomer that is gone ended the session of its id")
            live = SessionModel(len(self.sessions) + 1, peer.connection_id, self.room(peer.room_id), peer)
            live.scripts = peer.scripts
            for room_id in peer.rooms:
                live.membership(self.room(room_id)).joined()
            if peer.client is not None:
                live.exact = ExactModel(self, live)
            self.sessions.append(live)
            self.live[live.id] = live
        elif self._own(peer) is None and (peer.client is not None or live.exact is not None):
            self.fail(f"{peer}: accepted as {live}, whose client it is not")
        elif live.state is SUSPENDED:
            live.peer = peer
        elif live.exact is not None:
            if not self.options.resume_window:
                self._taken_over(live, peer)
        elif self.options.on_duplicate != "resume":
            self.fail(f"{peer}: accepted while {live} is connected")
        elif peer.socket.closing:
            self.fail(f"{peer}: a newcomer that is gone replaced the transport of {live}")
        peer.session = live
        if live.exact is not None:
            live.exact.is_recovered = self._own(peer) is live

    def _own(self, peer: SimPeer) -> SessionModel | None:
        """The session that this newcomer may have, since it is its own client's."""
        claim = peer.claim
        if claim is None:
            return None
        live = next(
            (session for session in self.live.values() if session.exact and session.exact.token == claim.token), None
        )
        if live is None or live.exact is None or not live.exact.is_of(*claim[:2]):
            return None
        return live if claim.is_nameless or live.id == peer.connection_id else None

    def _look_at_duplicate(self, peer: SimPeer, old: SessionModel) -> None:
        """A newcomer has ended the session of its id."""
        is_strange = peer.client is not None or old.exact is not None
        if not is_strange and (not self._was_connected or self.options.on_duplicate != "kick"):
            self.fail(f"{peer}: ended {old}, which was {self._was_connected=}")
        if self._was_connected and self.options.on_duplicate == "reject":
            self.fail(f"{peer}: ended {old}, which is connected")
        if old.exact is not None and peer.claim is not None and old.exact.is_of(*peer.claim[:2]):
            self.fail(f"{peer}: ended {old}, whose client it is")

    def _taken_over(self, live: SessionModel, peer: SimPeer) -> None:
        """Without a window nobody is told of it."""
        old = live.peer
        self._ended.append(old)
        old.ended_at = self.now
        old.expected_close = (1000, "replaced")
        live.peer = peer
        live.peers.append(peer)
        self._accepting = None

    def replaces(self, peer: SimPeer) -> bool:
        newer = self._accepting
        return newer is not None and newer is not peer and newer.session is peer.session

    # Changes of state, as the shard tells those who listen.

    def event(self, kind: str, session: Session, error: BaseException | None) -> None:
        if self.trace is not None:
            self.note(f"{session.id} {kind} {error!r}")
        if kind == "connect":
            self._connected(session)
            return
        model = self._of_session.get(session)
        if model is None or model.state is CLOSED:
            self.fail(f"{session.id}: {kind} of a session that is over or never began")
        elif kind == "drop":
            self._dropped(model, error)
        elif kind == "restore":
            self._restored(model)
        else:
            self._disconnected(model, error)

    def _take_newcomer(self, model: SessionModel | None) -> None:
        peer, self._accepting = self._accepting, None
        if peer is None or model is None or peer.session is not model:
            self.fail(f"{model} got a transport, and the 101 went to {peer}")

    def _connected(self, session: Session) -> None:
        model = self.live.get(session.id)
        self._take_newcomer(model)
        if model is None or hasattr(model, "real"):  # as one that is between two processes has
            self.fail(f"{model}: a second session of one id")
            return
        if session.key in self._keys:
            self.fail(f"{model}: the birth key {session.key} was another session's")
        self._keys.add(session.key)
        model.real = session
        model.connection = session.connection
        self._of_session[session] = model
        self.of[session.connection] = model
        self._expect(model, "on_connect", None)

    def _dropped(self, model: SessionModel, error: BaseException | None) -> None:
        peer = model.peer
        self._ended.append(peer)
        peer.ended_at = self.now
        if model.state is not CONNECTED or not self.options.resume_window:
            self.fail(f"{model}: drop of a {model.state} session")
        accepting = self._accepting
        if accepting is not None and accepting.session is model:
            peer.expected_close = (1000, "replaced")
            # Its peer is dead for the application; what it had brought is not.
            if peer is not model.raised_by:
                peer.owed_messages = peer.messages_delivered
            model.peer = accepting
        else:
            self.look_at_loss(model, peer, error)
            if self.says_goodbye(peer, error):
                self.fail(f"{model}: suspended after a clean close")
            if error is None or isinstance(error, PeerClosedError):
                self.nobody_waits(model, is_ordered=False)
        model.state = SUSPENDED
        model.drop_error = error
        model.deadline, model.stood_s = self.now + self.options.resume_window, 0.0
        self._expect(model, "on_transport_drop", error)

    def _restored(self, model: SessionModel) -> None:
        self._take_newcomer(model)
        if model.state is not SUSPENDED:
            self.fail(f"{model}: restore of a {model.state} session")
        model.state = CONNECTED
        model.peers.append(model.peer)
        self._expect(model, "on_transport_restore", None)

    def _disconnected(self, model: SessionModel, error: BaseException | None) -> None:
        peer = model.peer
        ordered = self.ordered
        was_connected = model.state is CONNECTED
        if was_connected:
            self._ended.append(peer)
            peer.ended_at = self.now
        by_peer = False
        expected: tuple[int, str | None]
        if (ordered is not None and ordered[1] is model and error is None) or (
            ordered is not None and ordered[0] in ("shutdown", "drain") and isinstance(error, ServerClosedError)
        ):
            expected = ordered[2]
        elif isinstance(error, DuplicateConnectionIDError):
            expected = (1000, "duplicate connection id")
            self._duplicate, self._was_connected = model, was_connected
            if error.connection_id != model.id:
                self.fail(f"{model}: ended by a duplicate of {error.connection_id}")
        else:
            by_peer = True
            if was_connected:
                self.look_at_loss(model, peer, error)
                if self.options.resume_window and not self.says_goodbye(peer, error):
                    self.fail(f"{model}: ended by {error!r}, not suspended")
            elif (
                error is not model.drop_error
                or self.now < model.deadline
                or not self.loop.in_timers
                or self.loop.now < self.settled_at - EPSILON_S
            ):
                self.fail(
                    f"{model}: ended with {error!r}, dropped by {model.drop_error!r}, window until {model.deadline}"
                )
        # What an exact session has taken is handled, though the server closes.
        is_outlasted = model.exact is not None and isinstance(error, ServerClosedError)
        if not by_peer:
            for other in model.peers:
                other.owed_messages = 0
            if was_connected:
                peer.expected_close = expected
                if expected in CLOSES or expected[1] == "server shutting down" or expected[0] == 1012:
                    self.look_at_rest(model)
            if expected[1] != "duplicate connection id" and not is_outlasted:
                # What the application has ended hears of nothing else but that.
                model.expected.clear()
        self.ends[reason_of(None if by_peer else ordered, was_connected, error)] += 1
        is_ordered = not by_peer and not isinstance(error, DuplicateConnectionIDError)
        model.is_ordered = is_ordered and not is_outlasted
        self.nobody_waits(model, is_ordered=is_ordered)
        model.state = CLOSED
        if self.live.get(model.id) is model:
            del self.live[model.id]
        self._expect(model, "on_disconnect", error)

    # Callbacks.

    def _expect(self, model: SessionModel, kind: str, error: BaseException | None) -> None:
        if kind in self.callbacks:
            model.expected.append((kind, error))

    def callback_begins(self, model: SessionModel, kind: str, error: BaseException | None) -> Run:
        run = self.enter(model, kind)
        if self.trace is not None:
            self.note(f"{model} {kind} begins, {error!r}")
        if not model.expected or model.expected[0] != (kind, error):
            self.fail(f"{model}: {kind} with {error!r}, expected is {model.expected[:1]}")
            return run
        del model.expected[0]
        if kind == "on_transport_restore":
            model.restores += 1
        elif model.exact is not None:
            if kind == "on_disconnect" and "on_message" in self.callbacks and not model.is_ordered:
                model.exact.check_handled("it ends", model.exact.told)
        elif "on_message" in self.callbacks and (
            kind == "on_disconnect" or (kind == "on_transport_drop" and self.strict)
        ):
            for peer in model.peers if kind == "on_disconnect" else model.peers[: model.restores + 1]:
                if peer.handled < peer.owed_messages:
                    self.fail(
                        f"{model}: {kind} before message {peer.handled + 1} of {peer.messages_delivered} of {peer}"
                    )
        return run

    def message_begins(self, model: SessionModel, number: int) -> Run:
        run = self.enter(model, "on_message")
        if self.trace is not None:
            self.note(f"{model} on_message {number} begins")
        peer = self.senders[number]
        if model.exact is not None:
            model.exact.message_begins(number)
            return run
        handled = peer.handled
        peer.handled = handled + 1
        if peer.session is not model:
            self.fail(f"{model}: on_message of {number}, which {peer} sent")
        elif handled >= len(peer.messages_sent) or peer.messages_sent[handled] != number:
            self.fail(f"{model}: message {number} of {peer} out of order: {peer.messages_sent}, handled {handled}")
        elif self.strict and (
            model.peers[model.restores] is not peer
            or (model.expected and model.expected[0][0] in ("on_connect", "on_transport_restore"))
        ):
            self.fail(f"{model}: message {number} of {peer} with {model.expected} still to come")
        return run

    def handler_raises(self, run: Run, number: int | None, error: BaseException) -> None:
        if run.cancelled_at is not None:
            # As late it counts once, but for what it raises besides long after; for nobody only what it raises besides.
            counts = not isinstance(error, asyncio.CancelledError) and (run.has_refused or not run.is_late)
            self.raises += counts
            if not counts or run.is_late:
                return
        else:
            self.raises += 1
        if number is not None:
            model = run.session
            model.raised = error
            model.raised_by = self.senders[number]
            model.raised_by.owed_messages = 0

    def message_is_late(self, run: Run, number: int) -> None:
        """Its on_message is cancelled, and has raised."""
        model = run.session
        model.late_by = model.raised_by = self.senders[number]
        model.raised_by.owed_messages = 0

    # After each step.

    def settle(self) -> None:
        """One event is dealt with: close frames were as they must be, and nothing half done is left."""
        if self._accepting is not None:
            self.fail(f"{self._accepting}: a 101, and no session got this transport")
        if self._duplicate is not None:
            self.fail(f"{self._duplicate}: ended by a duplicate that was not accepted")
        if self._ended:
            for peer in self._ended:
                written, expected = peer.close_written, peer.expected_close
                if expected is None:
                    if written is not None:
                        self.fail(f"{peer}: close frame {written}, expected none")
                elif written is None or written[0] != expected[0] or expected[1] not in (None, written[1]):
                    self.fail(f"{peer}: close frame {written}, expected {expected}")
            self._ended.clear()
