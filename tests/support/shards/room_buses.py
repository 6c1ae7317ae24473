"""Shards of one process whose rooms are joined by the bus, and one bus that has nobody."""

from __future__ import annotations

from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.support.eventually import eventually
from tests.support.shards.shards import Shards
from wspulse import Connection, Frame, Server
from wspulse.actors.bus.message import room_topic
from wspulse.actors.bus.zmq import ZmqBus
from wspulse.actors.values.metrics import Metrics

__all__ = [
    "LARGE",
    "LAST",
    "audience",
    "bus_of",
    "bus_without_forwarder",
    "join",
    "know_each_other",
    "make_server",
    "name_on",
]

LAST = b"\x81\x04last"
LARGE = b"\x82\x7e" + (60_000).to_bytes(2) + b"x" * 60_000
"""Frames as a client gets them."""


def make_server() -> Server:
    server = Server(lambda request: (request.query.get("room", "lobby"), request.query.get("id", "")))

    @server.on_message
    async def to_room(connection: Connection, frame: Frame) -> None:
        """The event names the room."""
        await server.broadcast(frame.event, Frame("said", frame.payload))

    return server


async def join(shards: Shards, name: str, room: str) -> ClientConnection:
    return await connect(f"{shards.url}?id={name}&room={room}", ping_interval=None, compression=None)


def bus_of(shards: Shards, shard: int) -> ZmqBus:
    bus = shards.runtimes[shard].bus
    assert isinstance(bus, ZmqBus)
    return bus


def audience(shards: Shards, of: int, room: str) -> set[int]:
    """Which shards a shard counts for a room, besides itself."""
    bits = bus_of(shards, of).audiences.of(room_topic(room))
    return {shard for shard in range(shards.count) if bits >> shard & 1 and shard != of}


async def know_each_other(shards: Shards) -> None:
    await eventually(
        lambda: all(audience(shards, shard, "empty") == set() for shard in range(shards.count)),
        "all have told their rooms",
    )


def name_on(shards: Shards, shard: int) -> str:
    return shards.runtimes[0].placement.new_id(shard)


def bus_without_forwarder(folder: Path) -> ZmqBus:
    """Nobody is there: nothing comes back, and soon nothing more is taken."""
    return ZmqBus(
        f"ipc://{folder}/push",
        f"ipc://{folder}/publish",
        shard=0,
        incarnation=1,
        metrics=Metrics(),
        deliver=lambda room_id, _wire: pytest.fail(room_id),
        deliver_but=lambda room_id, _wire, _excluded: pytest.fail(room_id),
        tell_consumed=lambda *_: None,
        tell_rooms=lambda *_, **__: None,
    )
