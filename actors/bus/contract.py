"""The contract of a room bus.

Guarantee: what `publish` took (returned True) is delivered to every shard that had joined the room when it was taken, once.
Order: all shards deliver the frames of one room in one and the same total order; one publisher's in the order of its calls.
Blocking: `publish` never blocks; False means that the bus is full and nothing was taken. It may be full for one room, because a
shard that has joined it is silent, and not for another.
Atomicity: frames of one loop turn and one room are delivered together, a long turn's in pieces.
After `leave` nothing that is published later is delivered; what was under way may still come, and whoever takes it looks
whether it has the room. A `joined` that was not called yet never is.
After the bus stopped, `publish` returns False.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

__all__ = ["Bus", "CuttingBus"]


class Bus(Protocol):
    """See the module. Used by one shard, on its loop."""

    leave_delay_s: float
    """How long a room without members stays joined, because joining is dear and people come back."""

    acknowledges: bool
    """Whether `publish_when_free` returns only when the cluster keeps the frame: then whoever is to wait for that calls it, and
    not `publish`."""

    def publish(self, room_id: str, wire: bytes) -> bool: ...

    def publish_but(self, room_id: str, wire: bytes, excluded: frozenset[str]) -> bool:
        """`publish` for all members but the connections with these ids, of which nobody need be there."""

    async def publish_when_free(self, room_id: str, wire: bytes, excluded: frozenset[str] = frozenset()) -> None:
        """Wait, behind earlier callers of this room, until the bus takes it. Raises ShardUnavailableError after 5 s; it was
        not taken then, nor is it where the caller is cancelled. A bus that acknowledges: until it has, or 10 s have passed;
        what became of it is unknown then, and where the caller is cancelled."""

    def join(self, room_id: str, joined: Callable[[], None]) -> None:
        """Call `joined` (perhaps at once) when everything published from then on will be delivered here."""

    def leave(self, room_id: str) -> None: ...


class CuttingBus(Bus, Protocol):
    """A bus that joins several processes, each known by its incarnation, and on which each can draw a line for all: a *cut*.

    Two processes that have joined a room and watch the cuts of the same source deliver the same frames of it before each cut,
    and the same behind it.
    """

    def cut(self, number: int) -> None:
        """Publish a cut of this process, behind all that it has published; callers that wait have published nothing yet. One
        that nobody watches comes nowhere. After the bus stopped nothing happens."""

    def watch_cuts(self, source: int, passed: Callable[[int], None], watched: Callable[[], None]) -> None:
        """Call `passed(number)` with each cut of the process with this incarnation, which may be this one: when all that lies
        before it was delivered, and before anything else is. A delivered frame is with its room then, and with the members
        only when that is flushed. `watched` is called when every cut that is published from then on will come. Who watched
        the same source before is called no more."""

    def unwatch_cuts(self, source: int) -> None: ...
