"""`Arrivals`: workers that are made ready for a plan, each at a seat of its own.

Made by the `Conductor`. One that does not get ready is let go, and its seat is free when its process has ended; the error says
why. Nobody else has noticed anything by then.
"""

from __future__ import annotations

import logging
from typing import Protocol

from wspulse.actors.mesh.lifecycle import Drain, ShardUp
from wspulse.supervisor.errors import StartError
from wspulse.supervisor.moving.pulse import Pulse
from wspulse.supervisor.process.child import Child, ChildState
from wspulse.supervisor.process.restart.failure import RestartFailedError
from wspulse.supervisor.process.restart.standby import Standby, last_line
from wspulse.supervisor.process.seating import Seating
from wspulse.supervisor.process.workers import Workers

__all__ = ["Arrival", "ArrivalEvents", "Arrivals"]

_logger = logging.getLogger("wspulse.supervisor")


class Arrival:
    """One of them. `standby` until it is taken, then `child`."""

    def __init__(self, shard: int, seat: int) -> None:
        self.shard = shard
        self.seat = seat
        self.standby: Standby | None = None
        self.child: Child | None = None
        self.error: RestartFailedError | None = None
        """Why it will not get ready."""

    @property
    def is_prepared(self) -> bool:
        """Or has been taken before."""
        return self.child is not None or (self.standby is not None and self.standby.is_prepared)

    @property
    def is_ready(self) -> bool:
        return self.child is not None and self.child.state is ChildState.READY


class ArrivalEvents(Protocol):
    """What the conductor is told, and what it says of the workers that there are."""

    @property
    def is_stopped(self) -> bool: ...
    def serves(self, shard: int) -> bool | None: ...
    def on_arrival_gone(self, standby: Standby) -> None: ...
    def on_arrival_closes(self) -> None: ...


class Arrivals:
    """See the module."""

    def __init__(self, workers: Workers, seating: Seating, pulse: Pulse, events: ArrivalEvents) -> None:
        self._workers = workers
        self._seating = seating
        self._pulse = pulse
        self._events = events
        self._arrivals: list[Arrival] = []

    def begin(self, shard: int) -> Arrival:
        """Start one. Raises RestartFailedError."""
        try:
            seat = self._seating.open()
        except StartError as error:
            raise self._failure(shard, str(error).removeprefix("wspulse: ")) from None
        arrival = Arrival(shard, seat)
        try:
            arrival.standby = self._workers.prepare(shard, seat, self)
        except Exception as error:  # as for any other start: no process, no descriptor, no memory
            self._seating.release(seat)
            raise self._failure(shard, f"no process: {error}") from None
        self._arrivals.append(arrival)
        return arrival

    async def prepared(self, arrival: Arrival) -> None:
        """Wait until it needs no more than its turn, or has had that. Raises RestartFailedError."""
        await self._pulse.until(lambda: arrival.is_prepared or arrival.error is not None)
        if arrival.error is not None:
            raise arrival.error

    async def ready(self, arrival: Arrival) -> None:
        """Wait until it accepts. Raises RestartFailedError."""
        await self._pulse.until(lambda: arrival.is_ready or arrival.error is not None)
        if arrival.error is not None:
            raise arrival.error

    def take(self, arrival: Arrival) -> None:
        """It accepts from now on, as soon as it is prepared, and the others are told that it is there."""
        if arrival.standby is None:
            return
        standby, arrival.standby = arrival.standby, None
        if standby.is_prepared:
            self._workers.tell_others(standby.seat, ShardUp(standby.seat, standby.worker.incarnation))
        arrival.child = self._workers.take(standby)

    def is_over(self, arrival: Arrival) -> None:
        """What becomes of it is no plan's concern any more."""
        if arrival in self._arrivals:
            self._arrivals.remove(arrival)

    def dismiss(self, arrival: Arrival) -> None:
        """Nobody needs it: let it end, with what it may have. At the server's end that is others' to order."""
        self.is_over(arrival)
        if self._events.is_stopped:
            return
        if arrival.standby is not None:
            standby, arrival.standby = arrival.standby, None
            standby.dismiss()
        elif arrival.child is not None and arrival.child.state is not ChildState.STOPPED:
            arrival.child.retire(Drain(server_closes=False, restarts=True))

    # What standbys and children tell.

    def child_failed(self, child: Child, text: str) -> None:
        """It has ended, or cannot start, behind its turn."""
        for arrival in self._arrivals:
            if arrival.child is child and arrival.error is None:
                arrival.error = self._failure(arrival.shard, text)

    def on_standby_prepared(self, standby: Standby) -> None:
        self._pulse.beat()

    def on_standby_failed(self, standby: Standby, text: str) -> None:
        standby.dismiss()
        for arrival in self._arrivals:
            if arrival.standby is standby:
                arrival.standby = None
                arrival.error = self._failure(arrival.shard, text)
        self._pulse.beat()

    def on_standby_gone(self, standby: Standby) -> None:
        self._events.on_arrival_gone(standby)

    def on_standby_closes(self, standby: Standby) -> None:
        self._events.on_arrival_closes()

    def _failure(self, shard: int, text: str) -> RestartFailedError:
        reason = last_line(text)
        fields = {"shard": shard, "reason": reason} | ({} if text == reason else {"traceback": text})
        _logger.error("the replacement of a worker could not start", extra=fields)
        return RestartFailedError(shard, reason, serves=self._events.serves(shard))
