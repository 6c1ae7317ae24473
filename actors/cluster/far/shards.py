"""`FarShards`: the shards of all other hosts, known to the extensions of this shard's server by seats, like those of its own.

One per shard, part of its `Cluster`; it does nothing until an extension wants it. The gateway tells which shards there are, and
that settles who is up: one that it does not name is not heard. A shard that is met for the first time, and one that may have
missed something, is told so with the first words, and then each end has its extensions begin anew (`shard_up`), whichever end has
noticed. One that is named no more is down, and its host's death is that of all its shards.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from itertools import count
from typing import Protocol

import msgspec

from wspulse.actors.cluster.calls import decode_message
from wspulse.actors.cluster.contract import Gateway
from wspulse.actors.cluster.far.host import FarHost, FarShard
from wspulse.actors.cluster.ids import Spawn
from wspulse.actors.mesh.message import PresenceReport, WatchRoom
from wspulse.actors.mesh.placing.yields import FarTell
from wspulse.actors.sessions.shard import Shard
from wspulse.actors.values.errors import ShardUnavailableError

__all__ = ["Counterparts", "FarShards"]

FIRST_SEAT = 1 << 20
"""No process of our own host has such a seat."""

TIMEOUT_S = 2.0
"""For all shards of a host to hear something; one that is stopped holds up the others there for so long."""


class Counterparts(Protocol):
    """What an extension has on each shard."""

    def receive(self, message: WatchRoom | PresenceReport) -> None: ...

    def shard_up(self, shard: int, incarnation: int) -> None: ...

    def shard_down(self, shard: int, incarnation: int) -> None: ...


class FarShards:
    """See the module."""

    def __init__(self, shard: Shard, gateway: Gateway, told: Counterparts, spawn: Spawn) -> None:
        self._shard = shard
        self._gateway = gateway
        self._told = told
        self._spawn = spawn
        self.refs: dict[int, FarShard] = {}
        """By the seats that they have here."""
        self._hosts: dict[str, FarHost] = {}
        """By tag, which no other life of a host has."""
        self._numbers = count(1)
        self._names: dict[str, str] = {}
        self._named: list[tuple[str, int, int]] = []
        self._is_wanted = False

    def begin(self) -> None:
        """An extension wants to hear of them, and to tell them something."""
        self._is_wanted = True
        self._heed()

    def living(self, hosts: Iterable[tuple[str, str]], shards: Iterable[tuple[str, int, int]]) -> None:
        """(tag, name) of all hosts that are alive, and (tag, seat, incarnation) of their shards."""
        self._names = {tag: name for tag, name in hosts if tag != self._gateway.tag}
        self._named = [each for each in shards if each[0] in self._names]
        if self._is_wanted:
            self._heed()

    def receive(self, message: FarTell) -> tuple[int, int] | None:
        """What one of them tells. Returns seat and incarnation of this shard; None where it does not know the teller."""
        host = self._hosts.get(message.tag)
        teller = None if host is None else host.shards.get(message.seat)
        if teller is None or teller.incarnation != message.incarnation:
            return None
        mine = self._shard
        if message.number > teller.heard:
            teller.heard = message.number
            if mine.seat in message.anew:
                self._told.shard_up(teller.seat, teller.incarnation)
            for seat, data in message.told:
                if seat == mine.seat:
                    self._take(teller, data)
        return mine.seat, mine.incarnation

    def _take(self, teller: FarShard, data: bytes) -> None:
        told = decode_message(data)
        if isinstance(told, WatchRoom | PresenceReport):
            self._told.receive(msgspec.structs.replace(told, shard=teller.seat))

    def _heed(self) -> None:
        named: dict[str, dict[int, int]] = {tag: {} for tag in self._names}
        for tag, seat, incarnation in self._named:
            named[tag][seat] = incarnation
        for tag, host in list(self._hosts.items()):
            for shard in list(host.shards.values()):
                if named.get(tag, {}).get(shard.number) != shard.incarnation:
                    self._remove(host, shard)
            if tag not in named:
                del self._hosts[tag]
        for tag, shards in named.items():
            self._meet(tag, shards)

    def _meet(self, tag: str, shards: Mapping[int, int]) -> None:
        host = self._hosts.get(tag)
        if host is None:
            name = self._names[tag]
            host = self._hosts[tag] = FarHost(name, partial(self._say, name), self._met, self._spawn)
        for number, incarnation in shards.items():
            if number not in host.shards:
                seat = next(seat for seat in count(FIRST_SEAT) if seat not in self.refs)
                host.shards[number] = self.refs[seat] = FarShard(host, number, incarnation, seat)
                host.wake()

    def _remove(self, host: FarHost, shard: FarShard) -> None:
        host.remove(shard)
        del self.refs[shard.seat]
        self._told.shard_down(shard.seat, shard.incarnation)

    def _met(self, shard: FarShard) -> None:
        self._told.shard_up(shard.seat, shard.incarnation)

    async def _say(self, name: str, anew: list[int], told: list[tuple[int, bytes]]) -> set[tuple[int, int]]:
        mine = self._shard
        message = FarTell(self._gateway.tag, mine.seat, mine.incarnation, next(self._numbers), anew, told)
        try:
            answers = await self._gateway.ask_host(name, message, TIMEOUT_S)
        except ShardUnavailableError:
            return set()
        return {(answer[0], answer[1]) for answer in answers if answer is not None}
