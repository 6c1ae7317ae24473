"""`Arrival`: the target's end of a move: sessions that come from one source.

Made by `Moving` for each stream on which a process says that it moves sessions out. Until a batch is committed its sessions are
the source's: what is here of them is forgotten when the stream ends. It decides nothing.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection
from functools import partial
from socket import socket
from time import monotonic
from typing import Protocol

import msgspec

from wspulse.actors.mesh.placing.moves import (
    BatchBuilt,
    BatchComing,
    BatchCommitted,
    BatchJoined,
    BatchSent,
    MoveAnswer,
    MoveBegins,
    MoveEnds,
    MoveEnvelope,
    MoveReady,
    MoveRefused,
    SessionComes,
    SocketComes,
)
from wspulse.actors.moving.landing import Lander, land
from wspulse.actors.moving.waiting import Waiting
from wspulse.actors.sessions.room import Room
from wspulse.actors.sessions.session import Session
from wspulse.actors.sessions.shard import Shard
from wspulse.actors.sessions.transfer.keeper import Keeper
from wspulse.actors.sessions.transfer.record import FORMAT, SessionRecord
from wspulse.actors.sessions.transfer.recording import session_of
from wspulse.actors.transport.transfer.opening import stream_socket
from wspulse.actors.values.log_limit import LogLimit

__all__ = ["Arrival", "CutWatch", "codec_name"]

_decode = msgspec.msgpack.Decoder(SessionRecord).decode

_logger = logging.getLogger("wspulse.moving")
_log = LogLimit()


class CutWatch(Protocol):
    """The bus, as a move sees it."""

    def watch_cuts(self, source: int, passed: Callable[[int], None], watched: Callable[[], None]) -> None:
        """Call `passed(number)` with each cut of that incarnation, in order with what is delivered, and `watched` when that is
        certain."""

    def unwatch_cuts(self, source: int) -> None: ...


class AnswerStream(Protocol):
    def send(self, envelope: MoveAnswer) -> object: ...


class _Batch:
    """Sessions that are about to come together."""

    __slots__ = ("comes", "cut_passed", "keepers", "landers", "members", "records", "rooms", "unjoined")

    def __init__(self, rooms: list[Room[Session]], members: dict[str, list[int]]) -> None:
        self.rooms = rooms
        """Entered once for the batch."""
        self.members = members
        """By id, its rooms by their numbers."""
        self.unjoined = 0
        self.keepers: dict[str, Keeper] = {}
        self.cut_passed = False
        self.records: list[tuple[bytes, int | None]] = []
        self.comes: int | None = None
        """How many sessions there are, once that is known."""
        self.landers: dict[str, Lander] | None = None
        """Once they are built."""


class Arrival:
    """See the module. `landed(session)` is called for each one that is in its place; `joining()` are the ids of newcomers that
    are let in here."""

    def __init__(
        self,
        shard: Shard,
        bus: CutWatch,
        stream: AnswerStream,
        landed: Callable[[Session], None],
        joining: Callable[[], Collection[str]],
    ) -> None:
        self._shard = shard
        self._bus = bus
        self._stream = stream
        self.landed = landed
        self._joining = joining
        self.slots: frozenset[int] = frozenset()
        """That come from it."""
        self.source = 0
        """Its incarnation, while its cuts are watched for this stream."""
        self._batches: dict[int, _Batch] = {}
        self._landers: dict[str, Lander] = {}
        """Of the sessions that are built, until they are in their places."""
        self.waiting = Waiting()
        """The ids of sessions that are about to come, and who waits for them."""

    def take(self, envelope: MoveEnvelope, fd: int | None) -> None:
        """What the source says."""
        match envelope:
            case MoveBegins():
                self._begin(envelope)
            case BatchComing():
                self._prepare(envelope)
            case SessionComes() | SocketComes():
                self._batches[envelope.batch].records.append((envelope.record, fd))
            case BatchSent():
                self._batches[envelope.batch].comes = envelope.sessions
                self._build(envelope.batch)
            case BatchCommitted():
                self._commit(envelope.batch, envelope.late)
            case MoveEnds():
                self._unwatch()

    def coming(self, room_id: str | None) -> list[Session]:
        """The sessions, of one room or of all, that are built and not in their places: the source may have forgotten them."""
        return [
            lander.session
            for lander in self._landers.values()
            if room_id is None or any(room.id == room_id for room in lander.rooms)
        ]

    def give_way(self) -> None:
        """The source has begun anew on another stream, on which its cuts count from now on."""
        self.source = 0

    def ended(self) -> None:
        """The stream has ended, and with it what is not committed."""
        self._unwatch()
        for number in list(self._batches):
            self._discard(self._batches.pop(number))

    def _begin(self, begins: MoveBegins) -> None:
        if begins.format != FORMAT:
            reason = f"it reads sessions of format {FORMAT}, but these have format {begins.format}"
            self._stream.send(MoveRefused(begins.plan, reason))
            return
        self.source = begins.incarnation
        self.slots = frozenset(begins.slots)
        ready = MoveReady(begins.plan, codec_name(self._shard))
        self._bus.watch_cuts(begins.incarnation, self._cut, partial(self._say, ready))

    def _say(self, answer: MoveAnswer) -> None:
        self._stream.send(answer)

    def _unwatch(self) -> None:
        if self.source:
            self._bus.unwatch_cuts(self.source)
            self.source = 0

    # A batch, step by step.

    def _prepare(self, coming: BatchComing) -> None:
        enter = self._shard.room_table.enter
        rooms = [enter(room_id) for room_id in coming.rooms]
        batch = self._batches[coming.batch] = _Batch(rooms, dict(coming.sessions))
        joining, sessions = self._joining(), self._shard.sessions
        for connection_id in batch.members:
            # One that has ended meanwhile, and whose id is ours to decide about since, does not come any more.
            if connection_id not in sessions and connection_id not in joining:
                self.waiting.add(connection_id)
        for room in rooms:
            if room.waiting is not None:
                batch.unjoined += 1
                room.waiting[batch, room.id] = partial(self._room_joined, coming.batch, batch)
        if not batch.unjoined:
            self._stream.send(BatchJoined(coming.batch))

    def _room_joined(self, number: int, batch: _Batch) -> None:
        batch.unjoined -= 1
        if not batch.unjoined and self._batches.get(number) is batch:
            self._stream.send(BatchJoined(number))

    def _cut(self, number: int) -> None:
        """From here on what its rooms get is the batch's."""
        batch = self._batches.get(number)
        if batch is None or batch.cut_passed:
            return
        batch.cut_passed = True
        for connection_id, rooms in batch.members.items():
            keeper = batch.keepers[connection_id] = Keeper(connection_id)
            keeper.enter(batch.rooms[room] for room in rooms)
        self._build(number)

    def _build(self, number: int) -> None:
        """When all is here: the cut and the records may come in any order."""
        batch = self._batches[number]
        if not batch.cut_passed or batch.comes is None or batch.landers is not None:
            return
        batch.landers = {}
        refused: list[str] = []
        while batch.records:
            # One that cannot be read stays, and its descriptor is closed with the batch, which nobody commits then.
            data, fd = batch.records[0]
            record = _decode(data)
            del batch.records[0]
            try:
                batch.landers[record.connection_id] = self._lander(batch, record, fd)
            except Exception as error:
                refused.append(record.connection_id)
                if fd is not None:
                    os.close(fd)
                if (not_logged := _log.admit(monotonic())) is not None:
                    _logger.error("a session cannot move here", exc_info=error, extra={"not_logged": not_logged})
        for connection_id in [each for each in batch.keepers if each not in batch.landers]:
            batch.keepers.pop(connection_id).leave()
            self.waiting.remove(connection_id)
        self._stream.send(BatchBuilt(number, refused))

    def _lander(self, batch: _Batch, record: SessionRecord, fd: int | None) -> Lander:
        by_id = {room.id: room for room in batch.rooms}
        rooms = [by_id[room_id] for room_id in record.rooms]
        keeper = batch.keepers[record.connection_id]
        session = session_of(self._shard, record, rooms[0])
        # From here on nothing fails: the descriptor has one owner.
        client: socket | None = None if fd is None else stream_socket(fd)
        if client is not None and self._shard.places is not None:
            self._shard.places.take(session, record.remote_address)
        lander = self._landers[session.id] = Lander(
            session, record.transport, client, keeper, rooms, self._has_landed, self.waiting
        )
        return lander

    def _commit(self, number: int, late: dict[str, list[bytes]]) -> None:
        batch = self._batches.pop(number)
        enter = self._shard.room_table.enter
        for lander in (batch.landers or {}).values():
            for room in lander.rooms:
                enter(room.id)
            lander.late = late.get(lander.session.id, ())
            land(self._shard, lander)
        for room in batch.rooms:
            self._shard.room_table.let_go(room)

    def _has_landed(self, session: Session) -> None:
        del self._landers[session.id]
        self.landed(session)

    def _discard(self, batch: _Batch) -> None:
        """The source has it still, or it is lost with that."""
        for keeper in batch.keepers.values():
            keeper.leave()
        for connection_id, lander in (batch.landers or {}).items():
            del self._landers[connection_id]
            if self._shard.places is not None:
                self._shard.places.leave(lander.session)
            if lander.client is not None:
                lander.client.close()
        for _, fd in batch.records:
            if fd is not None:
                os.close(fd)
        for room in batch.rooms:
            room.wait_no_more((batch, room.id))
            self._shard.room_table.let_go(room)
        for connection_id in batch.members:
            self.waiting.remove(connection_id)


def codec_name(shard: Shard) -> str:
    """Two processes whose codecs have one name write frames alike."""
    kind = type(shard.options.codec)
    return f"{kind.__module__}.{kind.__qualname__}"
