"""Buses for a simulated shard: one that takes its time, and `LocalBus` with the model listening.

The contract is that of actors/bus/contract.py.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from wspulse.actors.bus.local import LocalBus
from wspulse.actors.values.errors import ShardUnavailableError

if TYPE_CHECKING:
    from tests.support.simulation.model.model import Model

__all__ = ["SimBus", "broadcast_number", "watched_local_bus"]

_STALL_S = 5.0


def broadcast_number(wire: bytes) -> int:
    """The number of a broadcast, from its wire form: two bytes of header, then "b" and the number."""
    return int(wire[3:])


def watched_local_bus(
    model: Model,
    deliver: Callable[[str, bytes], None],
    deliver_but: Callable[[str, bytes, frozenset[str]], None],
) -> LocalBus:
    def delivered(room_id: str, wire: bytes) -> None:
        number = broadcast_number(wire)
        model.published(room_id, number)
        model.delivered(number)
        deliver(room_id, wire)

    def delivered_but(room_id: str, wire: bytes, excluded: frozenset[str]) -> None:
        number = broadcast_number(wire)
        model.published(room_id, number, excluded)
        model.delivered(number)
        deliver_but(room_id, wire, excluded)

    return LocalBus(delivered, delivered_but)


class SimBus:
    """One shard's end of a bus: joins take effect later, and messages come back later, when the simulation says so.

    Broadcasts have one total order, the one in which they were taken. A room's messages are delivered from some moment
    between `join` and its `joined` on.
    """

    acknowledges = False

    def __init__(
        self,
        model: Model,
        deliver: Callable[[str, bytes], None],
        deliver_but: Callable[[str, bytes, frozenset[str]], None],
        leave_delay_s: float,
    ) -> None:
        self.leave_delay_s = leave_delay_s
        self._model = model
        self._deliver = deliver
        self._deliver_but = deliver_but
        self._full = False
        self._subscribed: set[str] = set()
        self._joins: deque[tuple[str, Callable[[], None]]] = deque()
        self._flying: deque[tuple[str, int, list[bytes], frozenset[str]]] = deque()
        self._waiters: deque[tuple[asyncio.Future[None], str, bytes, frozenset[str]]] = deque()

    # The contract.

    def publish(self, room_id: str, wire: bytes) -> bool:
        if self._full or self._waiters:
            return False
        self._take(room_id, wire)
        return True

    def publish_but(self, room_id: str, wire: bytes, excluded: frozenset[str]) -> bool:
        if self._full or self._waiters:
            return False
        self._take(room_id, wire, excluded)
        return True

    async def publish_when_free(self, room_id: str, wire: bytes, excluded: frozenset[str] = frozenset()) -> None:
        loop = self._model.loop
        future: asyncio.Future[None] = loop.create_future()
        waiter = (future, room_id, wire, excluded)
        self._waiters.append(waiter)
        timer = loop.call_later(_STALL_S, self._stalled, waiter)
        try:
            await future
        finally:
            timer.cancel()

    def join(self, room_id: str, joined: Callable[[], None]) -> None:
        self._joins.append((room_id, joined))

    def leave(self, room_id: str) -> None:
        self._subscribed.discard(room_id)
        self._joins = deque(join for join in self._joins if join[0] != room_id)

    # What the simulation decides.

    @property
    def busy(self) -> bool:
        return bool(self._joins or self._flying or self._waiters)

    @property
    def rooms(self) -> set[str]:
        """Those that are joined, or that a join has begun to take effect for."""
        return self._subscribed

    def is_joining(self, room_id: str) -> bool:
        return any(join[0] == room_id for join in self._joins)

    def fill(self) -> None:
        """Take nothing for now."""
        self._full = True

    def free(self) -> None:
        """Take again, those who wait first."""
        self._full = False
        while self._waiters:
            future, room_id, wire, excluded = self._waiters.popleft()
            if not future.done():
                self._take(room_id, wire, excluded)
                future.set_result(None)

    def join_step(self) -> None:
        """The oldest join takes effect, or, when it has, is reported."""
        if self._joins:
            room_id, joined = self._joins[0]
            if room_id in self._subscribed:
                self._joins.popleft()
                joined()
            else:
                self._subscribed.add(room_id)

    def deliver_step(self) -> None:
        """The oldest messages come back."""
        if self._flying:
            room_id, _, wires, excluded = self._flying.popleft()
            if room_id in self._subscribed:
                for wire in wires:
                    self._model.delivered(broadcast_number(wire))
                    if excluded:
                        self._deliver_but(room_id, wire, excluded)
                    else:
                        self._deliver(room_id, wire)

    def _take(self, room_id: str, wire: bytes, excluded: frozenset[str] = frozenset()) -> None:
        self._model.published(room_id, broadcast_number(wire), excluded)
        turn = self._model.loop.turns
        flying = self._flying
        if flying and flying[-1][0] == room_id and flying[-1][1] == turn and not excluded and not flying[-1][3]:
            flying[-1][2].append(wire)
        else:
            flying.append((room_id, turn, [wire], excluded))

    def _stalled(self, waiter: tuple[asyncio.Future[None], str, bytes, frozenset[str]]) -> None:
        if waiter in self._waiters:
            self._waiters.remove(waiter)
        if not waiter[0].done():
            waiter[0].set_exception(ShardUnavailableError("the bus stalled"))
