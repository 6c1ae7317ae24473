"""`land`: how a session gets its socket, its rooms and its place in the shard's table, in whichever process.

Called by the target when a batch is committed, and by the source when one is taken back. A session that has a transport is in no
table before that is open, one turn of the loop later; until then its keeper keeps what its rooms get.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from socket import socket

from wspulse.actors.moving.waiting import Waiting
from wspulse.actors.sessions.room import Room
from wspulse.actors.sessions.rooms.membership import add_room
from wspulse.actors.sessions.session import Session
from wspulse.actors.sessions.shard import Shard
from wspulse.actors.sessions.state import SessionState
from wspulse.actors.sessions.transfer.frozen import is_frozen, thaw
from wspulse.actors.sessions.transfer.keeper import Keeper
from wspulse.actors.sessions.transfer.places import carry_on, go_on, take_in, wait_on
from wspulse.actors.transport.transfer.arrival import Arrival
from wspulse.actors.transport.transfer.opening import open_transport, read_ahead
from wspulse.actors.transport.transfer.record import TransportRecord
from wspulse.actors.transport.transport import Transport
from wspulse.actors.values.errors import SendBufferFullError

__all__ = ["Lander", "land"]

_CHUNK_BYTES = 64 * 1024
"""How much of what was kept is handed to the socket at a time; the rest can still be dropped as the oldest."""


@dataclass(slots=True)
class Lander:
    """A session that is about to be somewhere. `rooms` are entered for it, the first one first; `landed(session)` is called when
    it is in its place and before anything of it runs, and then who waits for its id in `waiting`."""

    session: Session
    transport: TransportRecord | None
    client: socket | None
    keeper: Keeper
    rooms: Sequence[Room[Session]]
    landed: Callable[[Session], object]
    waiting: Waiting
    late: Sequence[bytes] = field(default_factory=list)
    """What was sent to it meanwhile in the source; what is sent there to one that comes back, it keeps itself."""


def land(shard: Shard, lander: Lander) -> None:
    """Give it its place: at once where it waits for its client, else when its transport is open."""
    record, client = lander.transport, lander.client
    if record is None or client is None:
        _arrived(shard, lander, None)
        return
    arrival = Arrival(shard, record, partial(_arrived, shard, lander))
    if _writes_first(lander, record) and (data := read_ahead(client)):
        # A peer that has sent something and gone is heard before it can reset what we write.
        arrival.keep(data)
    if not open_transport(shard.loop, client, arrival):
        # Nothing says so but this: it is as if the socket had ended as soon as it was here, and before it took anything.
        arrival.transport.blocked = True
        lander.session.transport = arrival.transport
        arrival.transport.session = lander.session
        _in_place(shard, lander, None)
        arrival.transport.connection_lost(None)
        lander.waiting.remove(lander.session.id)


def _writes_first(lander: Lander, record: TransportRecord) -> bool:
    session = lander.session
    return bool(record.unsent or record.owed or lander.keeper.frames or lander.late or session.queued_frames)


def _arrived(shard: Shard, lander: Lander, transport: Transport | None) -> None:
    _in_place(shard, lander, transport)
    lander.waiting.remove(lander.session.id)


def _in_place(shard: Shard, lander: Lander, transport: Transport | None) -> None:
    """The one step in which it is this process's session."""
    session, keeper = lander.session, lander.keeper
    if shard.places is not None:
        # Where the socket has ended the place is given back with its transport.
        shard.places.pass_on(session, session.transport if transport is None else transport)
    late = thaw(session) if is_frozen(session) else lander.late
    keeper.leave()
    take_in(shard, session)
    first, *further = lander.rooms
    if session.further is None:
        for room in further:
            add_room(session, room)
    else:
        for room in further:
            shard.room_table.let_go(room)
    if transport is not None:
        carry_on(session, transport)
    elif session.state is SessionState.SUSPENDED:
        wait_on(session)
    shard.room_table.let_go(first)
    _catch_up(session, keeper.frames, late)
    lander.landed(session)
    go_on(session.inbox)


def _catch_up(session: Session, kept: Sequence[bytes], late: Sequence[bytes]) -> None:
    """What its rooms have got meanwhile, and what was sent to it."""
    chunk: list[bytes] = []
    size = 0
    for wire in kept:
        chunk.append(wire)
        size += len(wire)
        if size >= _CHUNK_BYTES:
            session.buffer_broadcast(chunk)
            chunk, size = [], 0
    if chunk:
        session.buffer_broadcast(chunk)
    for wire in late:
        try:
            session.send(wire)
        except SendBufferFullError:
            # Whoever sent it was told that it is queued.
            session.buffer_broadcast([wire])
