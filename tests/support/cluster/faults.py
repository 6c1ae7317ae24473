"""Faults that are planted in what a shard does among several hosts: each is a way in which it could have been written wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from wspulse.actors.cluster import leaving
from wspulse.actors.cluster.contract import Gateway
from wspulse.actors.cluster.holding.messages import HeldMessages
from wspulse.actors.cluster.holding.predecessors import Predecessors
from wspulse.actors.cluster.ids import Ids
from wspulse.actors.cluster.landing import Landings, _Landing
from wspulse.actors.cluster.leaving import Leaving
from wspulse.actors.cluster.newcomers import Newcomers
from wspulse.actors.cluster.yielding import Yields
from wspulse.actors.mesh.placing import owners

__all__ = ["FAULTS"]


@dataclass
class Fault:
    """`patches` replace something. One of the histories from the seed `first` on, or of the next few, has to find it."""

    patches: Callable[[], list[Any]]
    first: int = 0

    @property
    def seeds(self) -> range:
        return range(self.first, self.first + 15)

    @contextmanager
    def planted(self) -> Iterator[None]:
        patches = self.patches()
        for each in patches:
            each.start()
        try:
            yield
        finally:
            for each in patches:
                each.stop()


async def _at_once(*_: Any) -> None:
    """Wait for nothing."""


async def _always(*_: Any) -> bool:
    return True


async def _never(*_: Any) -> bool:
    return False


class _NothingFetched:
    """A gateway that has nothing of what was published."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def frames(self, *_: Any) -> list[Any]:
        return []


def _without_fetching(self: Any, shard: Any, gateway: Any, bus: Any, record: Any) -> None:
    nothing: Any = _NothingFetched(gateway)
    _init(self, shard, nothing, bus, record)


async def _without_waiting(self: Any, seen: dict[str, int]) -> None:
    """As if the session had seen no more than was seen here."""
    await _prepare(self, {room_id: min(sequence, self._bus.seen(room_id)) for room_id, sequence in seen.items()})


_prepare = _Landing.prepare
_init = _Landing.__init__


def _release_at_once(self: Ids, connection_id: str) -> bool:
    return connection_id in self._shard.sessions or connection_id in self._wanted or connection_id in self.leaving


def _no_frames_of_its_own(_session: Any) -> list[bytes]:
    return []


def _held_by_nobody(self: HeldMessages, connection: Any, frame: Any) -> Any:
    return self._handle(connection, frame)


def _nothing(*_: Any) -> None:
    """Do not."""


FAULTS = {
    "the last callback is not waited for": Fault(
        lambda: [patch.object(Ids, "callbacks_ended", _at_once), patch.object(Ids, "_is_needed", _release_at_once)]
    ),
    "what a room had between is not fetched": Fault(lambda: [patch.object(_Landing, "__init__", _without_fetching)], 5),
    "a host that is behind does not wait": Fault(lambda: [patch.object(_Landing, "prepare", _without_waiting)]),
    "the taker does not ask the directory": Fault(lambda: [patch.object(Landings, "_commit", _always)]),
    "an owner that hears nothing swaps nothing": Fault(lambda: [patch.object(Leaving, "_swap_back", _always)]),
    "an owner that hears nothing lets go": Fault(lambda: [patch.object(Leaving, "_swap_back", _never)], 549),
    "ids under way are not waited for": Fault(
        lambda: [patch.object(Yields, "__contains__", lambda *_: False), patch.object(Yields, "over", _at_once)]
    ),
    "ids are not claimed": Fault(lambda: [patch.object(Newcomers, "_may_decide", lambda *_: True)]),
    "what is asked goes out of order": Fault(
        lambda: [patch.object(owners._Ask, "is_asking_afar", property(lambda _: False, lambda *_: None))], 5980
    ),
    "what its connection sent meanwhile is lost": Fault(
        lambda: [patch.object(leaving, "sent_meanwhile", _no_frames_of_its_own)], 25
    ),
    "callbacks on another host are not waited for": Fault(lambda: [patch.object(Predecessors, "follow", _nothing)]),
    "messages are handled without a lease": Fault(lambda: [patch.object(HeldMessages, "_take", _held_by_nobody)], 42),
    "messages of an id that was lost are handled": Fault(lambda: [patch.object(HeldMessages, "drop", _nothing)], 327),
    "nobody is told that the directory decides": Fault(lambda: [patch.object(Ids, "decided", _at_once)], 520),
}
"""By what is wrong."""
