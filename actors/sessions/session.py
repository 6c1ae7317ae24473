"""`Session`: one logical connection: its state, its transport of the moment, and its outbound buffer.

Created by the shard. Its state changes through `apply` alone, by the shard's steps and by what its transport reports; the
transport gives it what the peer sent (`Inbox`), the room and the application what the peer is to get. It holds no socket and
no timer.
"""

from __future__ import annotations

import asyncio
from typing import ClassVar

from wspulse.actors.sessions.asking.call import end_calls
from wspulse.actors.sessions.connections.connection import Connection
from wspulse.actors.sessions.inbox import Inbox, calling_inbox
from wspulse.actors.sessions.room import Room
from wspulse.actors.sessions.rooms.further import FurtherRooms
from wspulse.actors.sessions.send_buffer import SendBuffer
from wspulse.actors.sessions.session_contract import SessionShard
from wspulse.actors.sessions.state import ORDERS, Effect, SessionEvent, SessionState, transition
from wspulse.actors.transport.transport import Transport
from wspulse.actors.values.close_code import CloseRow
from wspulse.actors.values.errors import ConnectionClosedError, PeerClosedError, SendBufferFullError

__all__ = ["Session"]

_DRAIN_BYTES = 64 * 1024
"""How much of a send buffer is handed to the socket at a time; the rest can still be dropped as the oldest."""


class Session:
    """See the module. `serial` is unique within the shard's incarnation; `epoch` rises with every change of state."""

    inbox_type: ClassVar[type[Inbox]] = Inbox

    outlasted: ClassVar[frozenset[SessionEvent]] = frozenset({SessionEvent.LOSE, SessionEvent.EXPIRE})
    """How it may end so that what waits for its handlers still runs."""

    __slots__ = (
        "_buffer",
        "_room_in_buffer",
        "_turn",
        "connected_at",
        "dropped_frames",
        "epoch",
        "error",
        "further",
        "id",
        "inbox",
        "incarnation",
        "resumes",
        "room",
        "serial",
        "shard",
        "state",
        "transport",
        "watchers",
        "window_ends",
    )

    def __init__(
        self, shard: SessionShard[Session], connection_id: str, room: Room[Session], serial: int, connected_at: float
    ) -> None:
        self.shard = shard
        self.inbox = self.inbox_type(shard, self)
        """Until its last callback has run."""
        self.transport: Transport | None = None
        self.id = connection_id
        self.room = room
        """The first one, which it never leaves."""
        self.further: FurtherRooms[Session] | None = None
        """The others, once it has joined one."""
        self.incarnation = shard.origin
        self.serial = serial
        self.connected_at = connected_at
        self.state = SessionState.CONNECTED
        self.epoch = 0
        self.error: BaseException | None = None
        """Why the transport was lost (while suspended), then why the session ended."""
        self.dropped_frames = 0
        self.resumes = True
        """Whether the application lets it wait for its client to come back."""
        self.window_ends = 0.0
        """While it waits for its client: until when, on the shard's clock."""
        self.watchers: set[asyncio.Future[None]] | None = None
        self._buffer: SendBuffer | None = None
        self._turn: list[bytes] | None = None
        self._room_in_buffer: asyncio.Future[None] | None = None

    @property
    def connection(self) -> Connection:
        """What the application sees."""
        return self.inbox.connection

    @property
    def key(self) -> tuple[int, int]:
        """Its birth key: the incarnation in which it began and its serial there. It is this session wherever it goes, and no
        other."""
        return self.incarnation, self.serial

    # Outbound.

    @property
    def queued_frames(self) -> int:
        return len(self._buffer or ()) + len(self._turn or ())

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
            if self._buffer is not None and not self._buffer.has_room(len(wire)):
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
                shard = self.shard
                if len(turn) >= shard.options.send_buffer_size or len(wire) >= shard.large_frame_bytes:
                    self.flush()

    async def room_in_buffer(self) -> None:
        """Wait until a send that was refused may be tried again, or the session has ended."""
        if self._room_in_buffer is None:
            self._room_in_buffer = self.shard.loop.create_future()
        await asyncio.shield(self._room_in_buffer)

    def _wake_senders(self) -> None:
        future, self._room_in_buffer = self._room_in_buffer, None
        if future is not None:
            future.set_result(None)

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
        count = len(turn)
        shard = self.shard
        wire = shard.writing.data = turn[0] if count == 1 else b"".join(turn)
        metrics = shard.metrics
        metrics.frames_out += count
        metrics.bytes_out += len(wire)
        transport.write(wire)

    def buffer_broadcast(self, frames: list[bytes]) -> None:
        """Buffer what the room got, while this member is blocked or suspended."""
        if self.state is SessionState.CLOSED:
            return
        transport = self.transport
        if transport is not None and not transport.blocked:
            # It was slow when the room began this turn's writing, and has caught up since.
            transport.write_frames(b"".join(frames), len(frames))
            return
        for wire in frames:
            self._push(wire)

    def blocked(self) -> None:
        """The transport takes no more for now."""
        self._set_slow()

    def unblocked(self) -> None:
        """The transport takes frames again: hand it what is buffered, and rejoin the room's swift members."""
        transport = self.transport
        if transport is None:
            return
        buffer = self._buffer
        while buffer and not transport.blocked:
            data, count = buffer.take(_DRAIN_BYTES)
            transport.write_frames(data, count)
        if self._room_in_buffer is not None and not (transport.blocked and buffer and buffer.full):
            self._wake_senders()
        if not buffer and not transport.blocked:
            self._buffer = None
            self.room.set_swift(self, transport.write)
            if self.further is not None:
                self.further.set_swift(transport.write)

    def _push(self, wire: bytes) -> None:
        buffer = self._buffer
        if buffer is None:
            options = self.shard.options
            buffer = self._buffer = SendBuffer(options.send_buffer_size, options.send_buffer_bytes)
        if dropped := buffer.push(wire):
            self.dropped_frames += dropped
            self.shard.metrics.frames_dropped += dropped

    # Rooms.

    def flush_rooms(self) -> None:
        """Have broadcasts of this loop turn queued for it."""
        self.room.flush()
        if self.further is not None:
            self.further.flush()

    def place(self, room: Room[Session]) -> None:
        """Be a member of a room, as the transport is now."""
        transport = self.transport
        if transport is None or transport.blocked:
            room.set_slow(self)
        else:
            room.set_swift(self, transport.write)

    def _set_slow(self) -> None:
        self.room.set_slow(self)
        if self.further is not None:
            self.further.set_slow()

    # What the transport reports.

    def transport_lost(
        self, error: BaseException | None, *, said_goodbye: bool = False, for_good: bool = False
    ) -> None:
        """The transport is gone, or says its own farewell now."""
        self.apply(self._loss(said_goodbye, for_good), error=error)

    @property
    def answers_are_due(self) -> bool:
        """Whether a peer that has ended its stream may still be sent what it asked for; else the next transport gets it."""
        return self.inbox.busy and not self.outlives_transport

    @property
    def outlives_transport(self) -> bool:
        """Whether it waits for its client where that only loses its transport."""
        shard = self.shard
        if shard.options.resume_window == 0 or not self.resumes:
            return False
        return shard.resumable is None or shard.resumable(self.connection)

    def transport_failed(self, error: BaseException, close: CloseRow) -> None:
        """We end the transport, telling the peer why."""
        self.apply(self._loss(), error=error, close=close)

    def _loss(self, said_goodbye: bool = False, _for_good: bool = False) -> SessionEvent:
        is_to_wait = not said_goodbye or self.shard.options.suspend_on_clean_close
        return SessionEvent.DROP if is_to_wait and self.outlives_transport else SessionEvent.LOSE

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
                    if event is SessionEvent.DROP and (error is None or isinstance(error, PeerClosedError)):
                        # Its client has left; one that is only cut off wants its answers when it is back.
                        self._cancel_handler(event)
                    self._set_slow()
                    self.shard.start_window(self, self.shard.options.resume_window)
                case Effect.TELL_DROP:
                    self._disturb()
                    self.shard.publish_event("drop", self, error)
                    self.inbox.post("on_transport_drop", error)
                case Effect.MARK:
                    self._disturb()
                    self.inbox.post("transport replaced")
                case Effect.ATTACH:
                    assert transport is not None
                    self.error = None
                    self.attach(transport)
                case Effect.TELL_RESTORE:
                    self._disturb()
                    self.shard.publish_event("restore", self)
                    self.inbox.post("on_transport_restore")
                case Effect.END:
                    # An expired window reports the drop that began it.
                    self._end(event, self.error if event is SessionEvent.EXPIRE else error)

    def _disturb(self) -> None:
        if self.shard.halting is not None:
            self.shard.halting.disturbed(self.inbox)

    def attach(self, transport: Transport) -> None:
        """Take a transport that has answered 101, replay what is buffered, and join the fan-out of its rooms."""
        self.transport = transport
        transport.session = self
        if self.inbox.behind:
            transport.hold()
        halting = self.shard.halting
        if halting is not None and halting.holds(self.inbox) and not self.inbox.asked:
            transport.stop_reading()
        if transport.blocked:
            self._set_slow()
        else:
            self.unblocked()

    def _detach(self, close: CloseRow | None) -> None:
        self._wake_senders()
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
            data = self._take_queued()
        self.transport = None
        transport.session = None
        transport.finish(close.code, close.reason, data, at_once=close.discards_queue)

    def _take_queued(self) -> bytes:
        """All that waits to be sent, for the last words."""
        data, count = b"", 0
        if self._buffer is not None:
            data, count = self._buffer.take_all()
        turn, self._turn = self._turn, None
        if turn is not None:
            data += b"".join(turn)
            count += len(turn)
        self.shard.metrics.frames_out += count
        return data

    def _cancel_handler(self, event: SessionEvent) -> None:
        """Nobody waits for what an on_message does; unless it is that itself, or what it began, that ends its session. (A loss
        that a write finds is told in the context of whoever wrote.)"""
        if self.shard.options.cancel_on_disconnect and not (event in ORDERS and calling_inbox() is self.inbox):
            self.shard.cancellations.cancel(self.inbox)

    def _end(self, event: SessionEvent, error: BaseException | None) -> None:
        self.error = error
        self._cancel_handler(event)
        self._turn = None
        self._buffer = None
        self._wake_senders()
        if self.inbox.asked:
            end_calls(self.inbox, self.id)
        if event is SessionEvent.DUPLICATE:
            self.inbox.discard_frames()
        elif event not in self.outlasted:
            # contract §3: no callback of a session that the application has closed runs but its on_disconnect.
            self.inbox.discard_all()
        self.shard.session_ended(self, event)
        if self.watchers is not None:
            for watcher in self.watchers:
                if not watcher.done():
                    watcher.set_result(None)
            self.watchers = None
        self.inbox.post("on_disconnect", error)

    def watch(self) -> asyncio.Future[None]:
        """A future that is done when the session has ended."""
        future: asyncio.Future[None] = self.shard.loop.create_future()
        if self.state is SessionState.CLOSED:
            future.set_result(None)
        else:
            if self.watchers is None:
                self.watchers = set()
            self.watchers.add(future)
            # Whoever waits may give up long before the session ends.
            future.add_done_callback(self._unwatch, context=self.shard.context)
        return future

    def _unwatch(self, future: asyncio.Future[None]) -> None:
        if self.watchers is not None:
            self.watchers.discard(future)

    def finished(self) -> None:
        """The last callback has run. What only Python's collector would find is taken apart: the application may keep the
        connection, and with it this session, for as long as it likes."""
        del self.inbox
        self.error = None
