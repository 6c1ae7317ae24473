"""`Admission`: how a newcomer becomes something: a new session, the next transport of one, or a refusal.

Part of the shard's actor, made with it. Acceptors and handovers bring valid upgrades; a newcomer first waits until its rooms are
joined, then one step without an await decides, so that whatever happened to its id meanwhile is seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Protocol

from wspulse.actors.journal.journal import Journal
from wspulse.actors.sessions.connections.local_connection import LocalConnection
from wspulse.actors.sessions.exact.claims import Way, make_way, session_claimed
from wspulse.actors.sessions.exact.session import ExactSession
from wspulse.actors.sessions.room import Room
from wspulse.actors.sessions.rooms.table import RoomTable
from wspulse.actors.sessions.session import Session
from wspulse.actors.sessions.state import SessionEvent, SessionState
from wspulse.actors.transport.transport import Transport
from wspulse.actors.transport.upgrade import Upgrade
from wspulse.actors.values.close_code import CloseReason
from wspulse.actors.values.metrics import Metrics
from wspulse.actors.values.options.server_options import ServerOptions
from wspulse.actors.values.text.exact import SUBPROTOCOL
from wspulse.actors.wire.answer import rejection

__all__ = ["Admission", "AdmissionShard", "Claims"]


class Claims(Protocol):
    """Who knows whose an id is among several hosts, as the admission sees it."""

    def came(self, transport: Transport, upgrade: Upgrade) -> bool:
        """A newcomer's rooms are entered for it. False where this host lets nobody in for now."""

    def waits(self, transport: Transport) -> bool:
        """Whether a newcomer whose rooms are joined has to wait until its id is this host's: then it goes on later. Asked in the
        step in which it would become something."""

    def left(self, transport: Transport) -> None:
        """A newcomer has become something, or is gone."""


class AdmissionShard(Protocol):
    """What the admission needs of its shard."""

    options: ServerOptions
    metrics: Metrics
    journal: Journal
    sessions: dict[str, Session]
    room_table: RoomTable
    closing: bool
    """Whether newcomers are refused."""

    @property
    def clock(self) -> Callable[[], float]:
        """Seconds in which the shard could serve, monotonic."""

    def at(self, when: float, call: Callable[[float], None]) -> None:
        """Have `call(now)` called at `when` or a little later; it cannot be cancelled."""

    def new_session(
        self, transport: Transport, upgrade: Upgrade, room: Room[Session], further: Iterable[Room[Session]]
    ) -> None:
        """Begin the session of a newcomer whose 101 is written; the further rooms were entered for it."""


class Admission:
    """See the module. `newcomers` are those that wait, each with the room that it keeps alive; `coming` those that will be
    admitted when the loop has their sockets, a turn later."""

    def __init__(self, shard: AdmissionShard) -> None:
        self._shard = shard
        self.newcomers: dict[Transport, Room[Session]] = {}
        self.coming: set[Transport] = set()
        self._further: dict[Transport, list[Room[Session]]] = {}
        """Of those that want more rooms than one, the others."""
        self.claims: Claims | None = None
        """Where there are several hosts."""

    def admit(self, transport: Transport, upgrade: Upgrade) -> None:
        """Make a valid upgrade a session, or the next transport of one, when its rooms are joined."""
        self.coming.discard(transport)
        if self._shard.closing:
            self._answer(transport, upgrade, 503, "server is shutting down")
            return
        enter = self._shard.room_table.enter
        self.newcomers[transport] = enter(upgrade.room_id)
        if upgrade.rooms:
            self._further[transport] = [enter(room_id) for room_id in upgrade.rooms]
        if self.claims is not None and not self.claims.came(transport, upgrade):
            self.refuse(transport, 503, "this host is not part of the cluster for now")
            return
        if not self._wait(transport):
            self._decide(transport)
            return
        self._shard.at(upgrade.deadline, lambda _now: self._late(transport))

    def gone(self, transport: Transport) -> None:
        """A newcomer's socket ended while it waited: nobody else notices."""
        if transport in self.newcomers:
            self._release(transport)

    def _wait(self, transport: Transport) -> bool:
        """Wait for one of its rooms that is not joined yet, if there is one."""
        room = self.newcomers[transport]
        if room.waiting is None and self._further:
            room = next((other for other in self._further.get(transport, ()) if other.waiting is not None), room)
        if room.waiting is None:
            return self.claims is not None and self.claims.waits(transport)
        room.waiting[transport] = partial(self.go_on, transport)
        return True

    def go_on(self, transport: Transport) -> None:
        """What a newcomer has waited for has come about: decide, unless it waits for something else."""
        if transport in self.newcomers and not self._wait(transport):
            self._decide(transport)

    def _late(self, transport: Transport) -> None:
        if transport in self.newcomers:
            rooms = self.newcomers[transport], *self._further.get(transport, ())
            is_joining = any(room.waiting is not None for room in rooms)
            what = "the room could not be joined" if is_joining else "the connection id could not be claimed"
            self.refuse(transport, 503, f"{what} in time")

    def refuse(self, transport: Transport, status: int, text: str) -> None:
        """Answer a newcomer that waits."""
        self._release(transport)
        assert transport.upgrade is not None
        self._answer(transport, transport.upgrade, status, text)

    def _answer(self, transport: Transport, upgrade: Upgrade, status: int, text: str) -> None:
        answer, request = rejection(status, text), upgrade.request
        self._shard.journal.refused(answer, request.head, request.remote_address, upgrade.connection_id)
        transport.refuse(answer.encode())

    def _release(self, transport: Transport) -> None:
        """The newcomer no longer holds its rooms."""
        for room in (self.newcomers.pop(transport), *self._further.pop(transport, ())):
            room.wait_no_more(transport)
            self._shard.room_table.let_go(room)
        if self.claims is not None:
            self.claims.left(transport)

    def _may_follow(self, transport: Transport, upgrade: Upgrade, old: Session, *, is_own: bool) -> bool:
        """Whether a newcomer takes an id that is in use. A session that it does not take over has ended then; where it may not
        follow at all it has its answer."""
        if transport.half_closed:
            # It may well be gone, and must not take its id from a session that lives or waits for another.
            self.refuse(transport, 409, "this connection id is in use, and the client has already closed its side")
            return False
        mode = self._shard.options.on_duplicate
        is_exact = upgrade.subprotocol == SUBPROTOCOL
        if make_way(old, is_own=is_own, is_exact=is_exact, on_duplicate=mode) is Way.CLOSED:
            self.refuse(transport, 409, "this connection id is in use")
            return False
        return True

    def _decide(self, transport: Transport) -> None:
        """The one step in which a newcomer becomes something."""
        shard = self._shard
        upgrade = transport.upgrade
        assert upgrade is not None
        if transport.closing:
            # Gone, and `connection_lost` has not come yet: it must not take its id from a session that lives.
            self._release(transport)
            return
        own = None
        if upgrade.claim is not None:
            own = session_claimed(shard.sessions, upgrade)
            if own is not None:
                upgrade.connection_id = own.id
        old = shard.sessions.get(upgrade.connection_id)
        if old is not None:
            if not self._may_follow(transport, upgrade, old, is_own=own is not None):
                return
            old = shard.sessions.get(upgrade.connection_id)
        metrics = shard.metrics
        metrics.upgrades += 1
        transport.accept(upgrade.answer)
        if metrics.upgrade_times is not None:
            # The deadline goes with the newcomer from process to process, and was set when its connection was accepted.
            accepted_at = upgrade.deadline - shard.options.handshake_timeout
            metrics.upgrade_times.observe(max(0.0, shard.clock() - accepted_at))
        access = shard.journal.access
        if access is not None:
            access.opened(transport, upgrade, is_resumed=old is not None)
        if old is None:
            if upgrade.claim is not None:
                shard.metrics.resumes_unknown += 1
            further = self._further.pop(transport, ())
            shard.new_session(transport, upgrade, self.newcomers[transport], further)
        elif old.state is SessionState.SUSPENDED:
            event = SessionEvent.RESUME
            if old.outlives_transport:
                shard.metrics.resumes_resumed += 1
            else:
                # It has followed its own client here from another host.
                event = SessionEvent.TAKE_OVER
                shard.metrics.resumes_taken_over += 1
            _comes_back(old, upgrade)
            old.apply(event, transport=transport)
        else:
            # The old transport is dead for the application, even where its peer still answers. What it had brought is not.
            if old.transport is not None:
                old.transport.hand_over_rest()
            if old.outlives_transport:
                event = SessionEvent.REPLACE
                shard.metrics.resumes_replaced += 1
            else:
                event = SessionEvent.TAKE_OVER
                shard.metrics.resumes_taken_over += 1
            _comes_back(old, upgrade)
            old.apply(event, close=CloseReason.REPLACED, transport=transport)
        if access is not None:
            access.joined(transport)
        self._release(transport)
        transport.upgrade = None
        transport.start()

    def refuse_all(self, status: int, text: str) -> None:
        """Answer every newcomer that waits."""
        for transport in list(self.newcomers):
            self.refuse(transport, status, text)


def _comes_back(session: Session, upgrade: Upgrade) -> None:
    """The application is to see what the reconnect brought before any handler runs."""
    connection = session.connection
    assert isinstance(connection, LocalConnection)
    connection.resumed(upgrade)
    session.resumes = upgrade.resume
    if upgrade.claim is not None and isinstance(session, ExactSession):
        session.claimed(upgrade.claim)
