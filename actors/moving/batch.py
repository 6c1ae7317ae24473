"""`Batch`: the sessions that leave a source together: frozen at the cut, recorded, sent; then committed, or taken back.

Made by a `Departure` of sessions that are at rest. It runs in the source's loop; nothing in it awaits.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from functools import partial
from time import monotonic
from typing import NamedTuple

import msgspec

from wspulse.actors.mesh.placing.moves import SessionComes, SocketComes
from wspulse.actors.moving.landing import Lander, land
from wspulse.actors.moving.waiting import Waiting
from wspulse.actors.sessions.connections.expressible import altered
from wspulse.actors.sessions.inbox import Inbox
from wspulse.actors.sessions.room import Room
from wspulse.actors.sessions.rooms.membership import rooms_of
from wspulse.actors.sessions.session import Session
from wspulse.actors.sessions.shard import Shard
from wspulse.actors.sessions.transfer.frozen import freeze, is_frozen, sent_meanwhile, thaw
from wspulse.actors.sessions.transfer.keeper import Keeper
from wspulse.actors.sessions.transfer.places import forget, let_go, take_out
from wspulse.actors.sessions.transfer.record import SessionRecord
from wspulse.actors.sessions.transfer.recording import record_of
from wspulse.actors.transport.transfer.opening import close_for_good, stream_socket
from wspulse.actors.transport.transfer.record import TransportRecord
from wspulse.actors.values.log_limit import LogLimit

__all__ = ["Batch", "MovedSession"]

_MOST_BYTES = 128 * 1024 * 1024
"""Of a record: it goes in one envelope."""

_encode = msgspec.msgpack.Encoder().encode

_logger = logging.getLogger("wspulse.moving")
_log = LogLimit()


class MovedSession(NamedTuple):
    """One that is another process's."""

    session: Session
    record: SessionRecord
    inbox: Inbox
    pause_s: float


class _Frozen:
    """A session of the batch from its freezing on."""

    __slots__ = ("fd", "keeper", "record", "rooms", "session", "transport")

    def __init__(self, session: Session, keeper: Keeper, rooms: list[Room[Session]]) -> None:
        self.session = session
        self.keeper = keeper
        self.rooms = rooms
        self.transport: TransportRecord | None = None
        self.fd: int | None = None
        self.record: SessionRecord | None = None


class Batch:
    """See the module. `who_may_leave()` is asked at the cut, when everything before it was delivered, and says it of each
    session; `frozen()` is called when the sockets of all that may have left the loop."""

    def __init__(
        self,
        number: int,
        shard: Shard,
        sessions: Iterable[Session],
        waiting: Waiting,
        who_may_leave: Callable[[], Callable[[Session], bool]],
        frozen: Callable[[], object],
    ) -> None:
        self.number = number
        self.sessions = list(sessions)
        self._rooms_of = {session: rooms_of(session) for session in self.sessions}
        """As the target is told; one whose rooms are others at the cut stays for now."""
        self.rooms = list(dict.fromkeys(room_id for rooms in self._rooms_of.values() for room_id in rooms))
        self.is_over = False
        """It was committed, taken back, or given up before the cut came."""
        self.unsaid: list[str] = []
        """The ids of those of which no record could be made."""
        self._shard = shard
        self._waiting = waiting
        self._who_may_leave = who_may_leave
        self._when_frozen = frozen
        self._frozen: dict[str, _Frozen] = {}
        self._landing: dict[str, Session] = {}
        """Those that are taken back, and have yet to be in the table."""
        self._unleft = 0
        self._frozen_at = 0.0

    def __len__(self) -> int:
        return len(self._frozen)

    @property
    def members(self) -> list[tuple[str, list[int]]]:
        """As the target is told of them."""
        numbers = {room_id: number for number, room_id in enumerate(self.rooms)}
        return [(session.id, [numbers[room_id] for room_id in rooms]) for session, rooms in self._rooms_of.items()]

    @property
    def is_leaving(self) -> bool:
        """Whether sockets are on their way out of the loop."""
        return self._unleft > 0

    @property
    def is_landing(self) -> bool:
        """Whether sockets are on their way back into it."""
        return bool(self._landing)

    def kept_bytes(self) -> int:
        """What its rooms have got meanwhile, which all members of one share, and what was sent to its sessions."""
        frames = {
            id(wire): wire
            for each in self._frozen.values()
            for kept in (each.keeper.frames, each.session._turn or ())
            for wire in kept
        }
        return sum(map(len, frames.values()))

    def frozen(self, connection_id: str) -> Session | None:
        each = self._frozen.get(connection_id)
        return self._landing.get(connection_id) if each is None else each.session

    def between(self, room_id: str | None) -> list[Session]:
        """Its sessions that are in no table, of one room or of all."""
        sessions = [*(each.session for each in self._frozen.values()), *self._landing.values()]
        return [session for session in sessions if room_id is None or room_id in rooms_of(session)]

    # The cut.

    def freeze(self) -> None:
        """In the very step in which the cut came: what its rooms get from now on the target has."""
        shard = self._shard
        if self.is_over:
            return
        may_leave = self._who_may_leave()
        going = [
            session
            for session in self.sessions
            if shard.sessions.get(session.id) is session
            and rooms_of(session) == self._rooms_of[session]
            and may_leave(session)
        ]
        self._frozen_at = monotonic()
        for room_id in self.rooms:
            if (room := shard.rooms.get(room_id)) is not None:
                room.flush()
        for session in going:
            session.flush()
        self._unleft = 1
        for session in going:
            self._freeze(session)
        self._one_left()

    def _freeze(self, session: Session) -> None:
        shard = self._shard
        transport = session.transport
        rooms = [shard.room_table.enter(room_id) for room_id in rooms_of(session)]
        each = _Frozen(session, Keeper(session.id), rooms)
        if transport is not None:
            session.transport = transport.session = None
            if shard.places is not None:
                # It counts here until it is the target's, which counts it before that.
                shard.places.pass_on(transport, session)
            try:
                transport.leave(partial(self._left, each))
            except OSError:
                # No descriptor is free: it stays for now.
                session.transport, transport.session = transport, session
                if shard.places is not None:
                    shard.places.pass_on(session, transport)
                for room in rooms:
                    shard.room_table.let_go(room)
                return
            self._unleft += 1
        let_go(session)
        each.keeper.enter(rooms)
        take_out(shard, session)
        self._frozen[session.id] = each
        self._waiting.add(session.id)
        freeze(session)

    def _left(self, each: _Frozen, transport: TransportRecord, fd: int) -> None:
        each.transport, each.fd = transport, fd
        self._one_left()

    def _one_left(self) -> None:
        self._unleft -= 1
        if self._unleft:
            return
        self._when_frozen()

    # What becomes of it.

    def envelopes(self) -> list[tuple[SessionComes | SocketComes, int | None]]:
        """What the target is sent, with the descriptors, which stay ours until it has answered."""
        found: list[tuple[SessionComes | SocketComes, int | None]] = []
        for each in self._frozen.values():
            try:
                data = self._record(each)
            except Exception as error:
                self.unsaid.append(each.session.id)
                if (not_logged := _log.admit(monotonic())) is not None:
                    fields = {"connection_id": each.session.id, "not_logged": not_logged}
                    _logger.error("a session could not be recorded", exc_info=error, extra=fields)
                continue
            kind = SessionComes if each.fd is None else SocketComes
            found.append((kind(self.number, data), each.fd))
        return found

    def _record(self, each: _Frozen) -> bytes:
        each.record, unsaid = record_of(each.session, each.transport)
        _warn(each.session, unsaid, "parts of a session's state are lost in its move: msgpack cannot encode them")
        changed = altered(each.record.state) if each.record.state else []
        _warn(each.session, changed, "parts of a session's state change their type in its move")
        data = _encode(each.record)
        if len(data) > _MOST_BYTES:
            raise ValueError(f"a record of {len(data)} bytes is too large")
        return data

    def take_back(self, landed: Callable[[Session], object], only: Iterable[str] | None = None) -> None:
        """They, or some of them, are this process's again, each with its socket; as if nothing had been."""
        for connection_id in list(self._frozen if only is None else only):
            each = self._frozen.pop(connection_id, None)
            if each is None:
                continue
            self._landing[connection_id] = each.session
            try:
                self._land(each, landed)
            except Exception:
                # It is lost; the others come back, and nobody waits for it.
                _logger.exception("a session could not be taken back", extra={"connection_id": connection_id})
                self._leave_place(each.session)
                if self._landing.pop(connection_id, None) is not None:
                    if is_frozen(each.session):
                        thaw(each.session)
                    self._waiting.remove(connection_id)
                    each.keeper.leave()
                    for room in each.rooms:
                        self._shard.room_table.let_go(room)
                    forget(self._shard, each.session.inbox)
        if only is None:
            self.is_over = True

    def _land(self, each: _Frozen, landed: Callable[[Session], object]) -> None:
        session = each.session
        client = None if each.fd is None else stream_socket(each.fd)
        at = partial(self._landed, landed)
        try:
            land(self._shard, Lander(session, each.transport, client, each.keeper, each.rooms, at, self._waiting))
        except BaseException:
            if client is not None:
                close_for_good(client)
            raise

    def _landed(self, landed: Callable[[Session], object], session: Session) -> None:
        del self._landing[session.id]
        landed(session)

    def late(self) -> dict[str, list[bytes]]:
        """What was sent to them since they were recorded. It is the caller's to pass on."""
        return {
            connection_id: sent
            for connection_id, each in self._frozen.items()
            if (sent := sent_meanwhile(each.session))
        }

    def let_go(self) -> list[MovedSession]:
        """They are the target's: forget them, and close our copies, which nobody notices."""
        self.is_over = True
        now = monotonic()
        moved = []
        for each in self._frozen.values():
            each.keeper.leave()
            for room in each.rooms:
                self._shard.room_table.let_go(room)
            if each.fd is not None:
                os.close(each.fd)
            self._leave_place(each.session)
            thaw(each.session)
            assert each.record is not None
            moved.append(MovedSession(each.session, each.record, each.session.inbox, now - self._frozen_at))
        self._frozen.clear()
        return moved

    def _leave_place(self, session: Session) -> None:
        if self._shard.places is not None:
            self._shard.places.leave(session)


def _warn(session: Session, keys: list[str], text: str) -> None:
    if keys and (not_logged := _log.admit(monotonic())) is not None:
        _logger.warning(text, extra={"connection_id": session.id, "keys": keys[:20], "not_logged": not_logged})
