"""`Siblings`: what joins a shard to the other shards of its server: the links to them, who of them is up, and the room bus.

One per runtime. A link says when its shard appears and goes; the supervisor says it too, of every shard at once, and may be
first. The extensions are told what the links say; the bus, what either says: a link to a shard that lives may be lost, and a
shard that starts may end before the supervisor has spoken of it. Nothing here starts or stops a worker.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from wspulse.actors.bus.cluster.seat import ClusterSeat
from wspulse.actors.bus.sharing.switch import BusSwitch
from wspulse.actors.bus.zmq import ZmqBus
from wspulse.actors.mesh.actor import ActorRef
from wspulse.actors.mesh.lifecycle import ShardDown, ShardSilence, ShardUp
from wspulse.actors.mesh.link import ShardLink
from wspulse.actors.mesh.message import BusConsumed, BusRooms, BusRoomsWanted
from wspulse.actors.runtime.extension import Extension
from wspulse.actors.sessions.shard import Shard
from wspulse.actors.values.health import Health

__all__ = ["Siblings"]

_logger = logging.getLogger("wspulse.link")


class Siblings:
    """See the module. `mailbox_paths` has one for each seat, this process's perhaps included, and `bus` the endpoints (push,
    subscribe) of the server's bus, which a shard that is the only one has not. Tables that are said to be by shard are by
    seat."""

    def __init__(
        self,
        shard: Shard,
        mailbox_paths: Mapping[int, str],
        bus: tuple[str, str] | None,
        extensions: Extension,
        health: Health,
        cluster: ClusterSeat | None = None,
    ) -> None:
        self.up_shards: dict[int, int] = {}
        """Shard → incarnation of those that are known to be up."""
        self.links: dict[int, ShardLink] = {}
        self.refs: dict[int, ActorRef] = {}
        """The links, and whoever is added: every process of the server, by seat."""
        self.seats_changed: Callable[[], None] = _unnoticed
        self.link_began: Callable[[int], None] = _unnoticed
        """Told of a seat, which can be told something from now on."""
        self._has_opened_links = False
        self._met: set[int] = set()
        """The seats that were up since they were opened."""
        self._ready: dict[int, int] = {}
        """Shard → incarnation of those that the supervisor says to be up."""
        self._silent: dict[int, int] = {}
        """Shard → incarnation of those of which the supervisor says that they are not heard."""
        self._wanted: set[tuple[int, int]] = set()
        """Who wants to know of which silent shard, and cannot be told yet."""
        self._shard = shard
        self._extensions = extensions
        self._switch = BusSwitch(
            shard,
            shard.seat,
            bus,
            tell_consumed=self._tell_consumed,
            tell_rooms=self._tell_rooms,
            begun=self._bus_begins,
            is_alone=lambda: not self._ready,
            health=health,
            cluster=cluster,
        )
        for seat, path in mailbox_paths.items():
            if seat != shard.seat:
                self._add(seat, path)

    @property
    def links_down(self) -> int:
        """How many other shards that are, or were, cannot be reached at this moment. One whose process is being started is
        none."""
        return sum(1 for seat, link in self.links.items() if not link.incarnation and seat in self._met)

    @property
    def shared_bus(self) -> ZmqBus | None:
        """That of several processes, while the shard has it."""
        return self._switch.shared

    @property
    def _bus(self) -> ZmqBus | None:
        return self._switch.shared

    def open_bus(self) -> None:
        """Give the shard its bus."""
        self._switch.open()

    def close_bus(self) -> None:
        self._switch.close()

    def share_bus(self, push_endpoint: str, subscribe_endpoint: str, shared: Callable[[], None]) -> None:
        """Another process is about to come: see `BusSwitch.share`."""
        self._switch.share(push_endpoint, subscribe_endpoint, shared)

    def keep_bus(self) -> None:
        """No other process is there any more: see `BusSwitch.keep`."""
        self._switch.keep()

    def _bus_begins(self, bus: ZmqBus) -> None:
        for other, incarnation in {**self.up_shards, **self._ready}.items():
            bus.shard_up(other, incarnation)
        for other in self._silent:
            if not bus.audiences.has_told(other):
                bus.rooms_told(other, self._silent[other], [], [], are_all=True, is_hearsay=True)
        for other, link in self.links.items():
            if link.incarnation:
                bus.tell_all_rooms(other)

    def open_links(self) -> None:
        self._has_opened_links = True
        for link in self.links.values():
            link.open()

    def close_links(self) -> None:
        self._has_opened_links = False
        for link in self.links.values():
            link.close()

    def seat_opened(self, seat: int, path: str) -> None:
        """Somebody can be reached there from now on. Nothing happens where that is known."""
        if seat not in self.links and seat != self._shard.seat:
            link = self._add(seat, path)
            if self._has_opened_links:
                link.open()
            self.seats_changed()

    def seat_gone(self, seat: int) -> None:
        """Nobody is there any more: what waits for somebody there fails, and descriptors are given back."""
        link = self.links.pop(seat, None)
        if link is None:
            return
        del self.refs[seat]
        incarnation = self.up_shards.get(seat, 0)
        link.close()
        self._ready.pop(seat, None)
        self._silent.pop(seat, None)
        self._met.discard(seat)
        self._wanted = {wanted for wanted in self._wanted if seat not in wanted}
        if incarnation:
            self._forget(seat, incarnation)
        if self._bus is not None:
            self._bus.seat_gone(seat)
        self.seats_changed()

    def has_died(self, seat: int) -> bool:
        """Whether somebody was there, and is not: not where we have not met him yet."""
        return seat in self._met and seat not in self.up_shards

    def _add(self, seat: int, path: str) -> ShardLink:
        up, down = partial(self._link_begins, seat), partial(self._link_ends, seat)
        link = self.links[seat] = self.refs[seat] = ShardLink(seat, path, up=up, down=down)
        return link

    def hear(self, message: ShardUp | ShardDown | ShardSilence) -> None:
        """The supervisor says that a shard is up, or down, or how it is."""
        shard, incarnation = message.shard, message.incarnation
        if shard == self._shard.seat:
            return
        match message:
            case ShardUp():
                self.up_shards[shard] = self._ready[shard] = incarnation
                self._met.add(shard)
                self._switch.process_began()
                if self._bus is not None:
                    self._bus.shard_up(shard, incarnation)
            case ShardDown():
                self._switch.process_ended(incarnation)
                self._forget(shard, incarnation)
                self._silent.pop(shard, None)
                if self._ready.get(shard) == incarnation:
                    del self._ready[shard]
                if self._bus is not None:
                    self._bus.shard_down(shard, incarnation)
            case ShardSilence():
                fields = {"shard": shard, "pid": message.pid, "silence_s": round(message.silence_s, 1)}
                if message.is_over:
                    self._silent.pop(shard, None)
                    self._wanted = {wanted for wanted in self._wanted if wanted[1] != shard}
                    if self._bus is not None:
                        self._bus.audiences.silent_no_more(shard)
                    _logger.warning("another worker that was silent is back", extra=fields)
                else:
                    self._silent[shard] = incarnation
                    _logger.warning("another worker is silent; messages for its connections wait", extra=fields)
                    self._count_for_nothing(shard)
                    self._ask_about(shard, self.links.values())

    def consumed(self, message: BusConsumed) -> None:
        """Another shard has delivered what came before a mark of ours."""
        if self._bus is not None:
            self._bus.consumed(message.shard, message.sender, message.number)

    def rooms_told(self, message: BusRooms) -> None:
        """Another shard has joined rooms, or left them."""
        if self._bus is not None:
            self._bus.rooms_told(
                message.shard,
                message.incarnation,
                message.joined,
                message.left,
                are_all=message.are_all,
                is_hearsay=message.is_hearsay,
            )

    def rooms_wanted(self, message: BusRoomsWanted) -> None:
        """Another shard wants to know what a third one, which is silent, has told us. It may have a way to us before we have one
        to it."""
        link = self.links.get(message.shard)
        if link is None or self._bus is None:
            return
        if not link.incarnation:
            self._wanted.add((message.shard, message.silent_shard))
        elif (known := self._bus.audiences.told(message.silent_shard)) is not None:
            link.tell(BusRooms(message.silent_shard, *known, [], are_all=True, is_hearsay=True))

    def _count_for_nothing(self, silent: int) -> None:
        """Where it has not told us its rooms, perhaps nobody is left who was told: it is not to hold up every room until it is
        back. Those of which others tell count."""
        if self._bus is not None and not self._bus.audiences.has_told(silent):
            self._bus.rooms_told(silent, self._silent[silent], [], [], are_all=True, is_hearsay=True)

    def _ask_about(self, silent: int, links: Iterable[ShardLink]) -> None:
        """Until it tells us itself, others may know its rooms."""
        if self._bus is not None and not self._bus.audiences.has_told(silent):
            for link in links:
                if link.shard != silent:
                    link.tell(BusRoomsWanted(self._shard.seat, silent))

    def _tell_rooms(
        self, joined: list[bytes], left: list[bytes], *, are_all: bool = False, shard: int | None = None
    ) -> None:
        message = BusRooms(self._shard.seat, self._shard.incarnation, joined, left, are_all)
        for seat in list(self.links) if shard is None else (shard,):
            if (link := self.links.get(seat)) is not None:
                link.tell(message)

    def _tell_consumed(self, shard: int, sender: int, number: int) -> None:
        link = self.links.get(shard)
        if link is not None:
            link.tell(BusConsumed(self._shard.seat, sender, number))

    def _link_begins(self, shard: int, incarnation: int) -> None:
        self.up_shards[shard] = incarnation
        self._met.add(shard)
        if self._bus is not None:
            self._bus.shard_up(shard, incarnation)
            self._bus.tell_all_rooms(shard)
            for silent in self._silent:
                self._ask_about(silent, [self.links[shard]])
            for wanted in [wanted for wanted in self._wanted if wanted[0] == shard]:
                self._wanted.discard(wanted)
                self.rooms_wanted(BusRoomsWanted(*wanted))
        self._extensions.shard_up(shard, incarnation)
        self.link_began(shard)

    def _link_ends(self, shard: int, incarnation: int) -> None:
        self._forget(shard, incarnation)
        if self._bus is not None and shard not in self._ready:
            self._bus.shard_lost(shard)
        self._extensions.shard_down(shard, incarnation)

    def _forget(self, shard: int, incarnation: int) -> None:
        if self.up_shards.get(shard) == incarnation:
            del self.up_shards[shard]


def _unnoticed(*_what: object) -> None:
    """Nobody is told."""
