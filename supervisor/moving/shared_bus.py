"""`SharedBus`: the bus of a server with one worker, for as long as there are two, and of one that gets further workers.

Made by the `Conductor`. A worker that is the only one broadcasts to itself, at no cost; another one cannot be beside it before it
has changed to the forwarder's bus, and there it stays until it is alone again. The forwarder is started once and stays: a thread
that waits.
"""

from __future__ import annotations

from collections.abc import Callable

from wspulse.actors.mesh.lifecycle import KeepBus, ShareBus
from wspulse.supervisor.moving.pulse import Pulse
from wspulse.supervisor.process.child import Child, ChildState
from wspulse.supervisor.process.seating import Seating
from wspulse.supervisor.process.workers import Workers

__all__ = ["SharedBus"]

SHARE_S = 10.0
"""The worker joins its rooms in one turn, and waits for that to have reached the forwarder."""


class SharedBus:
    """See the module. `start()` starts the forwarder, or finds it started, and returns its endpoints."""

    def __init__(self, workers: Workers, seating: Seating, pulse: Pulse, start: Callable[[], tuple[str, str]]) -> None:
        self._workers = workers
        self._seating = seating
        self._pulse = pulse
        self._start = start
        self._shared_by: tuple[int, int | None] | None = None
        """Name and incarnation of who has said that it broadcasts so."""

    async def share(self) -> bool:
        """See that others can come; returns whether they can. Raises StartError."""
        if self._seating.bus is not None:
            return True
        # Whoever is started from here on has it from its start.
        self._seating.bus = endpoints = self._start()
        self._shared_by = None
        child = self._workers.children[0]
        incarnation = child.incarnation

        def is_gone() -> bool:
            return child.incarnation != incarnation or incarnation is None

        # One that has just been started has no bus, and cannot be told before it is ready.
        await self._pulse.until(lambda: is_gone() or child.state is ChildState.READY, SHARE_S)
        if not is_gone() and child.state is ChildState.READY:
            child.tell(ShareBus(*endpoints))
            await self._pulse.until(lambda: is_gone() or self._shared_by == (child.shard, incarnation), SHARE_S)
        return is_gone() or self._shared_by == (child.shard, incarnation)

    def keep(self) -> None:
        """The only worker needs it no more, if it is the only one."""
        workers = self._workers
        if self._seating.bus is not None and len(self._seating.paths) == 1 == len(workers.children):
            self._seating.bus = None
            workers.children[0].tell(KeepBus())

    def is_shared(self, child: Child) -> None:
        """A worker says so."""
        self._shared_by = child.shard, child.incarnation
