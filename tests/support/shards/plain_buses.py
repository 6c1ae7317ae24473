"""Buses joined by a forwarder, each with a list of what it delivers in the place of a shard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from wspulse.actors.bus.zmq import ZmqBus
from wspulse.actors.values.metrics import Metrics
from wspulse.supervisor.process.bus_forwarder import BusForwarder

__all__ = ["PlainBus", "plain_buses"]


class PlainBus:
    """A bus, and what it has delivered, in its order."""

    def __init__(self, forwarder: BusForwarder, shard: int, incarnation: int) -> None:
        self.delivered: list[tuple[str, bytes]] = []
        self.deliver: Callable[[str, bytes], None] = lambda room_id, wire: self.delivered.append((room_id, wire))
        self.metrics = Metrics()
        self.incarnation = incarnation
        self.bus = ZmqBus(
            forwarder.push_endpoint,
            forwarder.subscribe_endpoint,
            shard=shard,
            incarnation=incarnation,
            metrics=self.metrics,
            deliver=self._deliver,
            deliver_but=lambda room_id, wire, _excluded: self._deliver(room_id, wire),
            tell_consumed=lambda *_: None,
            tell_rooms=lambda *_, **__: None,
        )

    def _deliver(self, room_id: str, wire: bytes) -> None:
        self.deliver(room_id, wire)

    async def join(self, *rooms: str) -> None:
        futures: list[asyncio.Future[None]] = []
        for room_id in rooms:
            joined = asyncio.get_running_loop().create_future()
            futures.append(joined)
            self.bus.join(room_id, partial(joined.set_result, None))
        async with asyncio.timeout(5):
            await asyncio.gather(*futures)

    async def watch_cuts(self, source: int, passed: Callable[[int], None]) -> None:
        watched: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.bus.watch_cuts(source, passed, partial(watched.set_result, None))
        async with asyncio.timeout(5):
            await watched


@asynccontextmanager
async def plain_buses(folder: Path, count: int) -> AsyncIterator[list[PlainBus]]:
    """At the seats 0, 1, …, with the incarnations 1, 2, …; all are stopped on the way out."""
    forwarder = BusForwarder(f"{folder}/push", f"{folder}/publish")
    buses = [PlainBus(forwarder, shard, shard + 1) for shard in range(count)]
    try:
        yield buses
    finally:
        for each in buses:
            each.bus.stop()
        forwarder.stop()
