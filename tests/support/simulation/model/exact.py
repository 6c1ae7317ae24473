"""What must be true of exact sessions in a simulated history (doc/reference/protocol.md): no frame twice, none lost without a
word.

Each exact session's model has an `ExactModel`. The frames to its client stand in one order, that of their first writing, with a
None for each that was told as lost; whatever is written again must be what stands there. The client's messages stand in the
order in which it has said them; handlers must be given each once, in this order, as long as the session lives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from wspulse.actors.sessions.state import SessionState

if TYPE_CHECKING:
    from tests.support.simulation.model.frames import SessionModel
    from tests.support.simulation.outside.client import Said
    from tests.support.simulation.outside.peer import SimPeer

__all__ = ["ExactModel"]

ACK_S = 1.0
_SLACK_S = 0.05


class Judging(Protocol):
    """The model, as this sees it."""

    limit_frames: int

    @property
    def now(self) -> float: ...

    def fail(self, text: str) -> None: ...

    def unwritten(self, session: SessionModel) -> tuple[int, int]: ...


class ExactModel:
    """See the module. `position` is where in the order the current connection is."""

    def __init__(self, model: Judging, session: SessionModel) -> None:
        self._model = model
        self._session = session
        self.token = ""
        self.order: list[bytes | None] = []
        self.position = 0
        self.said: list[Said] = []
        self.handled = 0
        """How many of those have been handled, or are for no handler."""
        self.told = 0
        """How many messages the server has told the client that it has taken."""
        self.told_at = 0.0
        self.untold_since: float | None = None
        """When it was first seen that not all that was taken had been told."""
        self.begun_by: SimPeer | None = None
        """The connection that has got its first frame."""
        self.counted = 0
        """How many messages were taken when that was written."""
        self.is_recovered = False

    @property
    def replays(self) -> int:
        """How many frames the connection has yet to get that another one has got before."""
        return len(self.order) - self.position

    def is_of(self, token: str, received: int) -> bool:
        """Whether a client with this claim is the session's own."""
        return bool(self.token) and token == self.token and received <= len(self.order)

    def is_live(self, peer: SimPeer) -> bool:
        """Whether the session lives, and this connection is the one that it has."""
        return self._session.peer is peer and self._session.state is SessionState.CONNECTED

    # What is written.

    def own(self, peer: SimPeer, payload: bytes) -> None:
        """A frame of the protocol's own."""
        kind, text = payload[:1], payload[1:].decode()
        fail, session = self._model.fail, self._session
        if kind == b"s":
            self._begins(peer, text)
        elif self.begun_by is not peer:
            fail(f"{session}: {payload!r} before the first frame of {peer}")
        elif kind == b"k":
            self._tell(int(text))
        else:
            lost = int(text)
            if not 0 < lost <= self._most_lost():
                fail(f"{session}: {lost} frames are told as lost, and {self._most_lost()} may be")
            self._lose(lost)

    def data(self, peer: SimPeer, payload: bytes) -> bool:
        """A frame of the application. Returns whether it is written for the first time."""
        if self.begun_by is not peer:
            self._model.fail(f"{self._session}: {payload!r} before the first frame of {peer}")
        position = self.position
        self.position = position + 1
        if position == len(self.order):
            self.order.append(payload)
            return True
        if self.order[position] != payload:
            self._model.fail(f"{self._session}: frame {position} is {payload!r}, and was {self.order[position]!r}")
        return False

    def _begins(self, peer: SimPeer, text: str) -> None:
        token, received, recovered, lost = text.split(",")
        fail, session = self._model.fail, self._session
        if self.begun_by is peer:
            fail(f"{session}: a second first frame to {peer}")
        if self.token not in ("", token):
            fail(f"{session}: its token was {self.token} and is {token}")
        if (recovered == "1") is not self.is_recovered:
            fail(f"{session}: {recovered=}, and {self.is_recovered} is true")
        self.token = token
        self.begun_by = peer
        self.counted = int(received)
        self.position = peer.claimed_received if self.is_recovered else 0
        is_late = peer.client is not None and peer.client.peer is not peer
        if not is_late and not 0 <= int(lost) <= self._most_lost():
            # To a dial that was abandoned long ago, what has been acknowledged since is lost too.
            fail(f"{session}: {lost} frames are told as lost at a resume, and {self._most_lost()} may be")
        self._lose(int(lost))
        self._tell(int(received))

    def _most_lost(self) -> int:
        """What the bound can have pushed out of all that the connection has yet to get."""
        must, may = self._model.unwritten(self._session)
        return max(0, self.replays + must + may - self._model.limit_frames)

    def _lose(self, lost: int) -> None:
        self.position += lost
        self.order += [None] * (self.position - len(self.order))

    def _tell(self, received: int) -> None:
        if not self.told <= received <= len(self.said) or received < self.handled_messages:
            self._model.fail(
                f"{self._session}: {received} messages are told as taken, of {len(self.said)}; before {self.told}, handled "
                f"are {self.handled}"
            )
        self.told = received
        self.untold_since = None
        self.told_at = self._model.now

    # What is handled.

    @property
    def handled_messages(self) -> int:
        return self.handled

    def message_begins(self, number: int) -> None:
        """A handler is given a message."""
        said = self.said
        index = self.handled
        while index < len(said) and said[index].kind != "message":
            index += 1
        if index == len(said) or said[index].value != number:
            self._model.fail(f"{self._session}: message {number} out of order, expected is {said[index : index + 1]}")
        self.handled = index + 1

    def check_handled(self, why: str, count: int) -> None:
        """What was taken is handled."""
        unhandled = [said.value for said in self.said[self.handled : count] if said.kind == "message"]
        if unhandled:
            self._model.fail(
                f"{self._session}: {why}, and of {count} messages that were taken {unhandled} are not handled"
            )

    # While nothing happens.

    def check_told(self, peer: SimPeer, taken: int, late_until: float, ping_period_s: float) -> None:
        """The client is told what was taken, soon, and that we are there."""
        now = self._model.now
        if taken == self.told:
            self.untold_since = None
        elif self.untold_since is None:
            self.untold_since = now
        elif max(self.untold_since, late_until, peer.read_on_at) + ACK_S + _SLACK_S < now:
            self._model.fail(
                f"{self._session}: {taken} messages are taken, and {self.told} are told since {self.untold_since}"
            )
        if max(self.told_at, late_until, peer.read_on_at) + ping_period_s + _SLACK_S < now:
            self._model.fail(f"{self._session}: {peer} was told nothing since {self.told_at}")

    def check_lost(self) -> None:
        """All is written; so what was told as lost is what was accepted and never written."""
        session = self._session
        if self.replays:
            self._model.fail(f"{session}: {self.replays} frames are not written again")
        lost = self.order.count(None)
        written = set(self.order)
        directs = sum(payload is not None and payload[:1] != b"b" for payload in written)
        missing = len(session.direct_turns) - directs
        perhaps = 0
        for membership in session.memberships.values():
            room = membership.room
            for place, number in enumerate(room.numbers[: room.upto(session.seat)]):
                if b"b%d" % number in written or not room.is_for(session.id, place):
                    continue
                if membership.is_member and place >= membership.must_from:
                    missing += 1
                else:
                    perhaps += 1
        if not missing <= lost <= missing + perhaps:
            self._model.fail(f"{session}: {lost} frames are told as lost, and {missing} to {missing + perhaps} are")
