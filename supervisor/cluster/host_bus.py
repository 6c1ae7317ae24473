"""`HostBus`: what joins the workers of this host: a forwarder, none while there is one worker, or the gateway to other hosts.

Made by the supervisor. Its endpoints stay the same as long as the server lives.
"""

from __future__ import annotations

from collections.abc import Callable

from wspulse.supervisor.cluster.service import ClusterService
from wspulse.supervisor.premises.upkeep import KeptFiles
from wspulse.supervisor.process.bus_forwarder import BusForwarder
from wspulse.supervisor.process.seating import Seating

__all__ = ["HostBus"]


class HostBus:
    """See the module. `socket_path(name)` is where a socket is to be; `kept` gets the files that the bus needs."""

    def __init__(self, cluster: ClusterService, socket_path: Callable[[str], str], kept: list[KeptFiles]) -> None:
        self._cluster = cluster
        self._socket_path = socket_path
        self._kept = kept
        self._forwarder: BusForwarder | None = None

    def start(self, seating: Seating) -> None:
        """Have the workers that are started use it. Raises StartError."""
        self._cluster.seating = seating
        if self._cluster.is_wanted:
            seating.cluster = self._cluster.seat
            seating.bus = self._cluster.start(self._socket_path)
            self._kept += self._cluster.kept
        elif seating.workers > 1:
            seating.bus = self.forwarded()

    def forwarded(self) -> tuple[str, str]:
        """The endpoints, for pushing and subscribing, of a bus that has somebody in its middle. Raises StartError."""
        if (endpoints := self._cluster.endpoints) is not None:
            return endpoints
        if self._forwarder is None:
            self._forwarder = forwarder = BusForwarder(self._socket_path("bus-push"), self._socket_path("bus-publish"))
            self._kept.append(KeptFiles("bus", forwarder.paths, lambda _missing: forwarder.rebind()))
        return self._forwarder.push_endpoint, self._forwarder.subscribe_endpoint

    async def stop(self) -> None:
        """The workers have ended."""
        await self._cluster.stop()
        if self._forwarder is not None:
            self._forwarder.stop()
