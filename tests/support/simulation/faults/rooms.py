"""Of rooms: who is in them from when until when, and who gets what."""

from __future__ import annotations

from tests.support.simulation.faults.replacements import Faults, never
from wspulse.actors.sessions.admission import Admission
from wspulse.actors.sessions.room import Room
from wspulse.actors.sessions.rooms.further import FurtherRooms
from wspulse.actors.sessions.session import Session
from wspulse.actors.transport.transport import Transport
from wspulse.actors.transport.upgrade import Upgrade

__all__ = ["FAULTS"]

_admit, _attach, _write_but = Admission.admit, Session.attach, Room.write_but


def _admit_at_once(admission: Admission, transport: Transport, upgrade: Upgrade) -> None:
    """`Admission.admit` that does not wait until the room is joined."""
    _admit(admission, transport, upgrade)
    if transport in admission.newcomers:
        admission._decide(transport)


def _wait_for_the_first(admission: Admission, transport: Transport) -> bool:
    """`Admission._wait` that looks at one room."""
    room = admission.newcomers[transport]
    if room.waiting is None:
        return False
    room.waiting[transport] = lambda: admission.go_on(transport)
    return True


def _join_at_once(rooms: FurtherRooms[Session], room_id: str, *_: object) -> None:
    """`FurtherRooms.join` that does not wait until the room is joined."""
    if room_id not in rooms.rooms:
        rooms.add(rooms._table.enter(room_id))


def _leave_and_stay(rooms: FurtherRooms[Session], room_id: str) -> None:
    """`FurtherRooms.leave` that forgets the room's side."""
    room = rooms.rooms.pop(room_id, None)
    if room is not None:
        rooms._table.look_at(room)


def _attach_and_forget(session: Session, transport: Transport) -> None:
    """`Session.attach` that keeps the first room alone."""
    if session.further is not None:
        session.further.end(session.id)
        session.further = None
    _attach(session, transport)


def _end_and_stay(rooms: FurtherRooms[Session], _connection_id: str) -> None:
    """`FurtherRooms.end` that tells no room."""
    rooms.rooms = {}


def _write_to_all(room: Room[Session], wire: bytes, _excluded: frozenset[str]) -> None:
    _write_but(room, wire, frozenset())


def _write_before_the_turn(room: Room[Session], wire: bytes, excluded: frozenset[str]) -> None:
    """`Room.write_but` that overtakes what the room has got in this turn."""
    pending, room._pending = room._pending, []
    _write_but(room, wire, excluded)
    room._pending = pending


FAULTS: Faults = {
    "newcomer does not wait for the room": ((Admission, "admit", _admit_at_once),),
    "newcomer waits for the first of its rooms only": ((Admission, "_wait", _wait_for_the_first),),
    "member of a further room before it is joined": ((FurtherRooms, "join", _join_at_once),),
    "further room is forgotten at a resume": ((Session, "attach", _attach_and_forget),),
    "member of a further room is not slow there when its transport takes nothing": ((FurtherRooms, "set_slow", never),),
    "member of a further room is not swift there again": ((FurtherRooms, "set_swift", never),),
    "member that leaves stays": ((FurtherRooms, "leave", _leave_and_stay),),
    "member that ends stays in its further rooms": ((FurtherRooms, "end", _end_and_stay),),
    "frame that some do not get goes to all": ((Room, "write_but", _write_to_all),),
    "frame that some do not get overtakes those of its turn": ((Room, "write_but", _write_before_the_turn),),
}
