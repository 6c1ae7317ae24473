"""`Program`: one attached program as the desk keeps it, with what happened to its connections and waits for its credit.

Made and asked by `BridgeDesk`. It counts the credit and keeps the order; who gets a connection, it does not decide. No I/O.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from wspulse.supervisor.control.bridge.backlog import Backlog, Happening
from wspulse.supervisor.control.route import PeerRoute

__all__ = ["AttachedPeer", "Connection", "Program"]

MOST_ENDED = 10_000
"""Connections of whose end a program has not been told. More may end at once, as with a worker; not to be told of them is
no way to live, and what waits costs a few hundred bytes for each."""

CATCH_UP_S = 30.0
"""How long there may be more."""


class AttachedPeer(NamedTuple):
    """Where a program is and what it reads: all that is to be known to send it something."""

    number: int
    """Of this attachment: the same peer has another one when it attaches anew."""
    route: PeerRoute
    encoding: str


@dataclass(slots=True, eq=False)
class Connection:
    """A session of some worker, from its "connected" to its "disconnected"."""

    id: str
    room_id: str
    shard: int
    """The seat of the worker that has it."""
    program: Program | None = None
    is_told: bool = False
    """Whether some program was told of it."""
    waiting: list[Happening[Connection]] = field(default_factory=list)
    """What is to be told of it; its backlog's."""


@dataclass(slots=True, eq=False)
class Program:
    """`window` messages may be on their way to it, or unread in it; `credit` of them are free."""

    peer: AttachedPeer
    window: int
    heartbeat_s: float
    heard_at: float
    credit: int = field(init=False)
    backlog: Backlog[Connection] = field(default_factory=Backlog)
    connections: dict[str, Connection] = field(default_factory=dict)
    questions: int = 0
    is_retried: bool = False
    """Whether it has not taken what it was sent before, and is tried again in a moment."""
    behind_since: float | None = None
    """When more ends than it may leave untaken began to wait."""

    def __post_init__(self) -> None:
        self.credit = self.window

    @property
    def load(self) -> int:
        return len(self.connections) + self.questions

    @property
    def is_due(self) -> bool:
        """Whether it is to be told something, and may be."""
        return len(self.backlog) > 0 and self.credit > 0

    def renew(self, count: int) -> None:
        """It has read `count` messages, or says so: it never gets more than its window."""
        self.credit = min(self.window, self.credit + count)

    def told(self) -> Happening[Connection]:
        """The first of what waited has been sent."""
        happening = self.backlog.take_first()
        self.credit -= 1
        happening.connection.is_told = True
        return happening

    def is_silent(self, now: float) -> bool:
        return now - self.heard_at > self.heartbeat_s

    def is_lost(self, now: float) -> bool:
        """To be asked every second: whether it does not read its messages, though it may answer pings."""
        if self.backlog.ended <= MOST_ENDED:
            self.behind_since = None
            return False
        if self.behind_since is None:
            self.behind_since = now
        return now - self.behind_since > CATCH_UP_S
