"""`SimProcess`: one of several simulated processes: a real shard with its end of the bus, and the real `Moving`, `Owners` and
`Dispatch` with a simulated mesh around them.

Made by the world of such a history. It can be stalled, and it can die: then nothing of it has an effect any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from tests.support.simulation.outside.compression import pretend_compression
from tests.support.simulation.outside.places import give_places
from tests.support.simulation.outside.processes.forwarder import BusEnd
from tests.support.simulation.outside.processes.link import SimLink
from wspulse.actors.mesh.actor import ActorRef, LocalRef
from wspulse.actors.mesh.lifecycle import SlotTable, TableAdopted
from wspulse.actors.mesh.message import ConnectionRecord, Message
from wspulse.actors.mesh.placement import Placement
from wspulse.actors.mesh.placing.former_slots import FormerSlots
from wspulse.actors.mesh.placing.owners import Owners
from wspulse.actors.moving.moving import Moving
from wspulse.actors.runtime.dispatch import Dispatch
from wspulse.actors.runtime.task_set import TaskSet
from wspulse.actors.sessions.connections.remote_connection import RemoteConnection
from wspulse.actors.sessions.patience.handler_timeouts import HandlerTimeouts
from wspulse.actors.sessions.session import Session
from wspulse.actors.sessions.shard import Shard
from wspulse.actors.sessions.transfer.halting import Aborting
from wspulse.actors.values.frame import Frame

if TYPE_CHECKING:
    from tests.support.simulation.moves.world import MovingWorld

__all__ = ["SimProcess", "SimShard"]


class SimShard(Shard):
    """Tells the model who orders an end, wherever the order comes from."""

    process: SimProcess

    def kick(self, connection_id: str, code: int = 1000, reason: str = "kicked") -> None:
        model = self.process.world.model
        outer = model.ordered
        model.ordered = ("kick", model.live.get(connection_id), (code, reason))
        try:
            super().kick(connection_id, code, reason)
        finally:
            model.ordered = outer

    def close_session(self, session: Session, code: int = 1000, reason: str = "") -> None:
        model = self.process.world.model
        outer = model.ordered
        model.ordered = ("close", model.by_key.get(session.key), (code, reason))
        try:
            super().close_session(session, code, reason)
        finally:
            model.ordered = outer


class SimProcess:
    """See the module. It is the mesh of its `Moving`, and the other shards of its remote connections."""

    def __init__(self, world: MovingWorld, seat: int, incarnation: int, leave_delay_s: float) -> None:
        self.world = world
        self.seat = seat
        self.incarnation = incarnation
        self.is_dead = False
        self.is_stalled = False
        self.stalled_at = 0.0
        self.is_leaving = False
        """Whether it accepts nobody any more."""
        self.shortage = 0
        """How many descriptors it will not get."""
        model, loop, options = world.model, world.loop, world.options
        self.shard = shard = SimShard(
            index=seat,
            incarnation=incarnation,
            options=options,
            handlers=world.app.handlers_of(self),
            loop=loop,
            real_time=loop.time,
        )
        shard.process = self
        give_places(shard)
        shard.exact_frames.ack_frames = world.ack_frames
        pretend_compression(shard.writing)
        self.bus = shard.bus = BusEnd(self, world.forwarder, shard.deliver, shard.deliver_but, leave_delay_s)
        shard.events = partial(model.event_at, self)
        self.handler_timeouts = HandlerTimeouts(
            loop, shard.context, shard.working, options.handler_timeout, shard.cancellations.cancel
        )
        self.placement = Placement(1)
        self.former = FormerSlots(self.placement, seat)
        self.tasks = TaskSet()
        self.refs: dict[int, ActorRef] = {seat: LocalRef(self.receive)}
        self.owners = Owners(self.placement, self.refs)
        self.moving = Moving(shard, self, lambda: self.bus, self, self._tell_supervisor, self.tasks.spawn)
        self.dispatch = Dispatch(
            shard,
            siblings=cast("Any", None),
            statistics=cast("Any", None),
            extensions=cast("Any", None),
            tasks=self.tasks,
            former=self.former,
            adopt=self.adopt,
            is_server_closing=lambda: shard.closing,
        )
        self.dispatch.moving = self._hear
        self.links: dict[int, SimLink] = {}
        self.encode: Callable[[Frame], bytes] = shard.encode
        self.codec = options.codec

    def __repr__(self) -> str:
        return f"process {self.incarnation} at {self.seat}"

    # Others.

    def knows(self, other: SimProcess) -> None:
        """There is a process at another seat."""
        link = self.links[other.seat] = SimLink(self.world.network, other)
        self.refs[other.seat] = link
        self.owners.seats_changed()

    def forgets(self, other: SimProcess) -> None:
        link = self.links.get(other.seat)
        if link is not None and link.to is other:
            del self.links[other.seat], self.refs[other.seat]
            link.end()
            self.owners.seats_changed()

    def receive(self, message: Message) -> Any:
        """Take a message to the shard's actor."""
        return self.world.model.asked(self, message, self.dispatch.receive)

    def seat_of_newcomer(self, connection_id: str, *, was_sent: bool) -> int:
        """Where one belongs that has connected here, or was sent here. Raises InTransitError. As `Newcomer` and `Handovers`."""
        transit = self.shard.transit
        if not was_sent:
            owner = self.placement.final_owner(connection_id)
            return owner if transit is None or owner != self.seat else transit.newcomer_goes_to(connection_id)
        if transit is not None:
            return transit.newcomer_goes_to(connection_id)
        former = self.former.owner_of(connection_id)
        return self.seat if former is None else former

    def adopt(self, table: SlotTable) -> None:
        losing = sorted(self.owners.adopt(table))
        self.former.note_table()
        for seat in losing:
            if seat == self.seat:
                self.moving.adopted(TableAdopted(table.version, self.seat))
            elif seat in self.refs:
                self.refs[seat].tell(TableAdopted(table.version, self.seat))

    def _hear(self, message: Message) -> None:
        if isinstance(message, TableAdopted):
            self.moving.adopted(message)

    def _tell_supervisor(self, message: Message) -> None:
        if not self.is_dead:
            self.world.supervisor.hear(self, message)

    def decode(self, _opcode: int, payload: bytes) -> Frame:
        return self.codec.decode(payload)

    async def ask_owner(self, connection_id: str, message: Message, timeout_s: float | None = 5.0) -> Any:
        return await self.owners.ask(connection_id, message, timeout_s=timeout_s)

    def tell_owner(self, connection_id: str, message: Message) -> None:
        self.owners.tell(connection_id, message)

    # The mesh, as moving sees it.

    @property
    def version(self) -> int:
        return self.placement.version

    def slot_of(self, connection_id: str) -> int:
        return self.placement.slot_of(connection_id)

    def owner_of(self, connection_id: str) -> int:
        return self.placement.final_owner(connection_id)

    def path_of(self, seat: int) -> str:
        return str(seat)

    def seats_up(self) -> Collection[int]:
        return self.links.keys()

    def remote(self, record: ConnectionRecord) -> RemoteConnection:
        return RemoteConnection(self, record)

    async def events_settled(self) -> None:
        await asyncio.sleep(0)

    async def newcomers_settled(self) -> None:
        await asyncio.sleep(0)

    def stays(self) -> None:
        """Whoever connects is let in where the simulation says."""

    # Who is told of sessions that move.

    def halted(self, connection: Any) -> None:
        self.world.model.halted(connection)

    def returned(self, connection: Any) -> None:
        self.world.model.returned(connection)

    def departed(self, connection: Any) -> None:
        departure = self.moving._departure
        assert departure is not None
        self.world.model.departed(self, connection, self.world.at(departure.seat_of(connection.id)))

    def arrived(self, connection: Any) -> None:
        pass

    # Its end.

    def dies(self) -> None:
        """By no will of its own. Nothing of it has an effect from here on."""
        self.is_dead = True
        shard = self.shard
        shard._ticker.stop()
        shard.aborting = True
        shard.halting = Aborting()
        self.handler_timeouts.stop()
        for task in [*shard.working.values(), *self.tasks._tasks]:
            task.cancel()
        # A stream that has ended waits no more for a session whose socket no loop opens any more.
        self.moving._arrivals.clear()
        self._goes()

    def ends(self) -> None:
        """Nobody needs it any more."""
        self.is_dead = True
        self.handler_timeouts.stop()
        self._goes()

    def _goes(self) -> None:
        self.owners.close()
        self.bus.close()
        for link in self.links.values():
            link.end()
