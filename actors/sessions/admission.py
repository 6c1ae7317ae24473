"""`Admission`: how a newcomer becomes something: a new session, the next transport of one, or a refusal.

Part of the shard's actor, made with it. Acceptors and handovers bring valid upgrades; a newcomer first waits until its room is
joined, then one step without an await decides, so that whatever happened to its id meanwhile is seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wspulse.actors.sessions.room import Room
from wspulse.actors.sessions.state import SessionEvent, SessionState
from wspulse.actors.transport.state import TransportState
from wspulse.actors.transport.transport import Transport
from wspulse.actors.values.close_code import CloseReason
from wspulse.actors.values.errors import DuplicateConnectionIDError
from wspulse.actors.values.request import Request
from wspulse.actors.wire.answer import rejection

if TYPE_CHECKING:
    from wspulse.actors.sessions.shard import Shard

__all__ = ["Admission", "Upgrade"]


@dataclass(slots=True)
class Upgrade:
    """A valid upgrade for an id of this shard, waiting to become a session's transport."""

    room_id: str
    connection_id: str
    state: dict[str, Any] | None
    request: Request
    answer: bytes
    """The 101."""
    deadline: float
    """When, on the shard's clock, the handshake has timed out."""
    room: Room | None = None


class Admission:
    """See the module. `newcomers` are those that wait, `waiting` the same by the room that they wait for."""

    def __init__(self, shard: Shard) -> None:
        self._shard = shard
        self.newcomers: dict[Transport, None] = {}
        self.waiting: dict[str, list[Transport]] = {}

    def admit(self, transport: Transport, upgrade: Upgrade) -> None:
        """Make a valid upgrade a session, or the next transport of one, when its room is joined."""
        if self._shard.closing:
            self._shard.metrics.upgrades_refused += 1
            transport.refuse(rejection(503, "server is shutting down").encode())
            return
        room = self._shard.rooms.get(upgrade.room_id)
        if room is None:
            room = self._shard.rooms[upgrade.room_id] = Room(
                upgrade.room_id, self._shard.options.send_buffer_size, self._shard.metrics
            )
            room.joiners += 1
            upgrade.room = room
            self.newcomers[transport] = None
            self.waiting[room.id] = [transport]
            self._shard.bus.join(room.id, lambda: self.room_joined(room))
        else:
            room.joiners += 1
            upgrade.room = room
            self.newcomers[transport] = None
            waiting = self.waiting.get(room.id)
            if waiting is None:
                self._decide(transport)
            else:
                waiting.append(transport)
        if transport.state is TransportState.WAITING:
            self._shard.at(upgrade.deadline, lambda _now: self._late(transport))

    def gone(self, transport: Transport) -> None:
        """A newcomer's socket ended while it waited: nobody else notices."""
        if transport in self.newcomers:
            self._release(transport)

    def room_joined(self, room: Room) -> None:
        for transport in self.waiting.pop(room.id, ()):
            if transport in self.newcomers:
                self._decide(transport)

    def _late(self, transport: Transport) -> None:
        if transport in self.newcomers:
            self._refuse(transport, 503, "the room could not be joined in time")

    def _refuse(self, transport: Transport, status: int, text: str) -> None:
        self._release(transport)
        self._shard.metrics.upgrades_refused += 1
        transport.refuse(rejection(status, text).encode())

    def _release(self, transport: Transport) -> Upgrade:
        """The newcomer no longer holds its room."""
        self.newcomers.pop(transport, None)
        upgrade = transport.upgrade
        assert upgrade is not None
        assert upgrade.room is not None
        upgrade.room.joiners -= 1
        self._shard.look_at_room(upgrade.room)
        return upgrade

    def _decide(self, transport: Transport) -> None:
        """The one step in which a newcomer becomes something."""
        upgrade = transport.upgrade
        assert upgrade is not None
        if transport.closing:
            # Gone, and `connection_lost` has not come yet: it must not take its id from a session that lives.
            self._release(transport)
            return
        old = self._shard.sessions.get(upgrade.connection_id)
        if old is not None and old.state is SessionState.CONNECTED:
            mode = self._shard.options.on_duplicate
            if mode == "reject":
                self._refuse(transport, 409, "this connection id is in use")
                return
            if mode == "kick":
                error = DuplicateConnectionIDError(old.id)
                old.apply(SessionEvent.DUPLICATE, error=error, close=CloseReason.DUPLICATE)
                old = None
        self._shard.metrics.upgrades += 1
        transport.accept(upgrade.answer)
        if old is None:
            self._shard.new_session(transport, upgrade)
        elif old.state is SessionState.SUSPENDED:
            old.apply(SessionEvent.RESUME, transport=transport)
        else:
            # The old transport is dead for the application, even where its peer still answers. What it had brought is not.
            if old.transport is not None:
                old.transport.hand_over_rest()
            old.apply(SessionEvent.REPLACE, close=CloseReason.REPLACED, transport=transport)
        self._release(transport)
        transport.upgrade = None
        transport.start()

    def refuse_all(self, status: int, text: str) -> None:
        """Answer every newcomer that waits."""
        for transport in list(self.newcomers):
            self._refuse(transport, status, text)
        self.waiting.clear()

    def forget_room(self, room_id: str) -> None:
        """The room is left: nobody waits for it any more."""
        self.waiting.pop(room_id, None)
