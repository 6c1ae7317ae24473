"""Broadcasts are counted by the shard that is asked for them, each once, when the bus has taken it."""

from __future__ import annotations

import asyncio

import pytest

from wspulse import Frame, Server, ShardUnavailableError
from wspulse.actors.bus.local import LocalBus
from wspulse.actors.mesh.message import BroadcastPayload


class FullBus(LocalBus):
    """It takes nothing at once; and what waits when it is `free`, unless it stalls."""

    def __init__(self) -> None:
        super().__init__(lambda _room, _wire: None, lambda _room, _wire, _excluded: None)
        self.free = asyncio.Event()
        self.stalls = False

    def publish(self, room_id: str, wire: bytes) -> bool:
        return False

    def publish_but(self, room_id: str, wire: bytes, excluded: frozenset[str]) -> bool:
        return False

    async def publish_when_free(self, room_id: str, wire: bytes, excluded: frozenset[str] = frozenset()) -> None:
        await self.free.wait()
        if self.stalls:
            raise ShardUnavailableError("the bus stalled")


def payload() -> BroadcastPayload:
    return BroadcastPayload("lobby", b'{"event":"said"}', "json")


async def test_broadcast_that_the_bus_takes_at_once_counts_once_however_it_was_asked_for() -> None:
    server = Server(lambda _request: "lobby")
    async with server.serve():
        runtime = server._in_process.running()
        metrics = runtime.shard.metrics
        await server.broadcast("lobby", Frame("said"))
        assert metrics.broadcasts == 1
        await server.broadcast("lobby", Frame("said"), exclude=["ada"])
        assert metrics.broadcasts == 2
        server.broadcast_nowait("lobby", Frame("said"))
        assert metrics.broadcasts == 3
        runtime.receive(payload())
        assert metrics.broadcasts == 4


async def test_broadcast_that_waits_for_the_bus_counts_when_it_is_taken_and_not_where_it_never_is() -> None:
    server = Server(lambda _request: "lobby")
    async with server.serve():
        runtime = server._in_process.running()
        metrics, bus = runtime.shard.metrics, FullBus()
        runtime.shard.bus = bus
        with pytest.raises(ShardUnavailableError):
            server.broadcast_nowait("lobby", Frame("said"))
        waiting = [
            asyncio.ensure_future(server.broadcast("lobby", Frame("said"))),
            asyncio.ensure_future(server.broadcast("lobby", Frame("said"), exclude=["ada"])),
            runtime.receive(payload()),
        ]
        await asyncio.wait(waiting, timeout=0)
        assert metrics.broadcasts == 0
        bus.free.set()
        await asyncio.gather(*waiting)
        assert metrics.broadcasts == 3
        bus.stalls = True
        with pytest.raises(ShardUnavailableError):
            await server.broadcast("lobby", Frame("said"))
        assert metrics.broadcasts == 3
