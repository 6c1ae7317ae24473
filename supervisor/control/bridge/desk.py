"""`BridgeDesk`: decides which program is the application of which connection, and what it is told when
(doc/reference/control.md).

Made by `BridgeService`, which tells it what workers and programs say and what the clock shows, and carries out its
instructions. Each connection is assigned to one attached program; what happens to it goes there in order, as far as the
program's credit reaches, and waits in a backlog otherwise: one frame per connection at most, since its worker reads no further
until the frame has gone out. It keeps its program when its session moves to another worker. The connections of a program that
is gone go to the others, or wait. No I/O.
"""

from __future__ import annotations

from collections import deque

from wspulse.actors.mesh.message import BridgeFrame, BridgeNotice, BridgeQuestion
from wspulse.supervisor.control.bridge.backlog import Backlog, Happening
from wspulse.supervisor.control.bridge.instructions import (
    AdoptSoon,
    CancelRetry,
    Deliver,
    FrameSent,
    Instruction,
    Ping,
    ReportAttached,
    ReportForgotten,
    ReportGone,
    RetrySoon,
    Settle,
)
from wspulse.supervisor.control.bridge.program import MOST_ENDED, AttachedPeer, Connection, Program
from wspulse.supervisor.control.bridge.questions import OpenQuestions
from wspulse.supervisor.control.route import PeerRoute
from wspulse.supervisor.protocol.wire import ControlRequest

__all__ = ["BridgeDesk"]

MOST_LEFT_BYTES = 16 * 1024 * 1024
"""Frames of clients that are gone, which wait for one program. Those of clients that are there are one for each, and not bounded
here: their workers hold as much."""


class BridgeDesk:
    """See the module. After each event, carry out `next_instruction()` until there is none.

    `now` is a time in seconds on a clock that only goes forward. Tickets are the caller's: they come back with the
    instruction that answers the one who waits.
    """

    def __init__(self) -> None:
        self._programs: dict[PeerRoute, Program] = {}
        self._connections: dict[str, Connection] = {}
        self._orphaned: Backlog[Connection] = Backlog()
        """What happened to connections that no program has."""
        self._questions = OpenQuestions(self._least_loaded, self._tell)
        self._number = 0
        """Of the last question or program: each has one of its own."""
        self._instructions: deque[Instruction] = deque()
        self._pumped: dict[Program, None] = {}
        """Programs that may be told what waits for them, in the order in which they came to that."""

    def next_instruction(self) -> Instruction | None:
        """What is to be done next. A delivery is made up only when it is asked for, one at a time: whether there is
        another one depends on what becomes of it."""
        if self._instructions:
            return self._instructions.popleft()
        while self._pumped:
            program = next(iter(self._pumped))
            # It comes back when it has been told: a delivery that fails for an unknown reason must not stop the others.
            del self._pumped[program]
            if program.is_due and self._programs.get(program.peer.route) is program:
                first = program.backlog.first
                args = {"connection": first.connection.id, "room": first.connection.room_id, **first.args}
                return Deliver(program.peer, first.op, args, first.frame)
        return None

    # From workers.

    def ask(self, question: BridgeQuestion, ticket: int) -> None:
        """A worker asks who somebody is."""
        if self._questions.are_too_many:
            self._tell(Settle(ticket, {"status": 503, "text": "too many connections are waiting for an answer"}))
            return
        self._number += 1
        self._questions.ask(self._number, ticket, question)

    def notice(self, notice: BridgeNotice) -> None:
        """Something happened to a session."""
        connection = self._connections.get(notice.connection_id)
        if notice.kind == "moved" and connection is not None:
            connection.shard = notice.shard
        elif notice.kind in ("connected", "moved"):
            # One that has moved and is not known was thought to be gone, with the process that it has left.
            if connection is not None:
                self._disconnected(connection, None)
            connection = Connection(notice.connection_id, notice.room_id, notice.shard)
            self._connections[connection.id] = connection
            chosen = next((each for each in self._programs.values() if each.peer.number == notice.program), None)
            self._assign(connection, chosen or self._least_loaded())
            self._put(Happening(connection, "connected", {"adopted": False}))
        elif connection is None:
            pass  # of a worker that is gone
        elif notice.kind == "disconnected":
            self._disconnected(connection, notice.error)
        else:
            self._put(Happening(connection, notice.kind, {} if notice.kind == "restored" else {"error": notice.error}))

    def frame(self, frame: BridgeFrame, ticket: int) -> bool:
        """A client's frame. Returns whether there is such a connection; only then the frame will be sent."""
        connection = self._connections.get(frame.connection_id)
        if connection is None:
            return False
        self._put(Happening(connection, "message", frame=frame, tickets=(ticket,)))
        return True

    def rest(self, connection_id: str, ticket: int) -> bool:
        """Somebody waits until all that a client has said by now has been sent. Returns whether there is anything to wait for."""
        connection = self._connections.get(connection_id)
        frames = [] if connection is None else [each for each in connection.waiting if each.frame is not None]
        if not frames:
            return False
        frames[-1].tickets += (ticket,)
        return True

    def shard_down(self, shard: int) -> None:
        """A worker has ended: nobody else will say that its sessions have."""
        error = {"type": "ShardUnavailableError", "message": f"wspulse: shard unavailable: shard {shard} went down"}
        for connection in [each for each in self._connections.values() if each.shard == shard]:
            self._disconnected(connection, error)

    # From programs.

    def attach(self, route: PeerRoute, encoding: str, window: int, heartbeat_s: float, now: float) -> int:
        """A peer wants to be the application. Returns its number."""
        if (old := self._programs.get(route)) is not None:
            self._gone(old, "it attached again")
        self._number += 1
        self._programs[route] = Program(AttachedPeer(self._number, route, encoding), window, heartbeat_s, now)
        self._tell(ReportAttached(self._number))
        self._tell(AdoptSoon())
        return self._number

    def adopt_orphans(self) -> None:
        """The newest program knows that it is attached: it may be told what nobody was there for."""
        orphans = [each for each in self._connections.values() if each.program is None]
        self._hand_on(orphans, self._orphaned.take_all())

    def heard(self, route: PeerRoute, now: float) -> bool:
        """A peer said something. Returns whether it is attached."""
        if (program := self._programs.get(route)) is None:
            return False
        program.heard_at = now
        return True

    def credit(self, route: PeerRoute, count: int) -> None:
        """An attached program has read so many messages."""
        program = self._programs[route]
        program.renew(count)
        self._pumped[program] = None

    def detach(self, route: PeerRoute) -> None:
        """An attached program wants nothing any more."""
        self._gone(self._programs[route], "it detached")

    def answered(self, route: PeerRoute, answer: ControlRequest, now: float) -> None:
        """A program's answer to a question; anything else is ignored."""
        program = self._programs.get(route)
        if program is not None and self._questions.answered(program, answer):
            program.heard_at = now

    # From the caller itself.

    def delivered(self, peer: AttachedPeer) -> None:
        """The delivery that was asked for last has been sent."""
        if (program := self._attached(peer)) is not None:
            happening = program.told()
            self._pumped[program] = None
            if happening.frame is not None:
                self._tell_sent(happening)

    def held_back(self, peer: AttachedPeer) -> None:
        """The delivery that was asked for last was not sent: the program has not taken what it was sent before."""
        if (program := self._attached(peer)) is not None and not program.is_retried:
            program.is_retried = True
            self._tell(RetrySoon(peer))

    def retry(self, peer: AttachedPeer) -> None:
        """A moment has passed since `RetrySoon`."""
        if (program := self._attached(peer)) is not None:
            program.is_retried = False
            self._pumped[program] = None

    def gone(self, peer: AttachedPeer) -> None:
        """A program's connection has ended, or it does not read."""
        if (program := self._attached(peer)) is not None:
            self._gone(program, "its connection ended")

    def deadline_passed(self, number: int) -> None:
        """A question has waited too long."""
        self._questions.deadline_passed(number)

    def tick(self, now: float) -> None:
        """To be called every second: who is silent for longer than it promised is gone, and so is who takes nothing."""
        for program in list(self._programs.values()):
            if program.is_silent(now):
                self._gone(program, "it is silent")
            elif program.is_lost(now):
                self._gone(program, "it does not read its messages")
            else:
                self._tell(Ping(program.peer))
        self._forget_orphans()

    # Deciding.

    def _tell(self, instruction: Instruction) -> None:
        self._instructions.append(instruction)

    def _tell_sent(self, happening: Happening[Connection]) -> None:
        for ticket in happening.tickets:
            self._tell(FrameSent(ticket))

    def _attached(self, peer: AttachedPeer) -> Program | None:
        program = self._programs.get(peer.route)
        return program if program is not None and program.peer is peer else None

    def _least_loaded(self) -> Program | None:
        return min(self._programs.values(), key=lambda program: program.load, default=None)

    def _assign(self, connection: Connection, program: Program | None) -> None:
        connection.program = program
        if program is not None and self._connections.get(connection.id) is connection:
            program.connections[connection.id] = connection

    def _put(self, happening: Happening[Connection]) -> None:
        program = happening.connection.program
        backlog = self._orphaned if program is None else program.backlog
        backlog.put(happening)
        if backlog.left_bytes > MOST_LEFT_BYTES:
            self._forget_frames(backlog)
        if program is not None:
            self._pumped[program] = None

    def _forget_frames(self, backlog: Backlog[Connection]) -> None:
        """What clients said that are gone: the newest stays."""
        forgotten = 0
        while backlog.left_bytes > MOST_LEFT_BYTES:
            self._tell_sent(backlog.forget_oldest_frame())
            forgotten += 1
        self._tell(ReportForgotten(0, forgotten))

    def _forget_orphans(self) -> None:
        """Nobody is there to be told, and perhaps nobody comes."""
        connections = frames = 0
        while self._orphaned.ended > MOST_ENDED:
            for happening in self._orphaned.forget_oldest_end():
                self._tell_sent(happening)
                frames += 1
            connections += 1
        if connections:
            self._tell(ReportForgotten(connections, frames))

    def _disconnected(self, connection: Connection, error: dict[str, str] | None) -> None:
        del self._connections[connection.id]
        self._put(Happening(connection, "disconnected", {"error": error}))
        if connection.program is not None:
            connection.program.connections.pop(connection.id, None)

    def _gone(self, program: Program, reason: str) -> None:
        """A program is no longer there: what it had goes to the others."""
        del self._programs[program.peer.route]
        if program.is_retried:
            self._tell(CancelRetry(program.peer))
        self._tell(ReportGone(program.peer.number, reason))
        self._questions.ask_others(program)
        self._hand_on(list(program.connections.values()), program.backlog.take_all())

    def _hand_on(self, connections: list[Connection], happenings: list[Happening[Connection]]) -> None:
        """Assign connections anew, and those that have ended but of which something is still to be told; then put what
        waits for them, in its order, to their new programs."""
        for connection in dict.fromkeys([*connections, *(each.connection for each in happenings)]):
            self._assign(connection, self._least_loaded())
            if connection.is_told and connection.program is not None:
                self._put(Happening(connection, "connected", {"adopted": True}))
        for happening in happenings:
            # Of a connection that was told of, this is an earlier adoption.
            if not happening.is_adoption:
                self._put(happening)
