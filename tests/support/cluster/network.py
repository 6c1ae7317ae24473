"""What joins the pretended hosts: a directory with compare-and-swap, streams with one order for all, and ways that keep their
order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import NamedTuple, TypeVar

from wspulse.actors.cluster.contract import Claimed, Found, Missed, Taken
from wspulse.actors.values.errors import ShardUnavailableError

__all__ = ["Directory", "Network", "Streams", "Wire"]

Answer = TypeVar("Answer")


class Wire:
    """One direction between two: what is put in comes out in order, each some time later."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._last_at = 0.0

    def put(self, call: Callable[[], object], late_s: float = 0.0) -> None:
        loop = self._network.loop
        # Timers of one moment have no order.
        self._last_at = max(self._last_at + 1e-9, loop.time() + self._network.delay() + late_s)
        loop.call_at(self._last_at, call)


class Network:
    """`delays_s` bounds how long anything takes from one to the other."""

    def __init__(self, loop: asyncio.AbstractEventLoop, random: Random, delays_s: tuple[float, float]) -> None:
        self.loop = loop
        self.random = random
        self.delays_s = delays_s
        self.alive: set[str] = set()
        """The hosts whose leases last."""
        self.directory = Directory(self)
        self.streams = Streams(self)

    def delay(self) -> float:
        return self.random.uniform(*self.delays_s)


class _Entry(NamedTuple):
    host: str
    key: tuple[int, int]
    revision: int


class Directory:
    """See the module. It answers what is asked of it by `ask`, when that has come to it and its answer has come back."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self.entries: dict[str, _Entry] = {}
        self.is_away = False
        self.loses_answers = 0
        """How many of the next answers do not come back, though what was asked is done."""
        self._revision = 0
        self.writes = 0
        self.asked = 0

    async def ask(self, wire: Wire, question: Callable[[], Answer]) -> Answer:
        loop = self._network.loop
        answer: asyncio.Future[Answer] = loop.create_future()
        self.asked += 1

        def arrive() -> None:
            if self.is_away:
                loop.call_later(self._network.delay(), fail)
                return
            found = question()
            if self.loses_answers:
                self.loses_answers -= 1
                loop.call_later(self._network.delay(), fail)
            else:
                loop.call_later(self._network.delay(), succeed, found)

        def succeed(found: Answer) -> None:
            if not answer.done():
                answer.set_result(found)

        def fail() -> None:
            if not answer.done():
                answer.set_exception(ShardUnavailableError("the directory does not answer"))

        wire.put(arrive)
        return await answer

    def _of(self, connection_id: str) -> _Entry | None:
        entry = self.entries.get(connection_id)
        return entry if entry is not None and entry.host in self._network.alive else None

    def _write(self, connection_id: str, host: str, key: tuple[int, int]) -> Claimed:
        self._revision += 1
        self.writes += 1
        self.entries[connection_id] = _Entry(host, key, self._revision)
        return Claimed(self._revision)

    def claim(self, connection_id: str, host: str, key: tuple[int, int]) -> Claimed | Taken:
        entry = self._of(connection_id)
        return self._write(connection_id, host, key) if entry is None else Taken(*entry)

    def move(self, connection_id: str, host: str, key: tuple[int, int], revision: int) -> Claimed | Taken | None:
        entry = self._of(connection_id)
        if entry is None:
            return None
        return self._write(connection_id, host, key) if entry.revision == revision else Taken(*entry)

    def release(self, connection_id: str, revision: int) -> None:
        entry = self.entries.get(connection_id)
        if entry is not None and entry.revision == revision:
            self.writes += 1
            del self.entries[connection_id]

    def find(self, connection_id: str) -> Found | None:
        entry = self._of(connection_id)
        return None if entry is None else Found(*entry)


class Message(NamedTuple):
    sequence: int
    frames: list[bytes]
    excluded: frozenset[str]


class Streams:
    """See the module: one partition, and all that was published in it."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self.sequence = 0
        self.rooms: dict[str, list[Message]] = {}
        self.subscribers: dict[str, dict[object, Callable[[str, Message], None]]] = {}

    def publish(self, room_id: str, wire: bytes, excluded: frozenset[str]) -> None:
        self.sequence += 1
        message = Message(self.sequence, [wire], excluded)
        self.rooms.setdefault(room_id, []).append(message)
        for deliver in self.subscribers.get(room_id, {}).values():
            deliver(room_id, message)

    def frames(self, room_id: str, after: int, upto: int) -> list[Missed]:
        return [Missed(m.frames, m.excluded) for m in self.rooms.get(room_id, ()) if after < m.sequence <= upto]
