"""`Replacing`: workers are replaced by others of their names, which have the sessions of the old ones.

Made by the `Conductor`, whose plans these are. A worker that is not ready is started anew where it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from wspulse.supervisor.errors import StartError
from wspulse.supervisor.moving.arrival import Arrivals
from wspulse.supervisor.moving.handovers import Handovers
from wspulse.supervisor.moving.pulse import Pulse
from wspulse.supervisor.moving.shared_bus import SharedBus
from wspulse.supervisor.moving.turn import Moved
from wspulse.supervisor.process.child import Child, ChildState
from wspulse.supervisor.process.restart.failure import RestartFailedError
from wspulse.supervisor.process.seating import Seating
from wspulse.supervisor.process.workers import Workers

__all__ = ["Replacing"]


class Replacing:
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

    async def all(self, *, drain: bool) -> list[Moved]:
        """One after another. Raises RestartFailedError, MoveFailedError; those that were replaced by then are."""
        # Who is not ready costs nobody anything, and may be what the others would wait for.
        order = sorted(self._workers.children, key=lambda child: (child.state is ChildState.READY, child.shard))
        results: list[Moved] = []
        go_back = self._renewed(order[0].shard)
        try:
            for child in order:
                if results and child.state is ChildState.READY:
                    await self._all_ready(child.shard)
                results.append(await self.one(child.shard, drain=drain))
        except RestartFailedError:
            if not results:
                # It may be for these that the replacement does not start, and those that die meanwhile must.
                go_back()
            raise
        return sorted(results)

    def _renewed(self, shard: int) -> Callable[[], None]:
        try:
            return self._workers.renew()
        except (StartError, OSError) as error:
            raise RestartFailedError(shard, str(error).removeprefix("wspulse: "), serves=True) from None

    async def one(self, shard: int, *, drain: bool) -> Moved:
        """Raises IndexError for a name that nobody bears, else as `all`."""
        children = self._workers.children
        if not 0 <= shard < len(children):
            raise IndexError(f"wspulse: there is no shard {shard}; allowed: 0 … {len(children) - 1}")
        child = children[shard]
        if child.state is ChildState.READY:
            await self._share_bus(shard)
            if child.state is ChildState.READY:
                return await self._replace(child, drain=drain)
        limit_s = self._handovers.patience.give_up_after_s
        try:
            async with asyncio.timeout(limit_s):
                await asyncio.shield(child.restart())
        except TimeoutError:
            raise RestartFailedError(shard, f"it {_not_ready(limit_s)}", serves=False) from None
        return Moved(shard)

    async def _all_ready(self, shard: int) -> None:
        limit_s = self._handovers.patience.give_up_after_s
        if not await self._pulse.until(lambda: self._workers.are_ready, limit_s):
            away = next((each.shard for each in self._workers.children if each.state is not ChildState.READY), shard)
            raise RestartFailedError(shard, f"worker {away} {_not_ready(limit_s)}", serves=away != shard)

    async def _share_bus(self, shard: int) -> None:
        try:
            is_shared = await self._bus.share()
        except StartError as error:
            raise RestartFailedError(shard, str(error).removeprefix("wspulse: "), serves=True) from None
        if not is_shared:
            raise RestartFailedError(shard, "the only worker does not open its bus to others", serves=True)

    async def _replace(self, source: Child, *, drain: bool) -> Moved:
        arrivals, workers = self._arrivals, self._workers
        arrival = arrivals.begin(source.shard)

        def commit() -> bool:
            arrivals.take(arrival)
            if arrival.child is None or arrival.child.pid is None:
                return False
            workers.install(arrival.child)
            return True

        targets = dict.fromkeys(self._seating.slots_of(source.seat), arrival.seat)
        is_committed = False
        try:
            with self._handovers.turn(source, targets, commit, leaves=True, workers=self._seating.workers) as handover:
                try:
                    await arrivals.prepared(arrival)
                    arrivals.take(arrival)
                    await arrivals.ready(arrival)
                    result = await self._handovers.run(handover, new_target=arrival.child, drain=drain)
                    await self._handovers.retired(source)
                    assert arrival.child is not None
                    self._handovers.events.on_replaced(arrival.child)
                    return result
                finally:
                    is_committed = handover.is_committed
        finally:
            if is_committed:
                arrivals.is_over(arrival)
            else:
                arrivals.dismiss(arrival)


def _not_ready(limit_s: float) -> str:
    return f"was not ready within {limit_s:g} s (--give-up-after)"
