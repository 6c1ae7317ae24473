"""`publish_when_free`: a broadcast that has to wait for the bus, counted when that has taken it.

Called by whoever broadcasts and was told that the bus is full; what is taken at once the caller counts.
"""

from __future__ import annotations

from typing import Protocol

from wspulse.actors.bus.contract import Bus
from wspulse.actors.values.metrics import Metrics

__all__ = ["publish_when_free"]


class Publishing(Protocol):
    """A shard, as this sees it."""

    bus: Bus
    metrics: Metrics


async def publish_when_free(shard: Publishing, room_id: str, wire: bytes, excluded: frozenset[str]) -> None:
    """Raises as the bus does."""
    await shard.bus.publish_when_free(room_id, wire, excluded)
    shard.metrics.broadcasts += 1
