"""The stage on which every kind of bus shows that it keeps its contract."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

from tests.support.buses.endpoint import Endpoint
from tests.support.buses.pretended_feed import PretendedFeed, PretendedStreams
from wspulse.actors.bus.cluster.bus import ClusterBus
from wspulse.actors.bus.cluster.seat import ClusterSeat
from wspulse.actors.bus.contract import Bus
from wspulse.actors.bus.local import LocalBus
from wspulse.actors.bus.zmq import ZmqBus
from wspulse.supervisor.cluster.exchange.exchange import Exchange
from wspulse.supervisor.cluster.exchange.positions import Positions
from wspulse.supervisor.process import bus_forwarder

__all__ = ["KINDS", "SHARED", "GatewayStage", "Stage", "staged"]


class Stage(ABC):
    """Some endpoints that are joined by a bus, which know each other where they are on one host."""

    waits_for_acknowledgement = False
    """`publish_when_free` returns only then."""

    def __init__(self) -> None:
        self.endpoints: list[Endpoint] = []
        self._incarnation = 0

    @abstractmethod
    def add(self, host: int | None = None) -> Endpoint:
        """One more."""

    @abstractmethod
    def hold_back(self) -> None:
        """What is published does not come back from here on."""

    @abstractmethod
    def let_go(self) -> None: ...

    @abstractmethod
    def close(self) -> None: ...

    def __getitem__(self, index: int) -> Endpoint:
        return self.endpoints[index]

    def of_host(self, host: int) -> list[Endpoint]:
        return [each for each in self.endpoints if each.host == host]


def _local_bus(*, deliver: Callable[..., None], deliver_but: Callable[..., None], **_rest: object) -> Bus:
    return LocalBus(deliver, deliver_but)


class LocalStage(Stage):
    """One endpoint, which needs nobody."""

    def add(self, host: int | None = None) -> Endpoint:
        assert not self.endpoints
        endpoint = Endpoint(0, 1, 0, [], _local_bus)
        self.endpoints.append(endpoint)
        return endpoint

    def hold_back(self) -> None:
        raise NotImplementedError

    def let_go(self) -> None:
        raise NotImplementedError

    def close(self) -> None:
        pass


class ForwarderStage(Stage):
    """A server on one host."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._is_open = threading.Event()
        self._is_open.set()
        proxy = bus_forwarder._proxy

        def held(*sockets: Any) -> None:
            self._is_open.wait()
            proxy(*sockets)

        self._patch = patch.object(bus_forwarder, "_proxy", held)
        self._patch.start()
        self.forwarder = bus_forwarder.BusForwarder(f"{folder}/push", f"{folder}/publish")
        self._siblings: list[Endpoint] = []

    def add(self, host: int | None = None) -> Endpoint:
        self._incarnation += 1
        shard, incarnation = len(self.endpoints), self._incarnation
        endpoints = self.forwarder.push_endpoint, self.forwarder.subscribe_endpoint

        make = partial(ZmqBus, *endpoints, shard=shard, incarnation=incarnation)
        endpoint = Endpoint(shard, incarnation, 0, self._siblings, make)
        self._siblings.append(endpoint)
        self.endpoints.append(endpoint)
        endpoint.meet()
        return endpoint

    def hold_back(self) -> None:
        self._is_open.clear()
        self.forwarder.rebind()  # it stops forwarding for that, and begins again

    def let_go(self) -> None:
        self._is_open.set()

    def close(self) -> None:
        for each in self.endpoints:
            each.stop()
        self._is_open.set()
        self.forwarder.stop()
        self._patch.stop()


class Host:
    """A host of a cluster: its gateway, and the endpoints of its workers."""

    def __init__(self, folder: Path, streams: PretendedStreams) -> None:
        self.paths = f"{folder}/push", f"{folder}/publish"
        self.siblings: list[Endpoint] = []
        self._folder = folder
        self._streams = streams
        self._life = 0
        self.start()

    def start(self) -> None:
        self._life += 1
        self.feed = PretendedFeed(self._streams)
        self.positions = Positions(f"{self._folder}/positions")
        self.exchange = Exchange(*self.paths, self.feed, self.positions, self._life)
        self.feed.deliver = self.exchange.deliver

    def kill(self) -> None:
        """Its gateway ends with all that it has."""
        self.exchange.close()
        self.feed.close()
        self.positions.close()


class GatewayStage(Stage):
    """A server of one or more hosts, whose cluster is pretended."""

    waits_for_acknowledgement = True

    def __init__(self, folder: Path, hosts: int, draw: Random | None, *, fails: float = 0.0) -> None:
        super().__init__()
        self.streams = PretendedStreams(draw, fails=fails)
        self.hosts: list[Host] = []
        for number in range(hosts):
            (place := folder / f"host{number}").mkdir()
            self.hosts.append(Host(place, self.streams))

    def add(self, host: int | None = None) -> Endpoint:
        self._incarnation += 1
        number = len(self.endpoints) % len(self.hosts) if host is None else host
        chosen = self.hosts[number]
        shard, incarnation = len(chosen.siblings), self._incarnation

        endpoints = (f"ipc://{path}" for path in chosen.paths)
        seat = ClusterSeat(2**52 + incarnation)
        make = partial(ClusterBus, *endpoints, shard=shard, incarnation=incarnation, seat=seat)
        endpoint = Endpoint(shard, incarnation, number, chosen.siblings, make)
        chosen.siblings.append(endpoint)
        self.endpoints.append(endpoint)
        endpoint.meet()
        return endpoint

    def hold_back(self) -> None:
        self.streams.is_open.clear()

    def let_go(self) -> None:
        self.streams.is_open.set()

    def close(self) -> None:
        for each in self.endpoints:
            each.stop()
        for host in self.hosts:
            host.kill()


KINDS: dict[str, Callable[[Path, Random], Stage]] = {
    "local": lambda _folder, _draw: LocalStage(),
    "forwarder": lambda folder, _draw: ForwarderStage(folder),
    "gateway": lambda folder, draw: GatewayStage(folder, 1, draw),
    "two-hosts": lambda folder, draw: GatewayStage(folder, 2, draw, fails=0.02),
}
SHARED = [kind for kind in KINDS if kind != "local"]
"""Those with several endpoints."""


@asynccontextmanager
async def staged(kind: str, folder: Path, draw: Random, count: int = 3) -> AsyncIterator[Stage]:
    """With so many endpoints, where there can be more than one."""
    stage = KINDS[kind](folder, Random(draw.random()))
    try:
        for _ in range(count if kind in SHARED else 1):
            stage.add()
        yield stage
    finally:
        stage.close()
