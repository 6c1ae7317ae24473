"""`ExactSession`: a session whose client speaks `wspulse.1`: it counts what it takes, and keeps what is not acknowledged.

Created by the shard, for a newcomer whose upgrade chose that subprotocol. What it sends goes through its log, in the order in
which it is written; what is written and not acknowledged is written again to the next transport. It decides about no id: whose
a session is, the admission finds out, with its token.
"""

from __future__ import annotations

from typing import ClassVar

from wspulse.actors.sessions.exact.frames import ACK_S, QUESTION_S, ExactFrames
from wspulse.actors.sessions.exact.inbox import ExactInbox
from wspulse.actors.sessions.exact.log import SendLog
from wspulse.actors.sessions.exact.token import is_same_token, new_token
from wspulse.actors.sessions.inbox import Inbox
from wspulse.actors.sessions.room import Room
from wspulse.actors.sessions.rooms.backlog import Batch
from wspulse.actors.sessions.session import Session
from wspulse.actors.sessions.session_contract import SessionShard
from wspulse.actors.sessions.state import SessionEvent, SessionState
from wspulse.actors.transport.transport import Transport
from wspulse.actors.values.close_code import CloseRow
from wspulse.actors.values.errors import ConnectionClosedError, SendBufferFullError
from wspulse.actors.values.text.exact import Claim

__all__ = ["ExactSession"]

_DRAIN_BYTES = 64 * 1024
"""As of a session: the rest can still be dropped as the oldest."""

_EVERYTHING = 1 << 62


class ExactSession(Session):
    """See the module. `received` is in its inbox."""

    __slots__ = (
        "_answered_at",
        "_beat",
        "_claimed",
        "_first",
        "_frames",
        "_owes_ack",
        "_timer",
        "_told",
        "_told_at",
        "_untold_bytes",
        "log",
        "token",
    )

    inbox_type: ClassVar[type[Inbox]] = ExactInbox

    # What was taken may be acknowledged, and then its client keeps it no more: a worker that is replaced handles it first.
    outlasted: ClassVar[frozenset[SessionEvent]] = Session.outlasted | {SessionEvent.SERVER_CLOSE}
    inbox: ExactInbox

    def __init__(
        self,
        shard: SessionShard[Session],
        connection_id: str,
        room: Room[Session],
        serial: int,
        connected_at: float,
        frames: ExactFrames,
    ) -> None:
        super().__init__(shard, connection_id, room, serial, connected_at)
        options = shard.options
        self.log = SendLog(options.send_buffer_size, options.send_buffer_bytes)
        self.token = new_token(connection_id)
        self._frames = frames
        self._claimed: int | None = None
        """How many frames the client says that it has got, when it comes back."""
        self._first: tuple[bool, int] | None = None
        """Of the first frame that the transport has yet to get: whether the session was recovered, and how many frames were
        lost."""
        self._told = 0
        """The count that the client was told last."""
        self._told_at = 0.0
        self._untold_bytes = 0
        self._timer: _Reminder | None = None
        """What has the client told what was taken, within a second."""
        self._owes_ack = False
        self._answered_at = -QUESTION_S
        self._beat: _Beat | None = None
        """What has the client told that we are there."""

    # Whose it is.

    def is_of(self, claim: Claim) -> bool:
        """Whether a client that claims it is its own."""
        return is_same_token(self.token, claim.token) and claim.received <= self.log.sent

    def claimed(self, claim: Claim) -> None:
        """Its own client comes back, and takes the next transport."""
        self._claimed = claim.received

    # Inbound.

    def took(self, size_bytes: int) -> None:
        """A message of the client was taken, and is to be acknowledged in a while."""
        untold_bytes = self._untold_bytes = self._untold_bytes + size_bytes
        frames = self._frames
        if self.inbox.received - self._told >= frames.ack_frames or untold_bytes >= frames.ack_bytes:
            self._owe_ack()
        elif self._timer is None:
            self._timer = _Reminder(self)
            shard = self.shard
            shard.at(shard.clock() + ACK_S, self._timer)

    def acknowledged(self, count: int) -> None:
        """The client has got so many frames. One that it has told before is a question whether we are there. Raises
        ValueError."""
        if not self.log.acknowledge(count):
            now = self.shard.clock()
            if now >= self._answered_at + QUESTION_S:
                self._answered_at = now
                self._owe_ack()

    def _owe_ack(self) -> None:
        """Acknowledge at the end of the turn, or of the read."""
        if not self._owes_ack:
            self._owes_ack = True
            transport = self.transport
            if self._turn is None and transport is not None and not transport.corked:
                self.shard.schedule(self)

    def tell_taken(self) -> None:
        """It is a second since something was taken."""
        self._timer = None
        if self._told < self.inbox.received:
            self._owe_ack()

    def tell(self, now: float) -> float:
        """The client is told at least so often that we are there. Returns when to come again."""
        ping_s = self.shard.options.ping_period
        if now >= self._told_at + ping_s:
            self._owe_ack()
            return now + ping_s
        return self._told_at + ping_s

    def _owed(self) -> bytes:
        """What the protocol has to say itself, to a transport that takes it."""
        inbox = self.inbox
        if self._first is not None:
            recovered, lost = self._first
            self._first = None
            wire = self._frames.first(
                self.id,
                self.token,
                outlives=self.outlives_transport,
                received=inbox.received,
                recovered=recovered,
                lost=lost,
            )
        else:
            wire = self._frames.ack(inbox.received)
        self._owes_ack = False
        self._told = inbox.received
        self._untold_bytes = 0
        self._told_at = self.shard.clock()
        return wire

    # Outbound.

    @property
    def queued_frames(self) -> int:
        return self.log.unsent + len(self._turn or ())

    def send(self, wire: bytes) -> None:
        transport = self.transport
        if transport is None:
            if self.state is SessionState.CLOSED:
                raise ConnectionClosedError(self.id)
            self._put(([wire], len(wire)))
        elif transport.blocked:
            if self._turn is not None:
                self.flush()
            if not self.log.has_room(len(wire)):
                raise SendBufferFullError(self.id)
            self._put(([wire], len(wire)))
        else:
            super().send(wire)

    def flush(self) -> None:
        transport = self.transport
        if self._owes_ack and transport is not None and not transport.blocked:
            transport.write_frames(self._owed(), 0)
        turn = self._turn
        if turn is None:
            return
        self._turn = None
        wire = turn[0] if len(turn) == 1 else b"".join(turn)
        batch = turn, len(wire)
        if transport is None or transport.blocked:
            if self.state is not SessionState.CLOSED:
                self._put(batch)
            return
        self.log.keep(batch)
        transport.write_frames(wire, len(turn))

    def buffer_broadcast(self, frames: list[bytes]) -> None:
        if self.state is SessionState.CLOSED:
            return
        transport = self.transport
        if transport is not None and not transport.blocked:
            # It was slow when the room began this turn's writing, and has caught up since.
            wire = b"".join(frames)
            self.log.keep((frames, len(wire)))
            transport.write_frames(wire, len(frames))
            return
        self._put((frames, sum(map(len, frames))))

    def unblocked(self) -> None:
        transport = self.transport
        if transport is None:
            return
        log = self.log
        while not transport.blocked:
            count = 0
            if self._owes_ack:
                data = self._owed()
            elif log.gap:
                data = self._frames.lost(log.take_gap())
            elif log.unsent:
                data, count = log.take(_DRAIN_BYTES)
            else:
                break
            transport.write_frames(data, count)
        if self._room_in_buffer is not None and not (transport.blocked and log.full):
            self._wake_senders()
        if transport.blocked:
            return
        further = self.further
        if further is None or not further.rooms:
            self.room.set_swift(self, transport.write)
            log.follow(self.room.backlog(self.shard.options.send_buffer_bytes), self.id)
        else:
            self._keep_itself(transport)
            further.set_swift(transport.write, log.keep)

    def place(self, room: Room[Session]) -> None:
        transport = self.transport
        if transport is None or transport.blocked:
            room.set_slow(self)
            return
        if self.log.follows:
            # One backlog cannot say what came between the frames of several rooms.
            self._keep_itself(transport)
        room.set_swift(self, transport.write, self.log.keep)

    def _keep_itself(self, transport: Transport) -> None:
        """Follow the first room's backlog no more."""
        self.log.unfollow()
        self.room.set_swift(self, transport.write, self.log.keep)

    def _set_slow(self) -> None:
        self.log.unfollow()
        super()._set_slow()

    def _put(self, batch: Batch) -> None:
        if dropped := self.log.put(batch):
            self.dropped_frames += dropped
            self.shard.metrics.frames_dropped += dropped

    def _take_queued(self) -> bytes:
        log, frames = self.log, self._frames
        data, count = (b"" if self._first is None else self._owed()), 0
        if log.gap:
            data += frames.lost(log.take_gap())
        if log.unsent:
            unsent, count = log.take(_EVERYTHING)
            data += unsent
        turn, self._turn = self._turn, None
        if turn is not None:
            data += b"".join(turn)
            count += len(turn)
        self.shard.metrics.frames_out += count
        return data

    # State.

    def _loss(self, _said_goodbye: bool = False, for_good: bool = False) -> SessionEvent:
        """1000 is meant so; whatever else ends a transport, its client comes back."""
        return SessionEvent.LOSE if for_good or not self.outlives_transport else SessionEvent.DROP

    def attach(self, transport: Transport) -> None:
        lost = 0
        claimed, self._claimed = self._claimed, None
        if claimed is not None:
            gap = self.log.gap
            lost = self.log.resume(claimed)
            self.shard.metrics.frames_dropped += max(0, lost - gap)
        self._first = claimed is not None, lost
        self._owes_ack = True
        self._begin_beat()
        super().attach(transport)

    def _begin_beat(self) -> None:
        shard = self.shard
        self._beat = _Beat(self)
        shard.at(shard.clock() + shard.options.ping_period, self._beat)

    def _detach(self, close: CloseRow | None) -> None:
        self._end_deadlines()
        super()._detach(close)

    def _end_deadlines(self) -> None:
        """Whoever waits for its time keeps nothing of a session that may end; the next transport is told of what was taken at
        once."""
        for deadline in (self._beat, self._timer):
            if deadline is not None:
                deadline.session = None
        self._beat = self._timer = None

    def _end(self, event: SessionEvent, error: BaseException | None) -> None:
        super()._end(event, error)
        self.log.clear()


class _Beat:
    """Has the client told that we are there, while it has this transport."""

    __slots__ = ("session",)

    def __init__(self, session: ExactSession) -> None:
        self.session: ExactSession | None = session

    def __call__(self, now: float) -> None:
        session = self.session
        if session is not None:
            session.shard.at(session.tell(now), self)


class _Reminder:
    """Has the client told, once, what was taken."""

    __slots__ = ("session",)

    def __init__(self, session: ExactSession) -> None:
        self.session: ExactSession | None = session

    def __call__(self, _now: float) -> None:
        session = self.session
        if session is not None:
            session.tell_taken()
