"""Whatever happens to the connections between a client and a pretended server, nothing is lost or doubled either way, but for
what is told.

The pretended server is the protocol's other side as doc/reference/protocol.md has it, without anything around.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from wspulse.actors.client.outbox import Outbox, Outgoing
from wspulse.actors.client.session import LineSession
from wspulse.actors.values.frame import Frame

BOUND = 6
"""Of the server's log: small, so that it overflows."""

few = st.integers(1, 4)


def frame(event: str, payload: Any) -> Frame:
    return Frame(event, msgspec.Raw(msgspec.json.encode(payload)))


class ServerSession:
    """The server's half of one session."""

    def __init__(self, number: int) -> None:
        self.token = f"token-{number}"
        self.is_met = False
        """Whether a client ever reached it: the session begins then."""
        self.taken: list[int] = []
        self.sent: list[int] = []
        """All that was ever sent; its place is its number."""
        self.acknowledged = 0
        self.kept_from = 0
        self.next = 0
        """What is written next over the present connection."""

    def send(self, number: int) -> None:
        """The oldest that are not acknowledged are pushed out."""
        self.sent.append(number)
        self.kept_from = max(self.kept_from, self.acknowledged, len(self.sent) - BOUND)


class Histories(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.client = LineSession(Outbox(10_000, 1 << 30))
        self.server = ServerSession(0)
        self.sessions = [self.server]
        self.is_connected = False
        self.to_server: deque[Frame] = deque()
        self.to_client: deque[tuple[str, Any]] = deque()
        self.numbers = 0
        self.theirs: set[int] = set()
        self.told_unacknowledged: set[int] = set()
        self.client_took: list[int] = []
        self.client_lost = 0

    # The client's side.

    @rule(count=few)
    def client_sends(self, count: int) -> None:
        for _ in range(count):
            self.numbers += 1
            self.client.outbox.push(Outgoing(Frame("n", self.numbers, str(self.numbers)), "x"))

    @precondition(lambda self: self.is_connected)
    @rule(count=few)
    def client_writes(self, count: int) -> None:
        for _ in range(count):
            if outgoing := self.client.outbox.next():
                self.to_server.append(outgoing.frame)

    @precondition(lambda self: self.is_connected)
    @rule()
    def client_acknowledges(self) -> None:
        if self.client.owes:
            self.to_server.append(self.client.acknowledgement())

    @precondition(lambda self: self.is_connected)
    @rule(count=few)
    def client_takes(self, count: int) -> None:
        for _ in range(min(count, len(self.to_client))):
            event, payload = self.to_client.popleft()
            if event == "wspulse.ack":
                self.client.acknowledged(frame(event, payload))
            elif event == "wspulse.lost":
                self.client_lost += self.client.skip(frame(event, payload))
            else:
                self.client.take(1)
                self.client_took.append(payload)

    # The server's side.

    @precondition(lambda self: self.server.is_met)
    @rule(count=few)
    def server_sends(self, count: int) -> None:
        for _ in range(count):
            self.numbers += 1
            self.theirs.add(self.numbers)
            self.server.send(self.numbers)

    @precondition(lambda self: self.is_connected)
    @rule(count=few)
    def server_writes(self, count: int) -> None:
        server = self.server
        for _ in range(count):
            if server.next < server.kept_from:
                self.to_client.append(("wspulse.lost", server.kept_from - server.next))
                server.next = server.kept_from
            elif server.next < len(server.sent):
                self.to_client.append(("n", server.sent[server.next]))
                server.next += 1

    @precondition(lambda self: self.is_connected)
    @rule(count=few, acknowledges=st.booleans())
    def server_takes(self, count: int, acknowledges: bool) -> None:
        server = self.server
        for _ in range(min(count, len(self.to_server))):
            came = self.to_server.popleft()
            if came.event == "wspulse.ack":
                assert server.acknowledged <= came.payload <= server.next
                server.acknowledged = came.payload
            else:
                server.taken.append(came.payload)
        if acknowledges:
            self.to_client.append(("wspulse.ack", len(server.taken)))

    # What happens to both.

    @precondition(lambda self: self.is_connected)
    @rule()
    def network_fails(self) -> None:
        self.is_connected = False
        self.to_server.clear()
        self.to_client.clear()

    @precondition(lambda self: not self.is_connected)
    @rule()
    def server_forgets_the_session(self) -> None:
        self.server = ServerSession(len(self.sessions))
        self.sessions.append(self.server)

    @precondition(lambda self: not self.is_connected)
    @rule(first_frame_arrives=st.booleans())
    def client_dials(self, first_frame_arrives: bool) -> None:
        offers = self.client.offers()
        server = self.server
        prefix = f"wspulse.resume.{server.token}."
        recovered = len(offers) == 2 and offers[1].startswith(prefix)
        lost = 0
        if recovered:
            server.acknowledged = int(offers[1].removeprefix(prefix))
            server.next = max(server.kept_from, server.acknowledged)
            lost = server.next - server.acknowledged
        elif server.is_met:
            self.server_forgets_the_session()
            server = self.server
        server.is_met = True
        if not first_frame_arrives:
            return
        fields = {"id": "c", "token": server.token, "window": 30, "ping": 10, "ack": [2, 1000]}
        fields |= {"received": len(server.taken) if recovered else 0, "recovered": recovered, "lost": lost}
        opening = self.client.open_exact(frame("wspulse.session", fields))
        if opening.recovered:
            self.client_lost += opening.lost
        for each in opening.unacknowledged:
            assert each.payload not in self.told_unacknowledged
            self.told_unacknowledged.add(each.payload)
        if not recovered:
            self.client_took, self.client_lost = [], 0
        self.is_connected = True

    # What must hold.

    @invariant()
    def nothing_comes_twice_or_out_of_order(self) -> None:
        if not hasattr(self, "server"):
            return
        taken = [number for session in self.sessions for number in session.taken]
        assert len(taken) == len(set(taken))
        assert taken == sorted(taken)

    @precondition(lambda self: self.is_connected)
    @invariant()
    def client_knows_of_every_frame_of_its_session(self) -> None:
        sent = self.server.sent[: self.client.received]
        assert len(self.client_took) + self.client_lost == self.client.received
        assert self.client_took == [number for number in sent if number in set(self.client_took)]

    def teardown(self) -> None:
        """In the end all comes through."""
        if not hasattr(self, "server"):
            return
        while not self.is_connected:
            self.client_dials(True)
        for _ in range(2 * self.numbers + 10):
            self.client_writes(4)
            self.server_takes(4, True)
            self.server_writes(4)
            self.client_takes(10)
        taken = {number for session in self.sessions for number in session.taken}
        mine = set(range(1, self.numbers + 1)) - self.theirs
        assert mine <= taken | self.told_unacknowledged
        assert self.client.received == len(self.server.sent)
        assert len(self.client.outbox) == 0


TestHistories = Histories.TestCase
TestHistories.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
