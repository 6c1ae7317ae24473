"""`Transport`: the socket that carries a session now, on an `asyncio.Protocol`.

Created when an upgrade is accepted, by the acceptor of the shard that owns the id or from a descriptor that was handed over.
It cuts frames and hands them to its session, writes what the session and the room give it, answers pings, and keeps its
deadlines through the shard's ticker: an idle transport costs no task and no timer. Its state changes through `_apply` alone,
by the table in `state`.
"""

from __future__ import annotations

import asyncio
from typing import cast

from wspulse.actors.transport.client import (
    abort,
    close,
    end_writing,
    is_behind,
    pause_reading,
    resume_reading,
    shut_down,
    unread_bytes,
)
from wspulse.actors.transport.contract import TransportShard
from wspulse.actors.transport.farewell import farewell_of
from wspulse.actors.transport.limits import AHEAD_BYTES, TURN_BYTES, TURN_FRAMES
from wspulse.actors.transport.patience.heartbeat import Heartbeat
from wspulse.actors.transport.patience.parting import CLOSE_WAIT_S, DISCARD_WAIT_S
from wspulse.actors.transport.refusal import Refusal
from wspulse.actors.transport.rest import bequeath, comes_to_close, hand_over
from wspulse.actors.transport.state import CARRYING, TransportEffect, TransportEvent, TransportState, transition
from wspulse.actors.transport.transfer.departure import Departure
from wspulse.actors.transport.transfer.movable import Movable
from wspulse.actors.transport.upgrade import Upgrade
from wspulse.actors.values.close_code import CloseReason
from wspulse.actors.values.errors import KeepaliveTimeoutError, ProtocolError, WriteTimeoutError
from wspulse.actors.wire.frames import BINARY, CLOSE, PING, PONG, encode_close, encode_frame
from wspulse.actors.wire.framing import SPENT, FrameParser

__all__ = ["Transport"]

_OPEN, _HELD = TransportState.OPEN, TransportState.HELD
_ANSWERING = CARRYING | {TransportState.WAITING, TransportState.WAITING_HELD}
"""In which there is, or may be, something to be said to the peer."""


class Transport(Movable["TransportShard[Transport]"]):
    """See the module. Flags that come and go in each state are no part of it: `blocked`, of the outlet; `corked`, during a read,
    at whose end is written what was sent meanwhile; `half_closed`, when the peer has ended its stream and may still read
    answers."""

    __slots__ = ("_is_released", "corked", "upgrade")

    def __init__(
        self, shard: TransportShard[Transport], upgrade: Upgrade | None = None, parser: FrameParser | None = None
    ) -> None:
        """One of a newcomer; or, without an upgrade, of a session that has one, with what was read of its socket."""
        super().__init__(shard, TransportState.WAITING if upgrade is not None else _OPEN, parser)
        self.upgrade = upgrade
        """What the session will be made of, while it waits."""
        self.corked = False
        self._is_released = False

    # From the loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Also called by the acceptor when it hands its own socket transport to this protocol. The upgrade is admitted."""
        client = cast("asyncio.Transport", transport)
        self._open_outlet(client)
        if self.state is TransportState.WAITING_HELD:
            client.pause_reading()
        if self.upgrade is not None:
            self.shard.admission.admit(self, self.upgrade)

    def data_received(self, data: bytes) -> None:
        """Take what was read, and hand over what is complete, until it is used up or the session is behind."""
        self.shard.metrics.bytes_in += len(data)
        if self.state is not _OPEN:
            self._read_aside(data)
            return
        parser = self._parser
        session = self.session
        assert session is not None
        self.corked = True
        frames = 0
        try:
            message = parser.take(data)
            while message is not None:
                opcode, payload = message
                if opcode <= BINARY:
                    session.inbox.receive(opcode, payload)
                elif opcode == PING:
                    self._owing().pong(payload, newest_only=self.blocked)
                elif opcode == PONG:
                    assert self._heartbeat is not None
                    self._heartbeat.hear(payload)
                elif opcode == CLOSE:
                    self._peer_closed(payload)
                    break
                else:
                    self._end_turn()
                if not parser.rest or self.state is not _OPEN:
                    break
                frames += 1
                if frames == TURN_FRAMES:
                    self._end_turn()
                    break
                message = parser.next()
        except ProtocolError as error:
            self._protocol_broken(error)
        finally:
            self.corked = False
            if self._owed is not None and not self.blocked:
                self._write_owed()
            session.flush()
        if len(data) >= TURN_BYTES:
            self._end_turn()

    def eof_received(self) -> bool:
        """The peer has ended its stream. Returns whether the socket stays open for what it may still read: the answer to its
        upgrade, and for a moment those to its messages, unless its session waits for a next transport, which gets them."""
        if self.state in (TransportState.WAITING, TransportState.WAITING_HELD):
            self.half_closed = True
        elif self.state in CARRYING:
            self.half_closed = self.session is not None and self.session.answers_are_due
            if self.half_closed:
                # It may well be gone: its session must not be kept for it as long as a handler likes.
                self.shard.at(self.shard.clock() + CLOSE_WAIT_S, self._answers_are_overdue)
            elif is_behind(self._client):
                self._apply(TransportEvent.PEER_END)
                return True
        elif is_behind(self._client):
            # Its time for our last words runs already; if the loop closes the socket the kernel keeps them.
            end_writing(self._client)
            return True
        return self.half_closed and self.state in _ANSWERING

    def pause_writing(self) -> None:
        self.blocked = True
        if self._heartbeat is not None:
            self._heartbeat.stop(self.shard.clock())
        if self.state in _ANSWERING:
            self._watch_writing()
        if self.session is not None:
            self.session.blocked()

    def resume_writing(self) -> None:
        self.blocked = False
        self._stop_watch()
        if self._heartbeat is not None and self.state is _OPEN:
            self._heartbeat.go_on(self.shard.clock())
        self._write_owed()
        if self.session is not None:
            self.session.unblocked()

    def connection_lost(self, exc: BaseException | None) -> None:
        shut_down(self._client)
        # Not in that of whoever wrote and so found it, the handler of another session perhaps: what is logged is not theirs.
        self.shard.context.copy().run(self._apply, TransportEvent.LOSE, cause=exc)

    # From the shard and the session.

    @property
    def closing(self) -> bool:
        """Whether the socket has ended, though `connection_lost` may still be on its way."""
        return self._client is None or self._client.is_closing()

    @property
    def latency_s(self) -> float | None:
        """How long the peer took to answer the last ping that it has answered."""
        return None if self._heartbeat is None else self._heartbeat.latency_s

    def keep(self, data: bytes) -> None:
        """Keep what the peer sent before it could have an answer, or the loop its socket."""
        self.shard.metrics.bytes_in += len(data)
        self._keep(data)

    def _keep(self, data: bytes) -> None:
        self._parser.feed(data)
        if self._parser.leftover_bytes > AHEAD_BYTES:
            self.hold()

    def accept(self, answer: bytes) -> None:
        """Write the 101; the session attaches next, then `start` handles what the peer sent ahead."""
        self._apply(TransportEvent.ACCEPT, answer)

    def start(self) -> None:
        """Handle what came before the 101, from the loop; a session whose handler is behind releases us later."""
        if self.state is _HELD or self.half_closed or self._parser.leftover_bytes:
            self.release()

    def refuse(self, answer: bytes) -> None:
        """Have a newcomer answered in HTTP. Its socket is no longer ours."""
        self._apply(TransportEvent.REFUSE, answer)

    def finish(self, code: int, reason: str, data: bytes = b"", *, at_once: bool = False) -> None:
        """Send `data` and a close frame; then the peer's close frame is awaited. The session has let go. With `at_once` a peer
        that takes nothing is reset soon."""
        ended = self._parser.ended or self.half_closed
        event = TransportEvent.FINISH_LAST if ended else TransportEvent.FINISH
        self._apply(event, data + encode_close(code, reason), at_once=at_once)

    def hand_over_rest(self) -> None:
        """Give the session what was read and not yet handled, before it loses this transport."""
        if self.session is not None:
            hand_over(self._parser, self.session.inbox.receive_rest)

    def hold(self) -> None:
        """Stop reading, if it is read: the session's handler is behind. The pong clock stands."""
        if self.state in (_OPEN, _HELD, TransportState.WAITING):
            self._apply(TransportEvent.HOLD)

    def release(self) -> None:
        """Read on, from the loop, when what was read is handled; a session that is behind again then releases us again."""
        if not self._is_released:
            self._is_released = True
            self.shard.loop.call_soon(self._next_turn, context=self.shard.context.copy())  # not in a handler's

    def answers_are_out(self) -> None:
        """Nothing waits for the handler any more of a peer that has ended its stream."""
        if is_behind(self._client):
            self._apply(TransportEvent.PEER_END)
        else:
            close(self._client)

    def _answers_are_overdue(self, _now: float) -> None:
        if self.state in CARRYING:
            self.answers_are_out()

    # State.

    def _apply(
        self,
        event: TransportEvent,
        words: bytes = b"",
        *,
        answer_s: float = CLOSE_WAIT_S,
        at_once: bool = False,
        cause: BaseException | None = None,
        departure: Departure | None = None,
    ) -> None:
        """Take one row of the table. `words` are what is written, and `answer_s` is the peer's time after the last of them;
        `cause` is why the socket was lost, `departure` what takes it."""
        self.state, effects = transition(self.state, event)
        for effect in effects:
            # Those of every connection first: they are looked at from the top.
            match effect:
                case TransportEffect.ANSWER:
                    self.shard.writing.data = words
                    self.write(words)
                    self._heartbeat = Heartbeat(self, self.shard.clock())
                case TransportEffect.LET_GO:
                    self.shard.transport_gone(self)
                    self._let_go()
                case TransportEffect.SAY:
                    self._say(words, answer_s, at_once)
                case TransportEffect.CLOSE:
                    close(self._client)
                case TransportEffect.BEQUEATH if self.session is not None:
                    bequeath(self._parser, self.session, cause)
                case TransportEffect.STOP_CLOCK if self._heartbeat is not None:
                    self._heartbeat.stop(self.shard.clock())
                case TransportEffect.PAUSE:
                    pause_reading(self._client)
                case TransportEffect.GO_ON if self._heartbeat is not None and not self.blocked:
                    self._heartbeat.go_on(self.shard.clock())
                case TransportEffect.RESUME:
                    resume_reading(self._client)
                case TransportEffect.CATCH_UP:
                    self._catch_up()
                case TransportEffect.LOOK:
                    self._look_for_close()
                case TransportEffect.REFUSE:
                    assert self.upgrade is not None
                    assert self._client is not None
                    if self.half_closed:
                        # Both loops read no further once they have told of the end; so they tell who has the socket next.
                        pause_reading(self._client)
                        resume_reading(self._client)
                    Refusal(self.shard, words, self.upgrade.deadline).take(self._client)
                case TransportEffect.SHUT:
                    # Closing at once would reset what the peer has not read yet.
                    end_writing(self._client)
                case TransportEffect.ABORT:
                    self.shard.transport_ending(self)
                    abort(self._client)
                case TransportEffect.DEPART:
                    assert departure is not None
                    departure.take()
                case TransportEffect.LEAVE:
                    self.shard.admission.gone(self)

    def _let_go(self) -> None:
        """Forget everybody: whoever still has a deadline for this transport must not keep what it held."""
        self._close_outlet()
        if self._heartbeat is not None:
            self._heartbeat.end()
        self._parser = SPENT
        self.upgrade = self.session = self._heartbeat = None

    # Inbound.

    def _end_turn(self) -> None:
        """It has had its share: others have their turn before it is read on."""
        if self.state is _OPEN:
            self._apply(TransportEvent.YIELD)
            self.release()

    def _next_turn(self) -> None:
        self._is_released = False
        if self.state is _OPEN:
            self._catch_up()
        elif self.state is _HELD and self.session is not None and not self.session.inbox.behind:
            self._apply(TransportEvent.RELEASE)
        elif self.state is TransportState.CLOSING:
            self._look_for_close()
            if not self._is_released:
                resume_reading(self._client)

    def _catch_up(self) -> None:
        """Handle what was read, and read on where that is all."""
        if self._parser.leftover_bytes:
            self.data_received(b"")
        if self.state not in (_HELD, TransportState.STOPPED) and not self._is_released:
            # In whatever state that has left it; unless its next turn has yet to come.
            resume_reading(self._client)
        if self.half_closed and self.state is _OPEN and self.session is not None and not self.session.answers_are_due:
            self.answers_are_out()

    def _read_aside(self, data: bytes) -> None:
        """What is read while no session is to be given it."""
        match self.state:
            case TransportState.WAITING:
                self._keep(data)
            case TransportState.WAITING_HELD | TransportState.HELD | TransportState.STOPPED:
                self._parser.feed(data)
                # A loop begins to read behind `connection_made`, whatever that has said.
                pause_reading(self._client)
            case TransportState.CLOSING:
                self._parser.feed(data)
                self._look_for_close()

    def _peer_closed(self, payload: bytes) -> None:
        """The peer said goodbye: the queue is flushed, its close frame answered, and the socket closed by us."""
        farewell = farewell_of(payload)
        session = self.session
        assert session is not None
        session.flush()
        farewell.tell(session)
        self._apply(TransportEvent.PEER_CLOSE, encode_frame(CLOSE, payload[:2]))

    def _protocol_broken(self, error: ProtocolError) -> None:
        session = self.session
        assert session is not None
        self.shard.protocol_broken(session.id, error)
        session.flush()
        session.transport_lost(error)
        self._apply(TransportEvent.VIOLATE, encode_close(error.close_code, error.reason), answer_s=DISCARD_WAIT_S)

    def _look_for_close(self) -> None:
        """In a turn's share of what was read; a peer may flood us to the end."""
        try:
            found = comes_to_close(self._parser, TURN_FRAMES)
            if found:
                self._apply(TransportEvent.HEAR)
            elif found is None:
                pause_reading(self._client)
                self.release()
        except ProtocolError:
            self._apply(TransportEvent.GARBLE)

    # Deadlines: what the heartbeat, the watch and the parting ask and report.

    def fell_silent(self) -> None:
        assert self.session is not None
        self.shard.peer_cut("silent", self.session.id)
        self.hand_over_rest()
        self.session.transport_failed(KeepaliveTimeoutError(), CloseReason.KEEPALIVE_TIMEOUT)

    @property
    def unhandled_bytes(self) -> int:
        return unread_bytes(self._client) + (self._parser.leftover_bytes if self.state is _HELD else 0)

    @property
    def has_ended(self) -> bool:
        return self.state is TransportState.GONE

    def stalled(self) -> None:
        if self.session is not None:
            self.shard.peer_cut("stalled", self.session.id)
            self.hand_over_rest()
            self.session.transport_lost(WriteTimeoutError())
        self._apply(TransportEvent.STALL)

    def patience_ends(self) -> None:
        if self.unsent_bytes:
            self.shard.peer_cut("closing", "")
        self._apply(TransportEvent.EXPIRE)
