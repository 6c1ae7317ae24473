"""`BusHost`: the shard, as the change of its bus sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from wspulse.actors.bus.contract import Bus
from wspulse.actors.values.metrics import Metrics

__all__ = ["BusHost"]


class BusHost(Protocol):
    """See the module. `bus` is the one place that has the bus; whoever publishes asks for it each time."""

    bus: Bus
    incarnation: int
    metrics: Metrics

    @property
    def rooms(self) -> Iterable[str]:
        """The ids of those that are joined, or waited for."""

    @property
    def deliver(self) -> Callable[[str, bytes], None]: ...

    @property
    def deliver_but(self) -> Callable[[str, bytes, frozenset[str]], None]: ...
