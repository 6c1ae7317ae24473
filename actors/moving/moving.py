"""`Moving`: the sessions of one process that move, out of it and into it.

One per runtime that has siblings. The supervisor orders a plan (`MoveOut`), sources say on streams to the mailbox that they move
sessions here, and the shard asks where a session is (`Transit`). At other times it has nothing and the shard does not know it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine
from functools import partial
from itertools import count
from struct import unpack
from time import monotonic
from typing import Any, NoReturn, Protocol

from wspulse.actors.mesh.lifecycle import MovedOut, MoveFailed, MoveOut, MoveProgress, TableAdopted, Vacated
from wspulse.actors.mesh.message import ConnectionRecord, Message
from wspulse.actors.mesh.placement import SLOTS
from wspulse.actors.mesh.placing.former_slots import FormerSlots
from wspulse.actors.mesh.placing.moves import MoveBegins, MoveEnvelope
from wspulse.actors.mesh.stream import Stream
from wspulse.actors.moving.arrival import Arrival
from wspulse.actors.moving.batch import MovedSession
from wspulse.actors.moving.departure import CuttingBus, Departure
from wspulse.actors.moving.drain import Drain
from wspulse.actors.moving.way import MoveFailedError
from wspulse.actors.sessions.connections.remote_connection import RemoteConnection
from wspulse.actors.sessions.connections.snapshot import snapshot
from wspulse.actors.sessions.exact.claims import id_of_owner
from wspulse.actors.sessions.session import Session
from wspulse.actors.sessions.shard import Shard
from wspulse.actors.sessions.transfer.departed import depart
from wspulse.actors.sessions.transfer.places import call_first, ends_with, forget
from wspulse.actors.sessions.transfer.transits import begin_transit, end_transit
from wspulse.actors.values.errors import (
    ConnectionNotFoundError,
    InTransitError,
    SessionMovedError,
)

__all__ = ["Mesh", "Moving"]

_STAYS = 0xFFFF

_ADOPTED_S = 5.0
"""How long others have to say that they know whose our slots are. One that is stuck does not keep this process."""

_logger = logging.getLogger("wspulse.moving")


class Mesh(Protocol):
    """The other processes, as moving sees them."""

    seat: int
    former: FormerSlots

    def slot_of(self, connection_id: str) -> int: ...

    @property
    def version(self) -> int:
        """Of the table that this process goes by."""

    def owner_of(self, connection_id: str) -> int:
        """The seat of whom the table names."""

    def path_of(self, seat: int) -> str: ...

    def seats_up(self) -> Collection[int]:
        """Those of other workers that are there."""

    def remote(self, record: ConnectionRecord) -> RemoteConnection:
        """A connection whose session is another process's."""

    async def events_settled(self) -> None:
        """What was told of sessions until now has been published."""

    async def newcomers_settled(self) -> None:
        """Who has asked to be let in here knows where it is let in; nobody new comes."""

    def stays(self) -> None:
        """This process was to leave, and goes on: newcomers come here again."""


class Moved(Protocol):
    """Who is told of sessions that are to move, and that have."""

    def halted(self, connection: Any) -> None: ...

    def returned(self, connection: Any) -> None: ...

    def departed(self, connection: Any) -> None: ...

    def arrived(self, connection: Any) -> None: ...


class Moving:
    """See the module. `bus()` is the room bus of now; `spawn` runs a plan in a task that its owner keeps."""

    def __init__(
        self,
        shard: Shard,
        mesh: Mesh,
        bus: Callable[[], CuttingBus],
        told: Moved,
        tell_supervisor: Callable[[Message], None],
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
    ) -> None:
        self._shard = shard
        self._mesh = mesh
        self._bus = bus
        self._told = told
        self.tell = tell_supervisor
        self._spawn = spawn
        self._departure: Departure | None = None
        self._task: asyncio.Task[None] | None = None
        self._arrivals: dict[Stream, Arrival] = {}
        self._numbers = count(1)
        self._sent: set[str] = set()
        """The ids of the sessions that this plan has moved: of one that had the id before, callbacks may run here still."""
        self._version = 0
        """Of the table when the plan began."""
        self._adopted: set[int] = set()
        self._adoption = asyncio.Event()

    # Orders.

    def order(self, order: MoveOut) -> bool:
        """Begin a plan; returns whether it is begun."""
        if self._departure is not None:
            self.tell(MoveFailed(order.plan, "another move is in progress", 0, 0, 0))
            return False
        targets = {slot: seat for slot, seat in enumerate(unpack(f"<{SLOTS}H", order.targets)) if seat != _STAYS}
        self._adopted.clear()
        self._version = self._mesh.version
        self._departure = Departure(
            order.plan,
            targets,
            numbers=self._numbers,
            seat=self._mesh.seat,
            shard=self._shard,
            bus=self._bus(),
            slot_of=self._mesh.slot_of,
            path_of=self._mesh.path_of,
            is_up=lambda seat: seat in self._mesh.seats_up(),
            events=self,
            handover_timeout_s=order.handover_timeout_s,
            drain_spread_s=order.drain_spread_s,
            leaves=order.leaves,
            drain=order.drain,
        )
        begin_transit(self._shard, self)
        self._task = self._spawn(self._depart(self._departure, order.leaves))
        return True

    async def stop(self) -> None:
        """The shard ends: no session is committed any more, and those that were about to go are here again."""
        departure, task = self._departure, self._task
        if departure is not None and task is not None:
            departure.stop()
            if departure.is_over:
                # All have left; it only waits for others.
                task.cancel()
            await asyncio.wait([task])

    def close_strays(self, spread_s: float) -> None:
        """A plan that brought sessions here has failed, and nobody looks for them here."""
        mesh, drain = self._mesh, Drain(self._shard, spread_s=spread_s, restarts=True)
        for session in list(self._shard.sessions.values()):
            if mesh.owner_of(session.id) != mesh.seat:
                drain.close(session)
        for arrival in self._arrivals.values():
            # What was committed may be on its way still.
            arrival.landed = partial(self._landed_astray, drain)

    def adopted(self, message: TableAdopted) -> None:
        """Another process, or the supervisor (-1), sends nothing more here for the slots that have gone."""
        if message.version > self._version:
            self._adopted.add(message.seat)
            self._adoption.set()

    # A stream on which sessions come.

    def take(self, stream: Stream, envelope: MoveEnvelope, fd: int | None) -> None:
        arrival = self._arrivals.get(stream)
        if arrival is None:
            if not isinstance(envelope, MoveBegins):
                return
            for former in self._arrivals.values():
                if former.source == envelope.incarnation:
                    # It has ended that stream. What it sent there before is still to be read; a commit may be among it.
                    former.give_way()
            arrival = Arrival(self._shard, self._bus(), stream, self._landed, self.joining)
            self._arrivals[stream] = arrival
            begin_transit(self._shard, self)
        arrival.take(envelope, fd)
        if isinstance(envelope, MoveBegins):
            self._mesh.former.come_back(arrival.slots)

    def stream_ended(self, stream: Stream) -> None:
        arrival = self._arrivals.get(stream)
        if arrival is None:
            return
        arrival.ended()
        if arrival.waiting:
            # What was committed is here in a turn.
            self._shard.loop.call_soon(self.stream_ended, stream, context=self._shard.context)
            return
        del self._arrivals[stream]
        self._rest()

    def _landed(self, session: Session) -> None:
        """One is here."""
        shard = self._shard
        if shard.handlers.on_transfer_in is not None:
            call_first(session.inbox, "on_transfer_in")
        shard.publish_event("transfer", session)
        self._told.arrived(session.connection)
        ends_with(shard, session)

    def _landed_astray(self, drain: Drain, session: Session) -> None:
        self._landed(session)
        drain.close(session)

    def _rest(self) -> None:
        if self._departure is None and not self._arrivals:
            end_transit(self._shard, self)

    # A plan.

    async def _depart(self, departure: Departure, leaves: bool) -> None:
        tally = departure.tally
        try:
            await departure.run()
        except MoveFailedError as error:
            if not departure.is_stopping:
                self._end_plan()
                if leaves:
                    self._mesh.stays()
            self.tell(MoveFailed(departure.plan, str(error), tally.moved, tally.drained, tally.moved))
            return
        except Exception:
            _logger.exception("a move failed")
            self._end_plan()
            if leaves:
                self._mesh.stays()
            self.tell(MoveFailed(departure.plan, "an error; see the log", tally.moved, tally.drained, tally.moved))
            return
        self.tell(MovedOut(departure.plan, tally.moved, tally.drained, tally.longest_pause_s))
        await self._all_adopted()
        if leaves:
            await self._mesh.newcomers_settled()
        else:
            self._end_plan()
        self.tell(Vacated(departure.plan))

    async def _all_adopted(self) -> None:
        until = monotonic() + _ADOPTED_S
        while waited_for := {*self._mesh.seats_up(), -1} - self._adopted:
            self._adoption.clear()
            try:
                async with asyncio.timeout(until - monotonic()):
                    await self._adoption.wait()
            except TimeoutError:
                _logger.warning(
                    "some processes have not confirmed where the sessions are now",
                    extra={"seats": sorted(waited_for)},
                )
                return

    def _end_plan(self) -> None:
        if self._departure is not None:
            self._departure.end()
        self._sent.clear()
        self._departure = self._task = None
        self._rest()

    # What a departure tells.

    def moved(self, sessions: list[MovedSession], seat: int) -> None:
        shard = self._shard
        for each in sessions:
            session = each.session
            connection = session.connection
            self._sent.add(session.id)
            self._told.departed(connection)
            depart(session, self._mesh.remote(snapshot(session, shard.index)), seat)
            forget(shard, each.inbox)

    def joining(self) -> set[str]:
        found = set()
        admission = self._shard.admission
        for transport in (*admission.newcomers, *admission.coming):
            upgrade = transport.upgrade
            if upgrade is not None:
                found |= {upgrade.connection_id, id_of_owner(upgrade.connection_id, upgrade.claim)}
        return found

    def halted(self, session: Session) -> None:
        self._told.halted(session.connection)

    def returned(self, session: Session) -> None:
        self._told.returned(session.connection)

    def progress(self) -> None:
        departure = self._departure
        if departure is not None:
            tally = departure.tally
            self.tell(MoveProgress(departure.plan, tally.moved, tally.drained, departure.left, tally.longest_pause_s))

    async def events_settled(self) -> None:
        await self._mesh.events_settled()

    # What the shard asks: see `Transit`.

    def missing(self, connection_id: str, key: tuple[int, int] | None) -> NoReturn:
        self._check_not_between(connection_id)
        if key is not None and connection_id in self._shard.sessions:
            # It has ended, and its id is decided here still: who is sent on goes ahead of the session that has it by now.
            raise ConnectionNotFoundError(connection_id)
        if (seat := self._decider_of(connection_id)) is not None:
            raise SessionMovedError(seat)
        raise ConnectionNotFoundError(connection_id)

    def newcomer_goes_to(self, connection_id: str) -> int:
        self._check_not_between(connection_id)
        mesh = self._mesh
        if connection_id in self._shard.sessions:
            return mesh.seat
        if (seat := self._decider_of(connection_id)) is not None:
            return seat
        owner = mesh.former.owner_of(connection_id)
        return mesh.seat if owner is None or self._is_known(connection_id) else owner

    def wait_for(self, connection_id: str, call: Callable[[], object]) -> None:
        for waiting in self._waitings():
            if connection_id in waiting:
                waiting.wait(connection_id, call)
                return
        call()

    def frozen(self, connection_id: str, key: tuple[int, int] | None) -> Session | None:
        session = None if self._departure is None else self._departure.frozen(connection_id)
        return None if session is None or (key is not None and key != session.key) else session

    def between(self, room_id: str | None) -> list[Session]:
        return [] if self._departure is None else self._departure.between(room_id)

    def coming(self, room_id: str | None) -> list[Session]:
        return [session for arrival in self._arrivals.values() for session in arrival.coming(room_id)]

    def gone_to(self) -> list[int]:
        return [] if self._departure is None else self._departure.seats

    def _waitings(self) -> list[Any]:
        found = [arrival.waiting for arrival in self._arrivals.values()]
        if self._departure is not None:
            found.append(self._departure.waiting)
        return found

    def _check_not_between(self, connection_id: str) -> None:
        for waiting in self._waitings():
            if connection_id in waiting:
                raise InTransitError(partial(waiting.wait, connection_id))

    def _decider_of(self, connection_id: str) -> int | None:
        """The target that decides about an id that no session has here; None: this process, or whoever the table says."""
        departure = self._departure
        if departure is None or (connection_id not in self._sent and self._is_known(connection_id)):
            return None
        return departure.decider_of(connection_id)

    def _is_known(self, connection_id: str) -> bool:
        """Whether something of that id is still this process's to decide about."""
        departure = self._departure
        is_finishing = connection_id in self._shard.finishing and not (departure is not None and departure.is_over)
        return is_finishing or connection_id in self.joining()
