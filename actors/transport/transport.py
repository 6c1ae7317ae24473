"""`Transport`: the socket that carries a session now, on an `asyncio.Protocol`.

Created when an upgrade is accepted, by the acceptor of the shard that owns the id or from a descriptor that was handed over.
It cuts frames and hands them to its session, writes what the session and the room give it, answers pings, and keeps its
deadlines through the shard's ticker: an idle transport costs no task and no timer. Its states are in `state`.
"""

from __future__ import annotations

import asyncio
from typing import cast

from wspulse.actors.transport.contract import Carried, TransportShard
from wspulse.actors.transport.state import TransportState
from wspulse.actors.transport.upgrade import Upgrade
from wspulse.actors.values.close_code import EMPTY_CLOSE_CODE, NORMAL_CLOSE_CODES, CloseReason
from wspulse.actors.values.errors import (
    ConnectionLostError,
    KeepaliveTimeoutError,
    PeerClosedError,
    ProtocolError,
    WriteTimeoutError,
)
from wspulse.actors.wire.frames import BINARY, CLOSE, PING, PONG, encode_close, encode_frame, parse_close
from wspulse.actors.wire.framing import FrameParser

__all__ = ["CLOSE_WAIT_S", "Transport"]

CLOSE_WAIT_S = 3.0
"""How long the peer's answer to a close frame is awaited (contract.md §3)."""

_DISCARD_WAIT_S = 1.0
"""How long a peer that broke the protocol may go on sending before it is reset: long enough to read why."""

_WAITING_BYTES = 512 * 1024
"""How much a peer may send ahead of its 101 before its socket is no longer read."""

_PING = encode_frame(PING, b"")
_OPEN = TransportState.OPEN


class Transport(asyncio.Protocol):
    """See the module. `blocked`: the kernel takes no more. `held`: reading is paused for a slow handler."""

    __slots__ = (
        "_block_epoch",
        "_deaf",
        "_held_since",
        "_last_pong",
        "_next_ping",
        "_parser",
        "_pongs",
        "_socket",
        "blocked",
        "corked",
        "held",
        "session",
        "shard",
        "state",
        "upgrade",
        "write",
    )

    def __init__(self, shard: TransportShard[Transport], upgrade: Upgrade) -> None:
        self.shard = shard
        self.upgrade: Upgrade | None = upgrade
        """What the session will be made of, while WAITING."""
        self.state = TransportState.WAITING
        self.session: Carried | None = None
        self.blocked = False
        self.held = False
        self.corked = False
        self._deaf = False
        self._block_epoch = 0
        self._held_since = 0.0
        self._last_pong = 0.0
        self._next_ping = 0.0
        self._pongs: list[bytes] | None = None
        self._parser: FrameParser = FrameParser(shard.options.max_message_size)
        self._socket: asyncio.Transport | None = None

    # From the loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Also called by the acceptor when it hands its own socket transport to this protocol. The upgrade is admitted."""
        socket = cast("asyncio.Transport", transport)
        self._socket = socket
        self.write = socket.write
        # Write at once, and say so as soon as the kernel refuses a byte: exact backpressure, and the cheapest write.
        socket.set_write_buffer_limits(high=0)
        if self.held:
            socket.pause_reading()
        if self.upgrade is not None:
            self.shard.admission.admit(self, self.upgrade)

    def data_received(self, data: bytes) -> None:
        """Take what was read, and hand over what is complete, until it is used up or the session is behind."""
        nobody_takes_it = self.held or self.state is not _OPEN
        if nobody_takes_it:
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
                    session.receive(opcode, payload)
                    if self.session is not session:
                        break
                elif opcode == PING:
                    self._answer_ping(payload)
                elif opcode == PONG:
                    self._last_pong = self.shard.clock()
                else:
                    self._peer_closed(payload)
                    break
                if self.held or not parser.rest:
                    break
                message = parser.next()
        except ProtocolError as error:
            self._protocol_broken(error)
        finally:
            self.corked = False
            if self._pongs is not None and not self.blocked:
                pongs, self._pongs = self._pongs, None
                if self.state is not TransportState.GONE:
                    self.write(b"".join(pongs))
            session.flush()

    def eof_received(self) -> None:
        return None

    def pause_writing(self) -> None:
        self.blocked = True
        self._block_epoch += 1
        if self._socket is not None:
            self._watch_progress(self._block_epoch, self._socket.get_write_buffer_size(), self.shard.clock())
        if self.session is not None:
            self.session.blocked()

    def resume_writing(self) -> None:
        self.blocked = False
        self._block_epoch += 1
        if self._pongs is not None:
            pongs, self._pongs = self._pongs, None
            self.write(pongs[-1])
        if self.session is not None:
            self.session.unblocked()

    def connection_lost(self, exc: BaseException | None) -> None:
        state, self.state = self.state, TransportState.GONE
        self._block_epoch += 1
        if state is _OPEN:
            error = self._drain_parser()
            if error is None:
                error = ConnectionLostError()
                error.__cause__ = exc
            if self.session is not None:
                if isinstance(error, _CleanClose):
                    self.session.transport_lost(None, said_goodbye=error.said_goodbye)
                else:
                    self.session.transport_lost(error)
        elif state is TransportState.WAITING:
            self.shard.admission.gone(self)
        self.shard.transport_gone(self)
        self.upgrade = None
        self.session = None
        self._socket = None

    # From the shard and the session.

    @property
    def closing(self) -> bool:
        """Whether the socket has ended, though `connection_lost` may still be on its way."""
        return self._socket is None or self._socket.is_closing()

    def keep(self, data: bytes) -> None:
        """Keep what the peer sent before it could have an answer."""
        self._parser.feed(data)
        if self._parser.leftover_bytes > _WAITING_BYTES and not self.held:
            self.hold()

    def accept(self, answer: bytes) -> None:
        """Write the 101; the session attaches next, then `start` handles what the peer sent ahead."""
        now = self.shard.clock()
        options = self.shard.options
        self.state = TransportState.OPEN
        self.write(answer)
        self._last_pong = now
        self._next_ping = now + options.ping_period
        self.shard.at(min(self._next_ping, now + options.pong_wait), self._beat)

    def start(self) -> None:
        """Handle what came before the 101, from the loop; a session whose handler is behind releases us later."""
        if self.held and not (self.session is not None and self.session.behind):
            self.release()
        elif self._parser.leftover_bytes:
            self.shard.loop.call_soon(self._go_on)

    def refuse(self, answer: bytes) -> None:
        """Answer a newcomer in HTTP and let go of it."""
        self.upgrade = None
        self._deaf = True
        self._end(answer, _DISCARD_WAIT_S)

    def finish(self, code: int, reason: str, data: bytes = b"") -> None:
        """Send `data` and a close frame; then the peer's close frame is awaited. The session has let go."""
        if self.state is _OPEN:
            self._end(data + encode_close(code, reason), CLOSE_WAIT_S)
            if not self._deaf:
                self._look_for_close()
            elif self._socket is not None:
                self._socket.close()

    def abort(self) -> None:
        """Drop the socket now; `connection_lost` follows from the loop."""
        if self._socket is not None:
            self._socket.abort()

    def hand_over_rest(self) -> None:
        """Give the session what was read while it was behind, before another transport takes its place."""
        if self.held and self.state is _OPEN and self._drain_parser() is not None:
            # The peer's close frame was among it.
            self._deaf = True

    def hold(self) -> None:
        """Stop reading: the session's handler is behind. The pong clock stands."""
        if not self.held and self.state in (_OPEN, TransportState.WAITING):
            self.held = True
            self._held_since = self.shard.clock()
            if self._socket is not None and not self._socket.is_closing():
                self._socket.pause_reading()

    def release(self) -> None:
        """Read on."""
        if self.held:
            self.held = False
            self._last_pong += self.shard.clock() - self._held_since
            if self._socket is not None and not self._socket.is_closing():
                self._socket.resume_reading()
                self.shard.loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        if self.state is _OPEN and not self.held:
            self.data_received(b"")

    def _read_aside(self, data: bytes) -> None:
        """What is read while nobody is to be given it."""
        if self.state is _OPEN:
            self._parser.feed(data)
        elif self.state is TransportState.WAITING:
            self.keep(data)
        elif not self._deaf:
            self._parser.feed(data)
            self._look_for_close()

    def _answer_ping(self, payload: bytes) -> None:
        if self._pongs is None:
            self._pongs = []
        elif self.blocked:
            # RFC 6455 §5.5.3: only the newest ping need be answered, so that a peer that does not read costs nothing.
            self._pongs.clear()
        self._pongs.append(encode_frame(PONG, payload))

    def _peer_closed(self, payload: bytes) -> None:
        """The peer said goodbye: the queue is flushed, its close frame answered, and the socket closed by us."""
        code, reason = parse_close(payload)
        session = self.session
        assert session is not None
        session.flush()
        error = None if code in NORMAL_CLOSE_CODES else PeerClosedError(code, reason)
        session.transport_lost(error, said_goodbye=code in (1000, EMPTY_CLOSE_CODE))
        self._end(encode_frame(CLOSE, payload[:2]), CLOSE_WAIT_S)
        self._deaf = True
        if self._socket is not None:
            self._socket.close()

    def _protocol_broken(self, error: ProtocolError) -> None:
        session = self.session
        assert session is not None
        session.flush()
        self._deaf = True
        session.transport_lost(error)
        self._end(encode_close(error.close_code, error.reason), _DISCARD_WAIT_S)

    def _end(self, data: bytes, wait_s: float) -> None:
        """Write the last bytes; what still comes is thrown away until `wait_s` after they are out."""
        socket = self._socket
        self.state = TransportState.ENDING
        # Nothing may follow a close frame, and a write after the end of the stream raises.
        self._pongs = None
        if socket is None:
            return
        self.shard.transport_ending(self)
        self.write(data)
        if self.held:
            self.held = False
            if not socket.is_closing():
                socket.resume_reading()
        if self._deaf and socket.can_write_eof():
            # The peer reads the answer, then the end; closing at once would reset what it has not read yet.
            socket.write_eof()
        now = self.shard.clock()
        if self.blocked:
            # What was just added must not hide that the peer takes what waited before.
            self._block_epoch += 1
            self._watch_progress(self._block_epoch, socket.get_write_buffer_size(), now)
        self.shard.at(now + (self.shard.options.write_wait if self.blocked else 0.0) + wait_s, self._give_up)

    def _give_up(self, _now: float) -> None:
        if self.state is TransportState.ENDING:
            self.abort()

    def _look_for_close(self) -> None:
        try:
            while (message := self._parser.next()) is not None:
                if message[0] == CLOSE:
                    self._deaf = True
                    if self._socket is not None:
                        self._socket.close()
                    return
        except ProtocolError:
            self._deaf = True

    def _drain_parser(self) -> BaseException | None:
        """The socket is gone: give the session what was read and not yet handled. Returns how the peer ended, if it said."""
        session = self.session
        if session is None:
            return None
        try:
            while (message := self._parser.next()) is not None:
                opcode, payload = message
                if opcode <= BINARY:
                    session.receive_rest(opcode, payload)
                    if self.session is not session:
                        return None
                elif opcode == CLOSE:
                    code, reason = parse_close(payload)
                    if code in NORMAL_CLOSE_CODES:
                        return _CleanClose(code in (1000, EMPTY_CLOSE_CODE))
                    return PeerClosedError(code, reason)
        except ProtocolError as error:
            return error
        return None

    # Deadlines, called by the shard's ticker.

    def _beat(self, now: float) -> None:
        """Ping when it is time, and end a transport whose peer has not answered."""
        if self.state is not _OPEN:
            return
        options = self.shard.options
        if self.held:
            # Its pongs cannot be read while we do not read: look again later.
            self.shard.at(now + options.ping_period, self._beat)
            return
        if now >= self._last_pong + options.pong_wait:
            assert self.session is not None
            self.session.transport_failed(KeepaliveTimeoutError(), CloseReason.KEEPALIVE_TIMEOUT)
            return
        if now >= self._next_ping:
            self._next_ping = now + options.ping_period
            if not self.blocked:
                self.write(_PING)
        self.shard.at(min(self._next_ping, self._last_pong + options.pong_wait), self._beat)

    def _watch_progress(self, epoch: int, buffered_bytes: int, since: float) -> None:
        """Cut the peer off when it has taken nothing for `write_wait`."""
        write_wait = self.shard.options.write_wait

        def look(now: float) -> None:
            if self._block_epoch != epoch or self._socket is None:
                return
            left = self._socket.get_write_buffer_size()
            if left < buffered_bytes:
                self._watch_progress(epoch, left, now)
            elif now < since + write_wait:
                self.shard.at(min(now + write_wait / 8, since + write_wait), look)
            else:
                session = self.session
                if session is not None:
                    session.transport_lost(WriteTimeoutError())
                    self.state = TransportState.ENDING
                    self.shard.transport_ending(self)
                self.abort()

        self.shard.at(since + write_wait / 8, look)


class _CleanClose(Exception):
    """How a transport ended whose peer had sent a normal close frame."""

    def __init__(self, said_goodbye: bool) -> None:
        self.said_goodbye = said_goodbye
