"""A desk of the bridge on a stage: its instructions are carried out at once, and what was told is read as lines."""

from __future__ import annotations

import msgspec

from wspulse.actors.mesh.message import BridgeFrame, BridgeNotice, BridgeQuestion
from wspulse.supervisor.control.bridge.desk import BridgeDesk
from wspulse.supervisor.control.bridge.instructions import (
    Deliver,
    Instruction,
    Ping,
    Pose,
)
from wspulse.supervisor.control.bridge.program import AttachedPeer
from wspulse.supervisor.control.route import PeerRoute
from wspulse.supervisor.protocol.wire import read_request

__all__ = ["ASKED", "HEARTBEAT_S", "NO_PROGRAM", "ONE", "THREE", "TWO", "DeskStage"]


ONE, TWO, THREE = PeerRoute(b"\0one"), PeerRoute(b"\0two"), PeerRoute(b"\0three")
ASKED = BridgeQuestion("/ws", {}, {}, None)
HEARTBEAT_S = 10.0
NO_PROGRAM = {"status": 503, "text": "no program is attached"}


class DeskStage:
    """A desk whose instructions are carried out at once, with programs that take all they are sent."""

    def __init__(self) -> None:
        self.desk = BridgeDesk()
        self.done: list[Instruction] = []
        self.full: set[PeerRoute] = set()
        """They have not taken what they were sent before."""
        self.gone: set[PeerRoute] = set()

    def carry_out(self) -> None:
        while (instruction := self.desk.next_instruction()) is not None:
            match instruction:
                case Deliver(peer) | Pose(peer) | Ping(peer) if peer.route in self.gone:
                    self.desk.gone(peer)
                case Deliver(peer) if peer.route in self.full:
                    self.desk.held_back(peer)
                case Deliver(peer):
                    self.done.append(instruction)
                    self.desk.delivered(peer)
                case _:
                    self.done.append(instruction)

    def attach(self, route: PeerRoute, window: int = 100, now: float = 0.0) -> int:
        number = self.desk.attach(route, "json", window, HEARTBEAT_S, now)
        self.carry_out()
        self.desk.adopt_orphans()
        self.carry_out()
        return number

    def detach(self, route: PeerRoute) -> None:
        self.desk.detach(route)
        self.carry_out()

    def credit(self, route: PeerRoute, count: int) -> None:
        self.desk.credit(route, count)
        self.carry_out()

    def notice(self, kind: str, connection_id: str, *, shard: int = 0, program: int = 0) -> None:
        self.desk.notice(BridgeNotice(kind, shard, connection_id, "room", None, program))
        self.carry_out()

    def frame(self, connection_id: str, ticket: int) -> bool:
        """Its payload is its ticket."""
        is_known = self.desk.frame(BridgeFrame(connection_id, "room", "", "", b"%d" % ticket, "json"), ticket)
        self.carry_out()
        return is_known

    def ask(self, ticket: int) -> None:
        self.desk.ask(ASKED, ticket)
        self.carry_out()

    def answer(self, route: PeerRoute, number: int, connection_id: str, now: float = 0.0) -> None:
        answer = {"id": number, "ok": True, "result": {"room": "r", "connection": connection_id}}
        self.desk.answered(route, read_request(msgspec.json.encode(answer)), now)
        self.carry_out()

    def since(self) -> list[Instruction]:
        """What was done since this was asked last."""
        done, self.done = self.done, []
        return done

    def told(self) -> list[str]:
        """The deliveries since this or `since` was asked last: program, op, connection, and adopted or payload."""
        lines = []
        for each in self.since():
            if isinstance(each, Deliver):
                more = "adopted" if each.args.get("adopted") else each.frame.payload.decode() if each.frame else ""
                lines.append(
                    f"{each.peer.route.identity[1:].decode()} {each.op} {each.args['connection']} {more}".strip()
                )
        return lines

    def peer(self, route: PeerRoute) -> AttachedPeer:
        """As the next tick names it, at a time when nobody is silent."""
        self.desk.tick(0.0)
        found = None
        while (instruction := self.desk.next_instruction()) is not None:
            assert isinstance(instruction, Ping)
            found = instruction.peer if instruction.peer.route == route else found
        assert found is not None
        return found
