"""One end of a bus, with a list of what it delivers in the place of a shard."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from wspulse.actors.bus.contract import Bus
from wspulse.actors.bus.zmq import ZmqBus
from wspulse.actors.values.metrics import Metrics

__all__ = ["Endpoint"]

JOIN_S = 20.0


class Endpoint:
    """See the module. `host` is the number of the host on which it is, `siblings` who else is there; `make` is given what the bus
    is to call."""

    def __init__(
        self, shard: int, incarnation: int, host: int, siblings: list[Endpoint], make: Callable[..., Bus]
    ) -> None:
        self.shard = shard
        self.incarnation = incarnation
        self.host = host
        self.delivered: list[tuple[str, bytes]] = []
        self.excluded: dict[bytes, frozenset[str]] = {}
        """Who was not to get a frame."""
        self.metrics = Metrics()
        self.is_silent = False
        """It answers no marks."""
        self.is_stopped = False
        self._siblings = siblings
        self.bus = make(
            metrics=self.metrics,
            deliver=self._deliver,
            deliver_but=self._deliver_but,
            tell_consumed=self._tell_consumed,
            tell_rooms=self._tell_rooms,
        )

    @property
    def shared(self) -> ZmqBus:
        """The bus, if it joins several."""
        assert isinstance(self.bus, ZmqBus)
        return self.bus

    def of(self, room_id: str) -> list[bytes]:
        """What was delivered to a room."""
        return [wire for room, wire in self.delivered if room == room_id]

    def meet(self) -> None:
        """All on this host know of this one, and it of them."""
        for other in self._siblings:
            if other is not self and not other.is_stopped:
                other.shared.shard_up(self.shard, self.incarnation)
                self.shared.shard_up(other.shard, other.incarnation)
                self.shared.tell_all_rooms(other.shard)
                other.shared.tell_all_rooms(self.shard)

    async def join(self, *rooms: str) -> None:
        futures: list[asyncio.Future[None]] = []
        for room_id in rooms:
            joined = asyncio.get_running_loop().create_future()
            futures.append(joined)
            self.bus.join(room_id, partial(_done, joined))
        async with asyncio.timeout(JOIN_S):
            await asyncio.gather(*futures)

    async def watch_cuts(self, source: int, passed: Callable[[int], None]) -> None:
        watched: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.shared.watch_cuts(source, passed, partial(_done, watched))
        async with asyncio.timeout(JOIN_S):
            await watched

    def stop(self) -> None:
        """For the others it is gone."""
        if not self.is_stopped and isinstance(self.bus, ZmqBus):
            self.bus.stop()
            for other in self._siblings:
                if other is not self and not other.is_stopped:
                    other.shared.shard_down(self.shard, self.incarnation)
        self.is_stopped = True

    def _deliver(self, room_id: str, wire: bytes) -> None:
        self.delivered.append((room_id, wire))

    def _deliver_but(self, room_id: str, wire: bytes, excluded: frozenset[str]) -> None:
        self.delivered.append((room_id, wire))
        self.excluded[wire] = excluded

    def _tell_consumed(self, shard: int, sender: int, number: int) -> None:
        for other in self._siblings:
            if other.shard == shard and not self.is_silent and not other.is_stopped:
                other.shared.consumed(self.shard, sender, number)

    def _tell_rooms(
        self, joined: list[bytes], left: list[bytes], *, are_all: bool = False, shard: int | None = None
    ) -> None:
        for other in self._siblings:
            if other is not self and shard in (None, other.shard) and not other.is_stopped:
                other.shared.rooms_told(self.shard, self.incarnation, joined, left, are_all=are_all, is_hearsay=False)


def _done(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
