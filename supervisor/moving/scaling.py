"""`Scaling`: workers come and go, and their slots are shared anew; only the sessions of slots that must change hands move.

Made by the `Conductor`, whose plans these are. Of workers that are to come all get ready, or none stays.
"""

from __future__ import annotations

from typing import NamedTuple

from wspulse.actors.mesh.lifecycle import CloseStrays
from wspulse.supervisor.errors import StartError
from wspulse.supervisor.moving.arrival import Arrival, Arrivals
from wspulse.supervisor.moving.handover import Handover
from wspulse.supervisor.moving.handovers import Handovers
from wspulse.supervisor.moving.pulse import Pulse
from wspulse.supervisor.moving.shared_bus import SharedBus
from wspulse.supervisor.moving.shares import balanced, handed_out
from wspulse.supervisor.moving.turn import Moved
from wspulse.supervisor.process.child import Child, ChildState
from wspulse.supervisor.process.restart.failure import MoveFailedError, RestartFailedError
from wspulse.supervisor.process.seating import Seating
from wspulse.supervisor.process.workers import Workers

__all__ = ["Scaled", "Scaling"]


class Scaled(NamedTuple):
    """What a scaling came to."""

    moved: int
    drained: int
    longest_pause_s: float
    workers: int
    lost: int = 0


class Scaling:
    """See the module."""

    def __init__(
        self,
        workers: Workers,
        seating: Seating,
        pulse: Pulse,
        bus: SharedBus,
        arrivals: Arrivals,
        handovers: Handovers,
    ) -> None:
        self._workers = workers
        self._seating = seating
        self._pulse = pulse
        self._bus = bus
        self._arrivals = arrivals
        self._handovers = handovers

    async def to(self, count: int) -> Scaled:
        """Have so many workers. Raises RestartFailedError, MoveFailedError; what moved by then has moved, and another scaling
        goes on from there."""
        children = self._workers.children
        results: list[Moved] = []
        if count > len(children):
            await self._more(count)
        while len(children) > count:
            results += await self._fewer(count)
        results += await self._balance()
        return Scaled(
            sum(result.moved for result in results),
            sum(result.drained for result in results),
            max((result.longest_pause_s for result in results), default=0.0),
            len(children),
            sum(result.lost for result in results),
        )

    async def _more(self, count: int) -> None:
        first = len(self._workers.children)
        try:
            is_shared = await self._bus.share()
        except StartError as error:
            raise RestartFailedError(first, str(error).removeprefix("wspulse: "), serves=None) from None
        if not is_shared:
            raise RestartFailedError(first, "the only worker does not open its bus to others", serves=None)
        arrivals: list[Arrival] = []
        try:
            for shard in range(first, count):
                arrivals.append(self._arrivals.begin(shard))  # noqa: PERF401 - those before one that fails
            for arrival in arrivals:
                await self._arrivals.prepared(arrival)
            for arrival in arrivals:
                self._arrivals.take(arrival)
            # Twice: the second time nothing is waited for, unless one has ended meanwhile.
            for arrival in (*arrivals, *arrivals):
                await self._arrivals.ready(arrival)
        except BaseException:
            for arrival in arrivals:
                self._arrivals.dismiss(arrival)
            raise
        for arrival in arrivals:
            assert arrival.child is not None
            self._arrivals.is_over(arrival)
            self._workers.add(arrival.child)

    async def _fewer(self, count: int) -> list[Moved]:
        """The last worker goes; what it has goes to those that will be left."""
        workers = self._workers
        source = workers.children[-1]
        staying = [child.seat for child in workers.children[:count]]

        def commit() -> bool:
            workers.drop()
            return True

        results = []
        *first, last = _by_seat(handed_out(self._seating.seats, source.seat, staying)) or [{}]
        for targets in first:
            results.append(await self._hand_over(source, targets))  # noqa: PERF401 - those before one that fails
        await self._targets_ready(source, last)
        left = len(workers.children) - 1
        with self._handovers.turn(source, last, commit, leaves=True, workers=left) as handover:
            results.append(await self._run(handover, last))
            await self._handovers.retired(source)
        return results

    async def _balance(self) -> list[Moved]:
        """Move what must, for all to have equal shares."""
        results = []
        children = self._workers.children
        owners = list(self._seating.seats)
        changed = balanced(owners, [child.seat for child in children])
        for source in list(children):
            for targets in _by_seat({slot: seat for slot, seat in changed.items() if owners[slot] == source.seat}):
                results.append(await self._hand_over(source, targets))  # noqa: PERF401 - those before one that fails
        return results

    async def _hand_over(self, source: Child, targets: dict[int, int]) -> Moved:
        """To one other worker, and the source stays."""
        await self._targets_ready(source, targets)
        workers = len(self._workers.children)
        with self._handovers.turn(source, targets, lambda: True, leaves=False, workers=workers) as handover:
            return await self._run(handover, targets)

    async def _run(self, handover: Handover, targets: dict[int, int]) -> Moved:
        try:
            return await self._handovers.run(handover)
        except MoveFailedError:
            # What has moved is where nobody looks for it.
            for child in self._workers.children:
                if child.seat in targets.values():
                    child.tell(CloseStrays(self._handovers.patience.drain_spread_s))
            raise

    async def _targets_ready(self, source: Child, targets: dict[int, int]) -> None:
        seats = set(targets.values())
        away = [child for child in self._workers.children if child.seat in seats]
        limit_s = self._handovers.patience.give_up_after_s
        if not await self._pulse.until(lambda: all(child.state is ChildState.READY for child in away), limit_s):
            reason = f"a worker that they go to was not ready within {limit_s:g} s (--give-up-after)"
            raise MoveFailedError(source.shard, reason, moved=0, lost=0)


def _by_seat(targets: dict[int, int]) -> list[dict[int, int]]:
    """One for each seat: where one of them dies, what has moved to the others is theirs."""
    return [{slot: seat for slot, seat in targets.items() if seat == each} for each in sorted(set(targets.values()))]
