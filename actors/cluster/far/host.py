"""`FarHost`: what this shard tells the shards of one other host, in order.

Made by `FarShards` for each. One question is under way at a time, to all shards there; what is told meanwhile is in the next one.
A shard that does not say that it has heard may have missed something: it is told nothing more until it answers again, and then
both ends begin anew. So little is kept for a host that cannot be reached, and nobody builds upon what was lost.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress

from wspulse.actors.cluster.calls import encode_message
from wspulse.actors.cluster.ids import Spawn
from wspulse.actors.mesh.message import Message

__all__ = ["FarHost", "FarShard", "Said"]

AGAIN_S = 0.5
"""Until those are asked again that have not said that they hear."""

MOST_BYTES = 1 << 20
"""Of a question with more than one message."""

MOST_WAITING_BYTES = 64 << 20
"""For a host that hears slowly. With more it is as if it had heard nothing."""

Said = Callable[[list[int], list[tuple[int, bytes]]], Awaitable[Collection[tuple[int, int]]]]
"""Tells all shards of a host: the seats of those that are to begin anew, and messages, each with a seat. Returns (seat,
incarnation) of those that have heard it."""


class FarShard:
    """One shard of another host: `number` is its seat there, `seat` that by which it is known here."""

    __slots__ = ("_host", "heard", "incarnation", "is_met", "number", "seat")

    def __init__(self, host: FarHost, number: int, incarnation: int, seat: int) -> None:
        self._host = host
        self.number = number
        self.incarnation = incarnation
        self.seat = seat
        self.is_met = False
        """Whether it has heard all that it was told since both began anew."""
        self.heard = 0
        """The number of the last that was heard of it."""

    def tell(self, message: Message) -> None:
        """Lost where it is not met; when it is, it is told anew."""
        if self.is_met:
            self._host.put(self, message)


class FarHost:
    """See the module. `met(shard)` is called when one can be told something, and what it was told before may be lost."""

    def __init__(self, name: str, say: Said, met: Callable[[FarShard], None], spawn: Spawn) -> None:
        self.name = name
        self.shards: dict[int, FarShard] = {}
        """By their seats there."""
        self._say = say
        self._met = met
        self._spawn = spawn
        self._waiting: deque[tuple[FarShard, bytes]] = deque()
        self._waiting_bytes = 0
        self._wanted = asyncio.Event()
        self._is_saying = False

    def put(self, shard: FarShard, message: Message) -> None:
        data = encode_message(message)
        self._waiting.append((shard, data))
        self._waiting_bytes += len(data)
        if self._waiting_bytes > MOST_WAITING_BYTES:
            for each in self.shards.values():
                self._doubt(each)
        self.wake()

    def wake(self) -> None:
        """There is something to say, or somebody to meet."""
        self._wanted.set()
        if not self._is_saying:
            self._is_saying = True
            self._spawn(self._run())

    def remove(self, shard: FarShard) -> None:
        """It is gone."""
        del self.shards[shard.number]
        self._doubt(shard)

    async def _run(self) -> None:
        try:
            while self._waiting or not all(shard.is_met for shard in self.shards.values()):
                self._wanted.clear()
                if not await self._say_it():
                    with suppress(TimeoutError):
                        async with asyncio.timeout(AGAIN_S):
                            await self._wanted.wait()
        finally:
            self._is_saying = False

    async def _say_it(self) -> bool:
        """Whether all have heard it."""
        shards = list(self.shards.values())
        anew = [shard for shard in shards if not shard.is_met]
        heard = await self._say([shard.number for shard in anew], self._take())
        for shard in shards:
            if self.shards.get(shard.number) is not shard:
                continue  # it has gone
            if (shard.number, shard.incarnation) not in heard:
                self._doubt(shard)
            elif shard in anew:
                shard.is_met = True
                self._met(shard)
        return all(shard.is_met for shard in self.shards.values())

    def _take(self) -> list[tuple[int, bytes]]:
        taken: list[tuple[int, bytes]] = []
        size = 0
        while self._waiting and (not taken or size + len(self._waiting[0][1]) <= MOST_BYTES):
            shard, data = self._waiting.popleft()
            size += len(data)
            taken.append((shard.number, data))
        self._waiting_bytes -= size
        return taken

    def _doubt(self, shard: FarShard) -> None:
        shard.is_met = False
        self._waiting = deque(each for each in self._waiting if each[0] is not shard)
        self._waiting_bytes = sum(len(data) for _, data in self._waiting)
