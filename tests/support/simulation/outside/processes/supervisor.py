"""`SimSupervisor`: what orders moves in a simulated history, changes the table, and ends processes, as the real one does."""

from __future__ import annotations

import sys
from array import array
from functools import partial
from struct import pack
from typing import TYPE_CHECKING

from tests.support.simulation.outside.processes.network import Wire
from wspulse.actors.mesh.lifecycle import MovedOut, MoveFailed, MoveOut, SlotTable, TableAdopted, Vacated
from wspulse.actors.mesh.message import Message
from wspulse.actors.mesh.placement import SLOTS

if TYPE_CHECKING:
    from tests.support.simulation.moves.world import MovingWorld
    from tests.support.simulation.outside.processes.process import SimProcess

__all__ = ["Plan", "SimSupervisor"]

_STAYS = 0xFFFF


class Plan:
    """Whose slots go where. `leaves`: the source ends afterwards."""

    def __init__(self, number: int, source: SimProcess, targets: dict[int, int], *, leaves: bool) -> None:
        self.number = number
        self.source = source
        self.targets = targets
        self.leaves = leaves
        self.begun_at = source.world.loop.now
        self.has_moved = False
        """Whether none of its sessions is at the source."""


class SimSupervisor:
    """See the module. `owners` has the seat of each slot."""

    def __init__(self, world: MovingWorld) -> None:
        self._world = world
        self.owners = [0] * SLOTS
        self.version = 0
        self.plan: Plan | None = None
        self._plans = 0
        self._wires: dict[SimProcess, Wire] = {}
        self.is_stopping = False

    def begin(self, source: SimProcess, targets: dict[int, int], *, leaves: bool, handover_timeout_s: float) -> None:
        self._plans += 1
        self.plan = Plan(self._plans, source, targets, leaves=leaves)
        seats = [targets.get(slot, _STAYS) for slot in range(SLOTS)]
        if leaves:
            source.is_leaving = True
        source.moving.order(MoveOut(self._plans, pack(f"<{SLOTS}H", *seats), leaves, handover_timeout_s, 0.0))

    def hear(self, process: SimProcess, message: Message) -> None:
        plan = self.plan
        if self._world.model.trace is not None:
            self._world.model.note(f"{process} says {message}")
        if plan is None or plan.source is not process:
            return
        if isinstance(message, MovedOut):
            self._world.model.moved_out(plan)
            plan.has_moved = True
            gone = [seat for seat in sorted(set(plan.targets.values())) if self._world.at(seat) is None]
            if gone:
                # What has moved is lost; a process that takes its slots for another's is of no use.
                self._begin_anew(plan)
            else:
                self.flip(plan)
        elif isinstance(message, MoveFailed):
            process.is_leaving = False
            self.plan = None
            if not self.is_stopping:
                # Who has moved there, or has connected, is nobody's whom the table names.
                for target in [self._world.at(seat) for seat in sorted(set(plan.targets.values()))]:
                    if target is not None:
                        self._world.kill(target)
        elif isinstance(message, Vacated):
            self.plan = None
            if plan.leaves:
                self._world.app.start(self._world.end_process(process))

    def _begin_anew(self, plan: Plan) -> None:
        """Another process has all slots of the source, which ends."""
        self.plan = None
        seat = self._world.open(self._world.seats_used).seat
        for slot, owner in enumerate(self.owners):
            if owner == plan.source.seat:
                target = plan.targets.get(slot, owner)
                self.owners[slot] = seat if target == owner or self._world.at(target) is None else target
        self.tell_table()
        self._world.kill(plan.source)

    def flip(self, plan: Plan) -> None:
        """The table says it from now on, to each process when it hears that."""
        for slot, seat in plan.targets.items():
            self.owners[slot] = seat
        self.tell_table()
        if not plan.source.is_dead:
            adopted = TableAdopted(self.version, -1)
            self._wires[plan.source].put(partial(plan.source.moving.adopted, adopted))

    def tell_table(self) -> None:
        self.version += 1
        table = SlotTable(self.version, 2, self.seats())
        for process in self._world.processes:
            wire = self._wires.get(process)
            if wire is None:
                wire = self._wires[process] = Wire(self._world.network, process)
            wire.put(partial(process.adopt, table))

    def tell_first(self, process: SimProcess) -> None:
        """It has the table before it does anything."""
        process.adopt(SlotTable(self.version, 2, self.seats()))

    def seats(self) -> bytes:
        seats = array("H", self.owners)
        if sys.byteorder == "big":
            seats.byteswap()
        return seats.tobytes()

    def died(self, process: SimProcess) -> None:
        """It is not there any more; whose slots it had, and who replaces it."""
        wire = self._wires.pop(process, None)
        if wire is not None:
            wire.cut()
        plan = self.plan
        if plan is not None and plan.source is process:
            self.plan = None
            if not plan.has_moved:
                self.flip(plan)
