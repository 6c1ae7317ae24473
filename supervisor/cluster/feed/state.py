"""`FeedState`: what a feed tells of itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["FeedState"]


def _unheard(_up: bool) -> None:
    """Nobody listens."""


@dataclass(slots=True)
class FeedState:
    """Counters that only rise, and whether NATS is there."""

    published: int = 0
    """Acknowledged messages."""
    received: int = 0
    """Republished messages, those that came twice included."""
    doubles: int = 0
    repaired: int = 0
    """Messages that were read from a stream because they had not come."""
    lost: int = 0
    """Gaps that could not be repaired, and streams that began anew: no one knows what was in them."""
    reconnects: int = 0
    connected: bool = False
    """NATS is connected, and all streams have leaders."""
    up: Callable[[bool], None] = _unheard
    """Told of each change of `connected`, on the loop."""
