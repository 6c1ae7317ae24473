"""A shard as the switch of its bus sees it: rooms, what is published to them here, and what they get."""

from __future__ import annotations

import asyncio
from functools import partial

from wspulse.actors.bus.contract import Bus
from wspulse.actors.bus.sharing.switch import BusSwitch
from wspulse.actors.bus.zmq import ZmqBus
from wspulse.actors.values.health import Health
from wspulse.actors.values.metrics import Metrics
from wspulse.supervisor.process.bus_forwarder import BusForwarder

__all__ = ["HostRoom", "SwitchedHost"]


class HostRoom:
    """A room since it was entered."""

    def __init__(self) -> None:
        self.joined_at: int | None = None
        """How much had been published to it when it was joined."""
        self.got: list[bytes] = []


class SwitchedHost:
    """With a switch, at the seat 0 and with the incarnation 1."""

    def __init__(self, forwarder: BusForwarder) -> None:
        self.bus: Bus
        self.incarnation = 1
        self.metrics = Metrics()
        self.health = Health()
        self.rooms: dict[str, HostRoom] = {}
        self.published: dict[str, list[bytes]] = {}
        self.others: list[tuple[str, bytes]] = []
        """What has come of others."""
        self.alone = True
        self._endpoints = forwarder.push_endpoint, forwarder.subscribe_endpoint
        self.switch = BusSwitch(
            self,
            0,
            None,
            tell_consumed=lambda *_: None,
            tell_rooms=lambda *_, **__: None,
            begun=lambda _bus: None,
            is_alone=lambda: self.alone,
            health=self.health,
        )
        self.switch.open()

    def deliver(self, room_id: str, wire: bytes) -> None:
        if not wire.startswith(b"own"):
            self.others.append((room_id, wire))
        elif room_id in self.rooms:
            self.rooms[room_id].got.append(wire)

    def deliver_but(self, room_id: str, wire: bytes, excluded: frozenset[str]) -> None:
        assert excluded == {"nobody"}
        self.deliver(room_id, wire)

    def enter(self, room_id: str) -> HostRoom:
        room = self.rooms[room_id] = HostRoom()
        self.bus.join(room_id, partial(self._joined, room_id, room))
        return room

    def _joined(self, room_id: str, room: HostRoom) -> None:
        assert self.rooms[room_id] is room
        assert room.joined_at is None, "joined twice"
        room.joined_at = len(self.published.get(room_id, ()))

    def leave(self, room_id: str) -> None:
        del self.rooms[room_id]
        self.bus.leave(room_id)

    def publish(self, room_id: str, *, but: bool = False) -> bool:
        """The next frame of a room; whether it was taken."""
        wires = self.published.setdefault(room_id, [])
        wire = b"own %s %d" % (room_id.encode(), len(wires))
        nobody = frozenset(["nobody"])
        taken = self.bus.publish_but(room_id, wire, nobody) if but else self.bus.publish(room_id, wire)
        if taken:
            wires.append(wire)
        return taken

    def share(self) -> asyncio.Future[None]:
        shared: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.switch.share(*self._endpoints, partial(shared.set_result, None))
        return shared

    @property
    def is_shared(self) -> bool:
        return isinstance(self.bus, ZmqBus)

    def is_up_to_date(self) -> bool:
        """Whether every room that is joined has got the last frame that was published there since."""
        for room_id, room in self.rooms.items():
            wires = self.published.get(room_id, [])
            if room.joined_at is not None and room.joined_at < len(wires) and room.got[-1:] != wires[-1:]:
                return False
        return True

    def check(self) -> None:
        """Every room has got all from its joining on, once and in order, and perhaps what was under way at that time."""
        for room_id, room in self.rooms.items():
            wires = self.published.get(room_id, [])
            first = wires.index(room.got[0]) if room.got else 0
            assert room.got == wires[first : first + len(room.got)], room_id
            assert room.joined_at is None or first <= room.joined_at, room_id
