"""What is known of the frames on their way out, in a simulated history: who accepted which, and which was written where.

Part of the `Model`. A frame's number is its payload, so that whatever is written to a socket can be held against what was
accepted: none twice, none out of order, none missing that the send buffer had room for (contract §4).
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from tests.support.simulation.loop import SimLoop
from wspulse.actors.sessions.state import SessionState

if TYPE_CHECKING:
    from tests.support.simulation.model.exact import ExactModel
    from tests.support.simulation.outside.app import Script
    from tests.support.simulation.outside.peer import SimPeer
    from tests.support.simulation.outside.processes.process import SimProcess
    from wspulse.actors.sessions.connections.connection import Connection
    from wspulse.actors.sessions.session import Session

__all__ = ["CLOSED", "CONNECTED", "SUSPENDED", "FrameModel", "RoomModel", "SessionModel"]

CONNECTED, SUSPENDED, CLOSED = SessionState.CONNECTED, SessionState.SUSPENDED, SessionState.CLOSED


class RoomModel:
    """The broadcasts of one room, in the one order that the bus gave them."""

    __slots__ = ("_turns", "_turns_of", "_upto", "excluded", "id", "numbers", "published")

    def __init__(self, room_id: str) -> None:
        self.id = room_id
        self.published = 0
        """How many were issued; those that have no place yet included."""
        self.numbers: list[int] = []
        """Place → the number of the broadcast."""
        self._upto: dict[int, int] = {}
        self._turns_of: dict[int, dict[int, int]] = {}
        """By seat, place → the loop turn of its delivery to the shard there."""
        self._turns: dict[int, list[int]] = {}
        self.excluded: dict[int, frozenset[str]] = {}
        """Place → the connections that do not get it, where there are some."""

    def upto(self, seat: int) -> int:
        """Every broadcast before this place has come back from the bus, to the shard at this seat."""
        return self._upto.get(seat, 0)

    def moved(self, seat: int, upto: int) -> None:
        """A session has come to this seat that has got, or has waiting, all before that place."""
        self._upto[seat] = max(upto, self.upto(seat))

    def delivered(self, seat: int, place: int, turn: int) -> None:
        self._upto[seat] = place + 1
        self._turns_of.setdefault(seat, {})[place] = turn
        self._turns.setdefault(seat, []).append(turn)

    def turn_of(self, place: int, seats: list[int]) -> int | None:
        """The first turn in which one of the shards that a session has been in got it."""
        turns = [turns[place] for seat in seats if (turns := self._turns_of.get(seat)) and place in turns]
        return min(turns, default=None)

    def count_since(self, turn: int, seats: list[int]) -> int:
        """How many these shards have got since that turn, at most."""
        return sum(len(turns) - bisect_left(turns, turn) for seat in seats if (turns := self._turns.get(seat)))

    def is_for(self, connection_id: str, place: int) -> bool:
        return connection_id not in self.excluded.get(place, ())


class MembershipModel:
    """A session in a room, from its first join of it on."""

    __slots__ = ("epoch", "is_member", "joining", "last", "left_at", "must_from", "room")

    def __init__(self, room: RoomModel) -> None:
        self.room = room
        self.is_member = False
        self.joining = 0
        """Joins that have not returned."""
        self.epoch = 0
        """Rises with every leave: a join that returns after it made nobody a member."""
        self.must_from = 0
        """Broadcasts from this place on were issued after the 101, or the join's return: they must come."""
        self.left_at = 0
        """Broadcasts from this place on were issued after the leave: they must not come."""
        self.last = -1
        """The place of the last one that was written."""

    def joined(self) -> None:
        if not self.is_member:
            self.is_member = True
            self.must_from = self.room.published

    def leaves(self) -> None:
        self.epoch += 1
        if self.is_member or self.joining:
            self.is_member = False
            self.left_at = self.room.published


class SessionModel:
    """What must be true of one session."""

    __slots__ = (
        "active",
        "connection",
        "deadline",
        "direct_last",
        "direct_turns",
        "drop_error",
        "exact",
        "expected",
        "frozen_at",
        "frozen_turn",
        "given_up_at",
        "goes_to",
        "halted_at",
        "has_context",
        "id",
        "is_between",
        "is_ordered",
        "kept",
        "landed_turn",
        "landings",
        "late_by",
        "left_out",
        "memberships",
        "number",
        "peer",
        "peers",
        "process",
        "raised",
        "raised_by",
        "real",
        "restores",
        "room",
        "said_goodbye",
        "scripts",
        "seat",
        "seats",
        "state",
        "stood_s",
    )

    real: Session
    connection: Connection

    def __init__(self, number: int, connection_id: str, room: RoomModel, peer: SimPeer) -> None:
        self.number = number
        self.id = connection_id
        self.room = room
        self.has_context = False
        """Whether a handler of it has run, which leaves something in its context."""
        self.state = CONNECTED
        self.peer = peer
        """Its transport, or the last one that it had."""
        self.peers = [peer]
        self.direct_turns: list[int] = []
        """The loop turn of each accepted direct frame, in the order of the calls."""
        self.direct_last = -1
        """The place of the last direct frame that was written."""
        self.memberships: dict[RoomModel, MembershipModel] = {}
        self.membership(room).joined()
        self.expected: list[tuple[str, BaseException | None]] = []
        """Callbacks that must run, other than on_message, in this order."""
        self.active: str | None = None
        self.restores = 0
        """How many on_transport_restore have begun: which of `peers` may have on_message run."""
        self.deadline = 0.0
        self.drop_error: BaseException | None = None
        self.raised: BaseException | None = None
        """What its on_message raised last, and for which peer's message."""
        self.raised_by: SimPeer | None = None
        self.late_by: SimPeer | None = None
        """Whose message its on_message took too long over."""
        self.scripts: dict[str, Script] = {}
        self.is_ordered = False
        """Whether the application has ended it."""
        self.exact: ExactModel | None = None
        """Of a session whose client's messages and frames are counted."""
        self.left_out = 0
        """How many frames were found to be missing in what was written."""
        self.process: SimProcess | None = None
        self.seat = 0
        self.seats = [0]
        """Where it has been, where there are several processes; it is at the last one."""
        self.landings = 1
        self.is_between = False
        """Whether it is in no process's table, on its way from one to another."""
        self.goes_to: SimProcess | None = None
        """Whose it is, though that need not know it yet."""
        self.frozen_at, self.frozen_turn = 0.0, -2
        self.stood_s = 0.0
        """How long its window may have stood meanwhile."""
        self.given_up_at = 0.0
        """How long it had been halted when it was last given up."""
        self.landed_turn = -2
        """In which it has come to where it is; what was read elsewhere is handled in the next one."""
        self.halted_at: float | None = None
        """Since when it is to come to rest."""
        self.said_goodbye = False
        """Whether the application was told that it leaves."""
        self.kept: list[tuple[Connection, SimProcess]] = []
        """What the application has kept of it in processes that it has left."""

    @property
    def is_lost(self) -> bool:
        """Whether it has gone with a process that has died."""
        return self.process is not None and self.process.is_dead and self.state is CLOSED

    def membership(self, room: RoomModel) -> MembershipModel:
        found = self.memberships.get(room)
        if found is None:
            found = self.memberships[room] = MembershipModel(room)
        return found

    def __repr__(self) -> str:
        return f"s{self.number}({self.id})"


class FrameModel:
    """See the module. `fail` keeps the first violation; the history ends at the next step."""

    def __init__(self, loop: SimLoop, limit_frames: int) -> None:
        self.loop = loop
        self.limit_frames = limit_frames
        self.violation: str | None = None
        self.trace: list[str] | None = None
        self.rooms: dict[str, RoomModel] = {}
        self._direct: dict[int, tuple[SessionModel, int]] = {}
        self._broadcast: dict[int, tuple[RoomModel, int]] = {}
        self._number = 0

    def fail(self, text: str) -> None:
        if self.violation is None:
            self.violation = text
        if self.trace is not None:
            self.trace.append(f"    VIOLATION: {text}")

    def note(self, text: str) -> None:
        """Only called while `trace` is kept."""
        assert self.trace is not None
        self.trace.append(f"    {text}")

    def room(self, room_id: str) -> RoomModel:
        room = self.rooms.get(room_id)
        if room is None:
            room = self.rooms[room_id] = RoomModel(room_id)
        return room

    # What the application hands in.

    def new_number(self) -> int:
        self._number += 1
        return self._number

    def direct_accepted(self, session: SessionModel, number: int) -> None:
        """Noted before the call, since the call itself may write."""
        self._direct[number] = (session, len(session.direct_turns))
        session.direct_turns.append(self.loop.turns)

    def is_accepted(self, number: int) -> bool:
        return number in self._direct

    def direct_refused(self, session: SessionModel, number: int) -> None:
        del self._direct[number]
        session.direct_turns.pop()

    def published(self, room_id: str, number: int, excluded: frozenset[str] = frozenset()) -> None:
        """The bus took a broadcast: it has its place now."""
        room = self.room(room_id)
        room.published += 1
        self.placed(room_id, number, excluded)

    def placed(self, room_id: str, number: int, excluded: frozenset[str] = frozenset()) -> None:
        """It has its place in the one order."""
        room = self.room(room_id)
        place = len(room.numbers)
        self._broadcast[number] = (room, place)
        room.numbers.append(number)
        if excluded:
            room.excluded[place] = excluded

    def delivered(self, number: int) -> None:
        """A broadcast comes back from the bus, to a shard that has joined the room."""
        self.delivered_at(0, number)

    def delivered_at(self, seat: int, number: int) -> None:
        room, place = self._broadcast[number]
        room.delivered(seat, place, self.loop.turns)

    # What is written.

    def replaces(self, peer: SimPeer) -> bool:
        """Whether a newer transport takes over from this peer's right now."""
        raise NotImplementedError

    def data_written(self, peer: SimPeer, payload: bytes) -> None:
        session = peer.session
        if session is None or session.peer is not peer or self.replaces(peer):
            self.fail(f"{peer}: frame {payload!r} was written to a transport that carries no session")
            return
        exact = session.exact
        if exact is not None:
            if payload[0] in b"skl":
                exact.own(peer, payload)
                return
            if not exact.data(peer, payload):
                return
        number = int(payload[1:])
        if payload[0] in b"dc":
            owner, place = self._direct[number]
            if owner is not session:
                self.fail(f"{peer}: direct frame {number} of {owner} was written to {session}")
            elif place != session.direct_last + 1:
                if place <= session.direct_last:
                    self.fail(f"{session}: direct frame {number} was written twice or out of order")
                self._look_at_gap(session, session.direct_turns[session.direct_last + 1 : place], "direct")
            session.direct_last = place
        else:
            room, place = self._broadcast[number]
            membership = session.memberships.get(room)
            if membership is None:
                self.fail(f"{peer}: broadcast {number} to {room.id} was written to {session}, who never was there")
                return
            if not membership.is_member and not membership.joining and place >= membership.left_at:
                self.fail(f"{session}: broadcast {number} to {room.id} was issued after it had left, and written to it")
            elif place <= membership.last:
                self.fail(f"{session}: broadcast {number} was written twice or out of order")
            elif not room.is_for(session.id, place):
                self.fail(f"{session}: broadcast {number} was written to it, which it excludes")
            elif place != membership.last + 1:
                self._look_at_broadcasts(session, membership, place)
            membership.last = place

    def look_at_rest(self, session: SessionModel) -> None:
        """Nothing that was accepted may be unwritten now, but what a full buffer dropped."""
        if session.exact is not None:
            session.exact.check_lost()
        left_out = session.left_out
        if session.direct_last + 1 != len(session.direct_turns):
            self._look_at_gap(session, session.direct_turns[session.direct_last + 1 :], "direct")
        for membership in session.memberships.values():
            if membership.last + 1 < (upto := membership.room.upto(session.seat)):
                self._look_at_broadcasts(session, membership, upto)
        # They are counted when something is written behind them.
        session.left_out = left_out

    def _look_at_broadcasts(self, session: SessionModel, membership: MembershipModel, before: int) -> None:
        if not membership.is_member:
            return  # what was under way when it left may be missing
        room = membership.room
        first = max(membership.last + 1, membership.must_from)
        turns = []
        for place in range(first, before):
            if not room.is_for(session.id, place):
                continue
            turn = room.turn_of(place, session.seats)
            if turn is None:
                self.fail(f"{session}: the bus did not deliver broadcast {place} to a shard that had joined")
                return
            turns.append(turn)
        if turns:
            self._look_at_gap(session, turns, "broadcast")

    def _look_at_gap(self, session: SessionModel, turns: list[int], kind: str) -> None:
        """Frames accepted in these turns were left out. Each needs a buffer full of newer ones, and was dropped by it."""
        session.left_out += len(turns)
        if session.exact is None and session.left_out > session.real.dropped_frames:
            self.fail(f"{session}: {session.left_out} frames were lost, and {session.real.dropped_frames} dropped")
        for turn in turns:
            # Frames that wait for the end of a turn, or of a move, are put in order there: one turn earlier counts as newer.
            since = (session.frozen_turn if session.frozen_turn < turn <= session.landed_turn else turn) - 1
            newer = len(session.direct_turns) - bisect_left(session.direct_turns, since) - 1
            newer += sum(room.count_since(since, session.seats) for room in session.memberships)
            if newer < self.limit_frames:
                self.fail(
                    f"{session}: a {kind} frame of turn {turn} was lost, with {newer} newer ones for a buffer of "
                    f"{self.limit_frames}"
                )

    def unwritten(self, session: SessionModel) -> tuple[int, int]:
        """How many accepted frames are not written, those that were dropped behind the last written one included; and how many
        may be besides: broadcasts issued before a 101 or a join's return, or before a leave."""
        must = len(session.direct_turns) - session.direct_last - 1
        may = 0
        for membership in session.memberships.values():
            room, first = membership.room, membership.last + 1
            if membership.is_member:
                must_from = max(first, membership.must_from)
                places = range(must_from, room.upto(session.seat))
                must += sum(room.is_for(session.id, place) for place in places) if room.excluded else len(places)
                may += max(0, membership.must_from - first)
            elif membership.joining:
                may += max(0, room.published - first)
            else:
                may += max(0, membership.left_at - first)
        return must, may
