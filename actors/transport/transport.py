"""`Transport`: the socket that carries a session now, on an `asyncio.Protocol`.

Created when an upgrade is accepted, by the acceptor of the shard that owns the id or from a descriptor that was handed over.
It cuts frames and hands them to its session, writes what the session and the room give it, answers pings, and keeps its
deadlines through the shard's ticker: an idle transport costs no task and no timer. Its state changes through `_apply` alone,
by the table in `state`.
"""

from __future__ import annotations

import asyncio
from typing import cast

from wspulse.actors.transport.contract import Carried, TransportShard, end_writing
from wspulse.actors.transport.farewell import Farewell, farewell_of
from wspulse.actors.transport.heartbeat import Heartbeat
from wspulse.actors.transport.refusal import Refusal
from wspulse.actors.transport.state import TransportEffect, TransportEvent, TransportState, transition
from wspulse.actors.transport.upgrade import Upgrade
from wspulse.actors.transport.write_watch import WriteWatch
from wspulse.actors.values.close_code import CloseReason
from wspulse.actors.values.errors import ConnectionLostError, KeepaliveTimeoutError, ProtocolError, WriteTimeoutError
from wspulse.actors.wire.frames import BINARY, CLOSE, PING, PONG, encode_close, encode_frame
from wspulse.actors.wire.framing import FrameParser

__all__ = ["AHEAD_BYTES", "Transport"]

_CLOSE_WAIT_S = 3.0
"""How long the peer's answer to a close frame is awaited (contract.md §3)."""

_DISCARD_WAIT_S = 1.0
"""How long a peer that broke the protocol may go on sending before it is reset: long enough to read why."""

AHEAD_BYTES = 512 * 1024
"""How much a peer may send ahead of its 101 before its socket is no longer read."""

_PING = encode_frame(PING, b"")
_OPEN, _HELD = TransportState.OPEN, TransportState.HELD


class Transport(asyncio.Protocol):
    """See the module. Two flags are no part of the state, since they come and go in each of them: `blocked`, while the kernel
    takes no more, and `corked`, during a read, at whose end is written what was sent meanwhile."""

    __slots__ = (
        "_client",
        "_heartbeat",
        "_parser",
        "_pongs",
        "_watch",
        "blocked",
        "corked",
        "session",
        "shard",
        "state",
        "upgrade",
        "write",
    )

    def __init__(self, shard: TransportShard[Transport], upgrade: Upgrade) -> None:
        self.shard = shard
        self.upgrade: Upgrade | None = upgrade
        """What the session will be made of, while it waits."""
        self.state = TransportState.WAITING
        self.session: Carried | None = None
        self.blocked = False
        self.corked = False
        self._heartbeat: Heartbeat | None = None
        self._pongs: list[bytes] | None = None
        self._watch: WriteWatch | None = None
        self._parser: FrameParser = FrameParser(shard.options.max_message_size)
        self._client: asyncio.Transport | None = None

    # From the loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Also called by the acceptor when it hands its own socket transport to this protocol. The upgrade is admitted."""
        client = cast("asyncio.Transport", transport)
        self._client = client
        self.write = client.write
        # Write at once, and say so as soon as the kernel refuses a byte: exact backpressure, and the cheapest write.
        client.set_write_buffer_limits(high=0)
        if self.state is TransportState.WAITING_HELD:
            client.pause_reading()
        if self.upgrade is not None:
            self.shard.admission.admit(self, self.upgrade)

    def data_received(self, data: bytes) -> None:
        """Take what was read, and hand over what is complete, until it is used up or the session is behind."""
        if self.state is not _OPEN:
            self._read_aside(data)
            return
        parser = self._parser
        session = self.session
        assert session is not None
        self.corked = True
        try:
            message = parser.take(data)
            while message is not None:
                opcode, payload = message
                if opcode <= BINARY:
                    session.inbox.receive(opcode, payload)
                elif opcode == PING:
                    self._answer_ping(payload)
                elif opcode == PONG:
                    assert self._heartbeat is not None
                    self._heartbeat.last_pong = self.shard.clock()
                else:
                    self._peer_closed(payload)
                    break
                if not parser.rest or self.state is not _OPEN:
                    break
                message = parser.next()
        except ProtocolError as error:
            self._protocol_broken(error)
        finally:
            self.corked = False
            if self._pongs is not None and not self.blocked:
                self._write_pongs()
            session.flush()

    def eof_received(self) -> None:
        return None

    def pause_writing(self) -> None:
        self.blocked = True
        self._watch_writing()
        if self.session is not None:
            self.session.blocked()

    def resume_writing(self) -> None:
        self.blocked = False
        self._stop_watch()
        self._write_pongs()
        if self.session is not None:
            self.session.unblocked()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._apply(TransportEvent.LOSE, cause=exc)

    # From the shard and the session.

    @property
    def closing(self) -> bool:
        """Whether the socket has ended, though `connection_lost` may still be on its way."""
        return self._client is None or self._client.is_closing()

    def keep(self, data: bytes) -> None:
        """Keep what the peer sent before it could have an answer."""
        self._parser.feed(data)
        if self._parser.leftover_bytes > AHEAD_BYTES:
            self.hold()

    def accept(self, answer: bytes) -> None:
        """Write the 101; the session attaches next, then `start` handles what the peer sent ahead."""
        self._apply(TransportEvent.ACCEPT, answer)

    def start(self) -> None:
        """Handle what came before the 101, from the loop; a session whose handler is behind releases us later."""
        if self.state is _HELD and not (self.session is not None and self.session.inbox.behind):
            self.release()
        elif self._parser.leftover_bytes:
            self.shard.loop.call_soon(self._go_on)

    def refuse(self, answer: bytes) -> None:
        """Have a newcomer answered in HTTP. Its socket is no longer ours."""
        self._apply(TransportEvent.REFUSE, answer)

    def finish(self, code: int, reason: str, data: bytes = b"") -> None:
        """Send `data` and a close frame; then the peer's close frame is awaited. The session has let go."""
        event = TransportEvent.FINISH_LAST if self._parser.ended else TransportEvent.FINISH
        self._apply(event, data + encode_close(code, reason))

    def abort(self) -> None:
        """Drop the socket now; `connection_lost` follows from the loop."""
        if self._client is not None:
            self._client.abort()

    def hand_over_rest(self) -> None:
        """Give the session what was read and not yet handled, before it loses this transport."""
        self._drain_parser()

    def hold(self) -> None:
        """Stop reading, if it is read: the session's handler is behind. The pong clock stands."""
        if self.state in (_OPEN, TransportState.WAITING):
            self._apply(TransportEvent.HOLD)

    def release(self) -> None:
        """Read on. For one that is held only."""
        self._apply(TransportEvent.RELEASE)

    # State.

    def _apply(
        self,
        event: TransportEvent,
        words: bytes = b"",
        *,
        wait_s: float = _CLOSE_WAIT_S,
        cause: BaseException | None = None,
    ) -> None:
        """Take one row of the table. `words` are what is written, and `wait_s` is the peer's time after the last of them;
        `cause` is why the socket was lost."""
        self.state, effects = transition(self.state, event)
        for effect in effects:
            # Those of every connection first: they are looked at from the top.
            match effect:
                case TransportEffect.ANSWER:
                    self.write(words)
                    self._heartbeat = Heartbeat(self, self.shard.clock())
                case TransportEffect.LET_GO:
                    self.shard.transport_gone(self)
                    if self._watch is not None:
                        self._stop_watch()
                    if self._heartbeat is not None:
                        self._heartbeat.end()
                    self.upgrade = self.session = self._client = self._heartbeat = None
                case TransportEffect.SAY:
                    self._say(words, wait_s)
                case TransportEffect.CLOSE:
                    if self._client is not None:
                        self._client.close()
                case TransportEffect.BEQUEATH:
                    self._bequeath(cause)
                case TransportEffect.STOP_CLOCK:
                    assert self._heartbeat is not None
                    self._heartbeat.stop(self.shard.clock())
                case TransportEffect.PAUSE:
                    if self._client is not None and not self._client.is_closing():
                        self._client.pause_reading()
                case TransportEffect.GO_ON:
                    assert self._heartbeat is not None
                    self._heartbeat.go_on(self.shard.clock())
                case TransportEffect.RESUME:
                    if self._client is not None and not self._client.is_closing():
                        self._client.resume_reading()
                case TransportEffect.CATCH_UP:
                    self.shard.loop.call_soon(self._go_on)
                case TransportEffect.LOOK:
                    self._look_for_close()
                case TransportEffect.REFUSE:
                    assert self.upgrade is not None
                    assert self._client is not None
                    Refusal(self.shard, words, self.upgrade.deadline).take(self._client)
                case TransportEffect.SHUT:
                    if self._client is not None:
                        # Closing at once would reset what the peer has not read yet.
                        end_writing(self._client)
                case TransportEffect.ABORT:
                    self.shard.transport_ending(self)
                    self.abort()
                case TransportEffect.LEAVE:
                    self.shard.admission.gone(self)

    def _say(self, words: bytes, wait_s: float) -> None:
        """Write the last bytes; what still comes is of no use from `wait_s` after they are out."""
        # Nothing may follow a close frame, and a write after the end of the stream raises.
        self._pongs = None
        shard = self.shard
        shard.transport_ending(self)
        self.write(words)
        if self.blocked:
            self._watch_writing()
            wait_s += shard.options.write_wait
        shard.at(shard.clock() + wait_s, self._give_up)

    def _give_up(self, _now: float) -> None:
        if self.state is not TransportState.GONE:
            self._apply(TransportEvent.EXPIRE)

    def _bequeath(self, cause: BaseException | None) -> None:
        """The socket is gone: the session gets what was read and not yet handled, and how the peer ended."""
        farewell = self._drain_parser()
        if farewell is None:
            error = ConnectionLostError()
            error.__cause__ = cause
            farewell = Farewell(error)
        if self.session is not None:
            self.session.transport_lost(farewell.error, said_goodbye=farewell.said_goodbye)

    # Inbound.

    def _go_on(self) -> None:
        if self.state is _OPEN:
            self.data_received(b"")

    def _read_aside(self, data: bytes) -> None:
        """What is read while no session is to be given it."""
        match self.state:
            case TransportState.WAITING | TransportState.WAITING_HELD:
                self.keep(data)
            case TransportState.HELD:
                self._parser.feed(data)
            case TransportState.CLOSING:
                self._parser.feed(data)
                self._look_for_close()

    def _answer_ping(self, payload: bytes) -> None:
        pong = encode_frame(PONG, payload)
        if self._pongs is None or self.blocked:
            # RFC 6455 §5.5.3: only the newest ping need be answered, so that a peer that does not read costs nothing.
            self._pongs = [pong]
        else:
            self._pongs.append(pong)

    def _write_pongs(self) -> None:
        pongs, self._pongs = self._pongs, None
        if pongs is not None:
            self.write(b"".join(pongs))

    def _peer_closed(self, payload: bytes) -> None:
        """The peer said goodbye: the queue is flushed, its close frame answered, and the socket closed by us."""
        farewell = farewell_of(payload)
        session = self.session
        assert session is not None
        session.flush()
        session.transport_lost(farewell.error, said_goodbye=farewell.said_goodbye)
        self._apply(TransportEvent.PEER_CLOSE, encode_frame(CLOSE, payload[:2]))

    def _protocol_broken(self, error: ProtocolError) -> None:
        session = self.session
        assert session is not None
        session.flush()
        session.transport_lost(error)
        self._apply(TransportEvent.VIOLATE, encode_close(error.close_code, error.reason), wait_s=_DISCARD_WAIT_S)

    def _look_for_close(self) -> None:
        try:
            while (message := self._parser.next()) is not None:
                if message[0] == CLOSE:
                    self._apply(TransportEvent.HEAR)
                    return
        except ProtocolError:
            self._apply(TransportEvent.GARBLE)

    def _drain_parser(self) -> Farewell | None:
        """Give the session what was read and not yet handled. Returns how the peer ended, if that was among it."""
        session = self.session
        if session is None:
            return None
        try:
            while (message := self._parser.next()) is not None:
                opcode, payload = message
                if opcode <= BINARY:
                    session.inbox.receive_rest(opcode, payload)
                elif opcode == CLOSE:
                    return farewell_of(payload)
        except ProtocolError as error:
            return Farewell(error)
        return None

    # Deadlines: what the heartbeat and the watch report.

    def ping(self) -> None:
        if not self.blocked:
            self.write(_PING)

    def fell_silent(self) -> None:
        assert self.session is not None
        self.hand_over_rest()
        self.session.transport_failed(KeepaliveTimeoutError(), CloseReason.KEEPALIVE_TIMEOUT)

    @property
    def unsent_bytes(self) -> int:
        return 0 if self._client is None else self._client.get_write_buffer_size()

    def stalled(self) -> None:
        if self.session is not None:
            self.hand_over_rest()
            self.session.transport_lost(WriteTimeoutError())
        self._apply(TransportEvent.STALL)

    def _watch_writing(self) -> None:
        """Watch from now on; bytes that were just added must not look like such that the peer does not take."""
        shard = self.shard
        self._stop_watch()
        self._watch = WriteWatch(self, shard.at, shard.clock(), shard.options.write_wait)

    def _stop_watch(self) -> None:
        if self._watch is not None:
            self._watch.stop()
            self._watch = None
