"""`SimNetwork`: what is on its way between the processes of a simulated history, and when it arrives.

One per history with several processes. A `Wire` keeps the order of what is put on it; between two wires there is none but what
the history draws. A process that is stalled takes nothing from any wire; what is on the wires of one that has died is gone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tests.support.simulation.outside.processes.process import SimProcess

__all__ = ["SimNetwork", "Wire"]


class _Item(NamedTuple):
    arrives: Callable[[], object]
    is_lost: Callable[[], object] | None
    """Called in its place where nobody is there to take it."""


class Wire:
    """See the module. `to` is who takes what is on it; None: nobody in particular, who is always there."""

    __slots__ = ("_network", "items", "to")

    def __init__(self, network: SimNetwork, to: SimProcess | None) -> None:
        self._network = network
        self.items: deque[_Item] = deque()
        self.to = to
        network.wires.append(self)

    def __len__(self) -> int:
        return len(self.items)

    def put(self, arrives: Callable[[], object], is_lost: Callable[[], object] | None = None) -> None:
        self.items.append(_Item(arrives, is_lost))
        if self not in self._network.wires:
            self.clear()

    @property
    def is_ready(self) -> bool:
        return bool(self.items) and (self.to is None or not self.to.is_stalled)

    def step(self) -> None:
        """The oldest arrives."""
        self.items.popleft().arrives()

    def clear(self) -> None:
        """All that is on it is lost."""
        while self.items:
            lost = self.items.popleft().is_lost
            if lost is not None:
                lost()

    def cut(self) -> None:
        """It carries nothing any more."""
        self.clear()
        if self in self._network.wires:
            self._network.wires.remove(self)


class SimNetwork:
    """See the module."""

    def __init__(self, seed: int) -> None:
        self._draw = Random(seed).random
        self.wires: list[Wire] = []
        self.slow: Wire | None = None
        """One that others mostly overtake."""

    @property
    def busy(self) -> bool:
        return any(map(len, self.wires))

    def step(self) -> None:
        """Something arrives."""
        ready = [wire for wire in self.wires if wire.is_ready]
        if self.slow is not None and self.slow in ready and len(ready) > 1 and self._draw() < 0.97:
            ready.remove(self.slow)
        if ready:
            ready[int(self._draw() * len(ready))].step()

    def flow(self) -> None:
        """What is on its way arrives, in an order that is drawn; what that brings on its way need not."""
        for _ in range(sum(len(wire) for wire in self.wires)):
            self.step()
