"""`Program`: one attached program as the desk keeps it, with what happened to its connections and waits for its credit.

Made and asked by `BridgeDesk`. It counts the credit and keeps the order; who gets a connection, it does not decide. No I/O.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from wspulse.actors.mesh.message import BridgeFrame
from wspulse.supervisor.control.route import PeerRoute

__all__ = ["AttachedPeer", "Connection", "Happening", "Program"]


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
    program: Program | None = None
    is_told: bool = False
    """Whether some program was told of it."""


@dataclass(slots=True, eq=False)
class Happening:
    """Something that happened to a connection, which its program is to be told."""

    connection: Connection
    op: str
    args: dict[str, Any] = field(default_factory=dict)
    frame: BridgeFrame | None = None
    ticket: int = 0
    """Of a frame: by what the desk's owner knows that somebody waits until it is sent."""

    @property
    def is_adoption(self) -> bool:
        return self.op == "connected" and bool(self.args["adopted"])


@dataclass(slots=True, eq=False)
class Program:
    """`window` messages may be on their way to it, or unread in it; `credit` of them are free."""

    peer: AttachedPeer
    window: int
    heartbeat_s: float
    heard_at: float
    credit: int = field(init=False)
    queue: deque[Happening] = field(default_factory=deque)
    connections: dict[str, Connection] = field(default_factory=dict)
    questions: int = 0
    is_retried: bool = False
    """Whether it has not taken what it was sent before, and is tried again in a moment."""

    def __post_init__(self) -> None:
        self.credit = self.window

    @property
    def load(self) -> int:
        return len(self.connections) + self.questions

    @property
    def is_due(self) -> bool:
        """Whether it is to be told something, and may be."""
        return bool(self.queue) and self.credit > 0

    def renew(self, count: int) -> None:
        """It has read `count` messages, or says so: it never gets more than its window."""
        self.credit = min(self.window, self.credit + count)

    def told(self) -> Happening:
        """The first of what waited has been sent."""
        happening = self.queue.popleft()
        self.credit -= 1
        happening.connection.is_told = True
        return happening

    def is_silent(self, now: float) -> bool:
        return now - self.heard_at > self.heartbeat_s
