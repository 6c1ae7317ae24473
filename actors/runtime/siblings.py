"""`Siblings`: what joins a shard to the other shards of its server: the links to them, who of them is up, and the room bus.

One per runtime. A link says when its shard appears and goes; the supervisor says it too, of every shard at once, and may be
first. The extensions are told what the links say; the bus, what either says: a link to a shard that lives may be lost, and a
shard that starts may end before the supervisor has spoken of it. Nothing here starts or stops a worker.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from wspulse.actors.bus.local import LocalBus
from wspulse.actors.bus.watch import BusWatch
from wspulse.actors.bus.zmq import ZmqBus
from wspulse.actors.mesh.link import ShardLink
from wspulse.actors.mesh.message import BusConsumed, BusRooms, ShardDown, ShardUp
from wspulse.actors.runtime.extension import Extension
from wspulse.actors.sessions.shard import Shard
from wspulse.actors.values.health import Health

__all__ = ["Siblings"]


class Siblings:
    """See the module. `mailbox_paths` has one for each shard, this one's included, and `bus` the endpoints (push, subscribe)
    of the server's bus; a shard that is the only one has neither."""

    def __init__(
        self,
        shard: Shard,
        mailbox_paths: Sequence[str],
        bus: tuple[str, str] | None,
        extensions: Extension,
        health: Health,
    ) -> None:
        self.up_shards: dict[int, int] = {}
        """Shard → incarnation of those that are known to be up."""
        self.links: dict[int, ShardLink] = {}
        self._ready: dict[int, int] = {}
        """Shard → incarnation of those that the supervisor says to be up."""
        self._shard = shard
        self._bus_endpoints = bus
        self._bus: ZmqBus | None = None
        self._bus_watch: BusWatch | None = None
        self._extensions = extensions
        self._health = health
        for other, path in enumerate(mailbox_paths):
            if other != shard.index:
                up, down = partial(self._link_begins, other), partial(self._link_ends, other)
                self.links[other] = ShardLink(other, path, up=up, down=down)

    @property
    def links_down(self) -> int:
        """How many other shards cannot be reached at this moment."""
        return sum(1 for link in self.links.values() if not link.incarnation)

    def open_bus(self) -> None:
        """Give the shard its bus."""
        shard = self._shard
        if self._bus_endpoints is None:
            shard.bus = LocalBus(shard.deliver)
        else:
            shard.bus = self._bus = ZmqBus(
                *self._bus_endpoints,
                shard=shard.index,
                incarnation=shard.incarnation,
                metrics=shard.metrics,
                deliver=shard.deliver,
                tell_consumed=self._tell_consumed,
                tell_rooms=self._tell_rooms,
            )
            for other, incarnation in self._ready.items():
                self._bus.shard_up(other, incarnation)
            self._bus_watch = BusWatch(
                self._bus,
                shard=shard.index,
                incarnation=shard.incarnation,
                health=self._health,
                metrics=shard.metrics,
            )
            self._bus_watch.begin()

    def close_bus(self) -> None:
        if self._bus_watch is not None:
            self._bus_watch.stop()
        if self._bus is not None:
            self._bus.stop()

    def open_links(self) -> None:
        for link in self.links.values():
            link.open()

    def close_links(self) -> None:
        for link in self.links.values():
            link.close()

    def hear(self, message: ShardUp | ShardDown) -> None:
        """The supervisor says that a shard is up, or down."""
        shard, incarnation = message.shard, message.incarnation
        if shard == self._shard.index:
            return
        match message:
            case ShardUp():
                self.up_shards[shard] = self._ready[shard] = incarnation
                if self._bus is not None:
                    self._bus.shard_up(shard, incarnation)
            case ShardDown():
                self._forget(shard, incarnation)
                if self._ready.get(shard) == incarnation:
                    del self._ready[shard]
                if self._bus is not None:
                    self._bus.shard_down(shard, incarnation)

    def consumed(self, message: BusConsumed) -> None:
        """Another shard has delivered what came before a mark of ours."""
        if self._bus is not None:
            self._bus.consumed(message.shard, message.sender, message.number)

    def rooms_told(self, message: BusRooms) -> None:
        """Another shard has joined rooms, or left them."""
        if self._bus is not None:
            self._bus.rooms_told(
                message.shard, message.incarnation, message.joined, message.left, are_all=message.are_all
            )

    def _tell_rooms(
        self, joined: list[bytes], left: list[bytes], *, are_all: bool = False, shard: int | None = None
    ) -> None:
        message = BusRooms(self._shard.index, self._shard.incarnation, joined, left, are_all)
        for link in self.links.values() if shard is None else (self.links[shard],):
            link.tell(message)

    def _tell_consumed(self, shard: int, sender: int, number: int) -> None:
        link = self.links.get(shard)
        if link is not None:
            link.tell(BusConsumed(self._shard.index, sender, number))

    def _link_begins(self, shard: int, incarnation: int) -> None:
        self.up_shards[shard] = incarnation
        if self._bus is not None:
            self._bus.shard_up(shard, incarnation)
            self._bus.tell_all_rooms(shard)
        self._extensions.shard_up(shard, incarnation)

    def _link_ends(self, shard: int, incarnation: int) -> None:
        self._forget(shard, incarnation)
        if self._bus is not None and shard not in self._ready:
            self._bus.shard_lost(shard)
        self._extensions.shard_down(shard, incarnation)

    def _forget(self, shard: int, incarnation: int) -> None:
        if self.up_shards.get(shard) == incarnation:
            del self.up_shards[shard]
