"""`SimClient`: a client of exact sessions, over all of its connections: what it counts, and what it would send again.

Made by the world; each of its connections is a `SimPeer`. It follows doc/reference/protocol.md: it abandons a connection
before it dials the next, says nothing before it has read the first frame, and sends again what the server has not taken, and
nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tests.support.simulation.model.exact import ExactModel
    from tests.support.simulation.model.model import Model
    from tests.support.simulation.outside.peer import SimPeer

__all__ = ["Said", "SimClient"]


class Said(NamedTuple):
    """A message of the client that counts."""

    kind: str
    value: int
    payload: bytes


class SimClient:
    """See the module. `said` is all that it has to say to its session, `received` how many frames of that it has got."""

    def __init__(self, model: Model, number: int, connection_id: str) -> None:
        self._model = model
        self.number = number
        self.connection_id = connection_id
        self.token = ""
        self.received = 0
        self.acknowledged = 0
        """What it has told the server last."""
        self.said: list[Said] = []
        self.written = 0
        """How many of those it has written to a connection."""
        self.taken = 0
        """How many of those the server has acknowledged."""
        self.peer: SimPeer | None = None
        """Its connection; those that it had before are abandoned."""
        self.session: ExactModel | None = None
        """What its connection's first frame was about."""

    def __repr__(self) -> str:
        return f"x{self.number}({self.connection_id})"

    @property
    def is_open(self) -> bool:
        """Whether it has read the first frame of its connection."""
        return self.session is not None

    def dials(self, peer: SimPeer) -> None:
        """It abandons its connection, and has another."""
        self.peer = peer
        self.session = None

    def say(self, kind: str, value: int, payload: bytes = b"") -> None:
        """Say what counts, now or when there is a connection."""
        said = Said(kind, value, payload)
        self.said.append(said)
        if self.is_open and self.peer is not None and self.peer.can_send:
            self._write(self.peer, said)
            self.written = len(self.said)

    def acknowledge(self, peer: SimPeer) -> None:
        """Tell what came; or ask, where that is nothing new."""
        self.acknowledged = self.received
        peer.write_frame(b"k%d" % self.received)

    # What it reads.

    def reads(self, peer: SimPeer, payload: bytes) -> None:
        """A frame of a connection that it has not abandoned."""
        kind = payload[:1]
        if kind == b"s":
            self._begins(peer, payload)
        elif self.session is None:
            self._model.fail(f"{self}: got {payload!r} before the first frame")
        elif kind == b"k":
            self._is_taken(int(payload[1:]))
        elif kind == b"l":
            self.received += int(payload[1:])
        else:
            order = self.session.order
            if self.received >= len(order) or order[self.received] != payload:
                self._model.fail(f"{self}: frame {self.received} is {payload!r}")
            self.received += 1
            if kind == b"c":
                self._model.calls.asked(peer, int(payload[1:]))

    def _begins(self, peer: SimPeer, payload: bytes) -> None:
        token, received, recovered, lost = payload[1:].decode().split(",")
        if self.session is not None or peer.session is None or peer.session.exact is None:
            self._model.fail(f"{self}: a second first frame")
            return
        self.token, self.connection_id = token, peer.connection_id
        self.session = peer.session.exact
        if recovered == "1":
            self.received += int(lost)
            self._is_taken(int(received))
            again = self.said[self.taken :]
        else:
            # What was written may have been handled.
            again = self.said[self.written :]
            self.said = again
            self.received = self.acknowledged = self.taken = 0
            self.session.said = self.said
        for said in again:
            if peer.can_send:
                self._write(peer, said)
        self.written = len(self.said)

    def _is_taken(self, count: int) -> None:
        if not self.taken <= count <= len(self.said):
            self._model.fail(f"{self}: {count} of {len(self.said)} are taken, and {self.taken} were before")
        self.taken = count

    def _write(self, peer: SimPeer, said: Said) -> None:
        if said.kind == "message":
            self._model.senders[said.value] = peer
        peer.send(said.kind, said.value, said.payload)
