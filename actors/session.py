"""`Session`: one logical connection, its outbound buffer and its inbound mailbox.

Created by the shard, which alone changes its state (through `apply`); the transport gives it what the peer sent, the room and
the application give it what the peer is to get. It holds no socket and no timer, and a task only while an async handler runs.

Callbacks are user code and run one at a time, in the order of the mailbox. A message that finds the mailbox idle is
handled at once, inside the read that brought it; everything else runs from the loop, never inside a step of the shard.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

from wspulse.actors.close_code import CloseReason, CloseRow
from wspulse.actors.errors import ConnectionClosedError, SendBufferFullError
from wspulse.actors.frame import Frame
from wspulse.actors.framing import TEXT
from wspulse.actors.send_buffer import SendBuffer
from wspulse.actors.session_state import Effect, SessionEvent, SessionState, transition

if TYPE_CHECKING:
    from wspulse.actors.connection import LocalConnection
    from wspulse.actors.room import Room
    from wspulse.actors.shard import Shard
    from wspulse.actors.transport import Transport

__all__ = ["INBOUND_LIMIT_FRAMES", "Session", "current_session"]

INBOUND_LIMIT_FRAMES = 16
"""Frames that wait for a slow handler before the socket is no longer read: enough to keep a handler busy, little to hold."""

_DRAIN_BYTES = 64 * 1024
"""How much of a send buffer is handed to the socket at a time; the rest can still be dropped as the oldest."""

current_session: ContextVar[Session | None] = ContextVar("wspulse_session", default=None)
"""The session whose async handler is running, for calls that must not wait for it."""

_USER_ERRORS = (Exception, asyncio.CancelledError, SystemExit)
"""What user code may raise without harm to the worker."""


class _Callback(NamedTuple):
    """An entry of the mailbox that is no frame."""

    kind: str
    error: BaseException | None = None


class Session:
    """See the module. `serial` is unique within the shard's incarnation; `epoch` rises with every change of state."""

    __slots__ = (
        "__weakref__",
        "_buffer",
        "_busy",
        "_mailbox",
        "_turn",
        "connected_at",
        "connection",
        "dropped_frames",
        "epoch",
        "error",
        "id",
        "room",
        "serial",
        "shard",
        "state",
        "successor",
        "transport",
        "watchers",
    )

    connection: LocalConnection

    def __init__(self, shard: Shard, connection_id: str, room: Room, serial: int, connected_at: float) -> None:
        self.shard = shard
        self.id = connection_id
        self.room = room
        self.serial = serial
        self.connected_at = connected_at
        self.state = SessionState.CONNECTED
        self.epoch = 0
        self.error: BaseException | None = None
        """Why the transport was lost (while suspended), then why the session ended."""
        self.transport: Transport | None = None
        self.dropped_frames = 0
        self.successor: Session | None = None
        """A newer session of the same id, whose callbacks wait for the end of this one's."""
        self.watchers: list[asyncio.Future[None]] | None = None
        self._buffer: SendBuffer | None = None
        self._turn: list[bytes] | None = None
        self._mailbox: deque[Frame | _Callback] | None = None
        self._busy = False

    # Outbound.

    @property
    def queued_frames(self) -> int:
        return (len(self._buffer) if self._buffer is not None else 0) + (
            len(self._turn) if self._turn is not None else 0
        )

    def send(self, wire: bytes) -> None:
        """Queue a frame in wire form. Raises ConnectionClosedError, and SendBufferFullError while connected."""
        transport = self.transport
        if transport is None:
            if self.state is SessionState.CLOSED:
                raise ConnectionClosedError(self.id)
            self._push(wire)
        elif transport.blocked:
            if self._turn is not None:
                self.flush()
            if self._buffer is not None and self._buffer.full:
                raise SendBufferFullError(self.id)
            self._push(wire)
        else:
            turn = self._turn
            if turn is None:
                self._turn = [wire]
                if not transport.corked:
                    self.shard.schedule(self)
            else:
                turn.append(wire)
                if len(turn) >= self.shard.options.send_buffer_size:
                    self.flush()

    def flush(self) -> None:
        """One write of what was sent in this loop turn."""
        turn = self._turn
        if turn is None:
            return
        self._turn = None
        transport = self.transport
        if transport is None or transport.blocked:
            if self.state is not SessionState.CLOSED:
                for wire in turn:
                    self._push(wire)
            return
        self.shard.metrics.frames_out += len(turn)
        transport.write(turn[0] if len(turn) == 1 else b"".join(turn))

    def buffer_broadcast(self, frames: list[bytes]) -> None:
        """Buffer what the room got, while this member is blocked or suspended."""
        if self.state is SessionState.CLOSED:
            return
        transport = self.transport
        if transport is not None and not transport.blocked:
            # It was slow when the room began this turn's writing, and has caught up since.
            self.shard.metrics.frames_out += len(frames)
            transport.write(b"".join(frames))
            return
        for wire in frames:
            self._push(wire)

    def blocked(self) -> None:
        """The transport takes no more for now."""
        self.room.set_slow(self)

    def unblocked(self) -> None:
        """The transport takes frames again: hand it what is buffered, and rejoin the room's swift members."""
        transport = self.transport
        if transport is None:
            return
        buffer = self._buffer
        while buffer and not transport.blocked:
            data, count = buffer.take(_DRAIN_BYTES)
            self.shard.metrics.frames_out += count
            transport.write(data)
        if not buffer and not transport.blocked:
            self._buffer = None
            self.room.set_swift(self, transport.write)

    def _push(self, wire: bytes) -> None:
        buffer = self._buffer
        if buffer is None:
            buffer = self._buffer = SendBuffer(self.shard.options.send_buffer_size)
        if buffer.push(wire):
            self.dropped_frames += 1
            self.shard.metrics.frames_dropped += 1

    # Inbound.

    def receive(self, opcode: int, payload: bytes) -> None:
        """Handle a message of the peer, or put it behind those that wait."""
        shard = self.shard
        shard.metrics.frames_in += 1
        on_message = shard.handlers.on_message
        if on_message is None:
            return
        try:
            if opcode == TEXT:
                frame = shard.decode(payload if not shard.keeps_kind else payload.decode())
            else:
                if shard.wants_text:
                    # Only text was checked on its way in, and what a codec passes through raw may go out as text.
                    payload.decode()
                frame = shard.decode(payload)
        except Exception as error:
            shard.undecodable(self, error)
            return
        if self._busy or self._mailbox:
            self._append(frame)
            return
        self._busy = True
        try:
            result = on_message(self.connection, frame)
        except _USER_ERRORS as error:
            self._message_handler_raised(error)
            result = None
        if result is not None and hasattr(result, "__await__"):
            shard.spawn(self._work(result, frame))
            return
        self._busy = False
        if self._mailbox:
            self._pump()

    def _append(self, frame: Frame) -> None:
        mailbox = self._mailbox
        if mailbox is None:
            mailbox = self._mailbox = deque()
        mailbox.append(frame)
        if len(mailbox) >= INBOUND_LIMIT_FRAMES and self.transport is not None:
            self.transport.hold()

    @property
    def behind(self) -> bool:
        """Whether so many frames wait for the handler that the socket is not to be read."""
        return self._mailbox is not None and len(self._mailbox) >= INBOUND_LIMIT_FRAMES

    def post(self, kind: str, error: BaseException | None = None) -> None:
        """Put a callback behind what waits; it runs from the loop."""
        if self._mailbox is None:
            self._mailbox = deque()
        self._mailbox.append(_Callback(kind, error))
        if not self._busy:
            self._busy = True
            self.shard.loop.call_soon(self._pump)

    def wait_for(self, predecessor: Session) -> None:
        """No callback of this session runs before the last one of `predecessor`."""
        self._busy = True
        predecessor.successor = self

    def predecessor_finished(self) -> None:
        if self._mailbox:
            self.shard.loop.call_soon(self._pump)
        else:
            self._busy = False

    def _pump(self) -> None:
        """Run what waits until a handler has to be awaited."""
        if self.shard.aborting:
            # Nobody would cancel or await a handler that begins now.
            return
        self._busy = True
        mailbox = self._mailbox
        while mailbox:
            item = self._take(mailbox)
            result = self._call(item)
            if result is not None:
                self.shard.spawn(self._work(result, item))
                return
            self._done(item)
        self._idle()

    async def _work(self, awaitable: Awaitable[Any], item: Frame | _Callback) -> None:
        """Await a handler, and run what has come meanwhile."""
        current_session.set(self)
        pending: Awaitable[Any] | None = awaitable
        while True:
            if pending is not None:
                try:
                    await pending
                except _USER_ERRORS as error:
                    if self.shard.aborting and isinstance(error, asyncio.CancelledError):
                        raise
                    self._raised(item, error)
                pending = None
            self._done(item)
            if not self._mailbox or self.shard.aborting:
                self._idle()
                return
            item = self._take(self._mailbox)
            pending = self._call(item)

    def _take(self, mailbox: deque[Frame | _Callback]) -> Frame | _Callback:
        item = mailbox.popleft()
        transport = self.transport
        if transport is not None and transport.held and len(mailbox) <= INBOUND_LIMIT_FRAMES // 2:
            transport.release()
        return item

    def _idle(self) -> None:
        self._busy = False
        self._mailbox = None

    def _call(self, item: Frame | _Callback) -> Awaitable[Any] | None:
        """Call the handler of one entry. Returns what is still to be awaited."""
        handlers = self.shard.handlers
        try:
            if not isinstance(item, _Callback):
                result = handlers.on_message(self.connection, item) if handlers.on_message is not None else None
            else:
                handler = getattr(handlers, item.kind)
                if handler is None:
                    return None
                if item.kind in ("on_connect", "on_transport_restore"):
                    result = handler(self.connection)
                else:
                    result = handler(self.connection, item.error)
        except _USER_ERRORS as error:
            self._raised(item, error)
            return None
        return result if result is not None and hasattr(result, "__await__") else None

    def _raised(self, item: Frame | _Callback, error: BaseException) -> None:
        if isinstance(item, _Callback):
            self.shard.callback_raised(self, item.kind, error)
        else:
            self._message_handler_raised(error)

    def _message_handler_raised(self, error: BaseException) -> None:
        self.shard.callback_raised(self, "on_message", error)
        mailbox = self._mailbox
        while mailbox and not isinstance(mailbox[0], _Callback):
            mailbox.popleft()
        if not mailbox and self.transport is not None:
            # No drop, restore or end stands behind the frame, so the transport that brought it is still the current one.
            self.shard.transport_failed(self, error, CloseReason.HANDLER_RAISED)

    def _done(self, item: Frame | _Callback) -> None:
        if isinstance(item, _Callback) and item.kind == "on_disconnect":
            self.shard.session_finished(self)

    # State.

    def apply(
        self,
        event: SessionEvent,
        *,
        error: BaseException | None = None,
        close: CloseRow | None = None,
        transport: Transport | None = None,
    ) -> None:
        """Take one row of the table. `close` says what a live peer is told, `error` what callbacks report."""
        state, effects = transition(self.state, event)
        self.state = state
        self.epoch += 1
        for effect in effects:
            match effect:
                case Effect.DETACH:
                    self._detach(close)
                case Effect.START_WINDOW:
                    self.error = error
                    self.room.set_slow(self)
                    self.shard.start_window(self)
                case Effect.TELL_DROP:
                    self.shard.publish_event("drop", self, error)
                    self.post("on_transport_drop", error)
                case Effect.ATTACH:
                    assert transport is not None
                    self.error = None
                    self.attach(transport)
                case Effect.TELL_RESTORE:
                    self.shard.publish_event("restore", self)
                    self.post("on_transport_restore")
                case Effect.END:
                    # An expired window reports the drop that began it.
                    self._end(
                        self.error if event is SessionEvent.EXPIRE else error,
                        keep_frames=event in (SessionEvent.LOSE, SessionEvent.EXPIRE),
                    )

    def attach(self, transport: Transport) -> None:
        """Take a transport that has answered 101, replay what is buffered, and join the room's fan-out."""
        self.transport = transport
        transport.session = self
        if self.behind:
            transport.hold()
        if transport.blocked:
            self.room.set_slow(self)
        else:
            self.unblocked()

    def _detach(self, close: CloseRow | None) -> None:
        transport = self.transport
        assert transport is not None
        if close is None:
            # The socket is gone, or says its own farewell: what is queued waits for the next one.
            self.transport = None
            transport.session = None
            self.flush()
            return
        data = b""
        if close.discards_queue:
            if self.state is not SessionState.CLOSED:
                # Only the transport ends (a handler raised, no pong, replaced): what is queued waits for the next one.
                self.transport = None
                self.flush()
        else:
            turn, self._turn = self._turn, None
            if self._buffer is not None:
                data, count = self._buffer.take_all()
                self.shard.metrics.frames_out += count
            if turn is not None:
                data += b"".join(turn)
                self.shard.metrics.frames_out += len(turn)
        self.transport = None
        transport.session = None
        transport.finish(close.code, close.reason, data)

    def _end(self, error: BaseException | None, *, keep_frames: bool) -> None:
        self.error = error
        self._turn = None
        self._buffer = None
        if not keep_frames and self._mailbox:
            # The server ended the session: what the peer had sent and nobody has handled is discarded.
            self._mailbox = deque(item for item in self._mailbox if isinstance(item, _Callback))
        self.shard.session_ended(self)
        if self.watchers is not None:
            for watcher in self.watchers:
                if not watcher.done():
                    watcher.set_result(None)
            self.watchers = None
        self.post("on_disconnect", error)

    def watch(self) -> asyncio.Future[None]:
        """A future that is done when the session has ended."""
        future: asyncio.Future[None] = self.shard.loop.create_future()
        if self.state is SessionState.CLOSED:
            future.set_result(None)
        else:
            if self.watchers is None:
                self.watchers = []
            self.watchers.append(future)
        return future
