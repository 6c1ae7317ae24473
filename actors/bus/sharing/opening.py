"""`OpeningBus`: the bus of a shard that is alone still, and joins its rooms on the bus that it is about to share.

Made by the switch, which puts it in the place of the local bus, and the shared one in its place as soon as every room that was
there is joined. Until then what is published is delivered here, and nobody else publishes. Rooms that are entered meanwhile are
joined on the shared bus alone, so that however many come the change comes to its end.
"""

from __future__ import annotations

from collections.abc import Callable

from wspulse.actors.bus.sharing.host import BusHost
from wspulse.actors.bus.zmq import ZmqBus

__all__ = ["OpeningBus"]


def _nobody_waits() -> None:
    """Whoever is in the room is a member."""


class OpeningBus:
    """See the module. `opened` is called once, when the shared bus is to take over; then, or when it is given up, it is `over`,
    and whatever still comes here goes where the shard's bus is."""

    leave_delay_s = 0.0
    acknowledges = False

    def __init__(self, host: BusHost, shared: ZmqBus, opened: Callable[[], None]) -> None:
        self.shared = shared
        self.over = False
        self._host = host
        self._opened = opened

    def begin(self) -> None:
        for room_id in self._host.rooms:
            self.shared.join(room_id, _nobody_waits)
        # Behind the rooms, and by the same probe: what is joined in one turn is joined at one time.
        self.shared.when_up(self._up)

    def publish(self, room_id: str, wire: bytes) -> bool:
        if self.over:
            return self._host.bus.publish(room_id, wire)
        self._host.deliver(room_id, wire)
        return True

    def publish_but(self, room_id: str, wire: bytes, excluded: frozenset[str]) -> bool:
        if self.over:
            return self._host.bus.publish_but(room_id, wire, excluded)
        self._host.deliver_but(room_id, wire, excluded)
        return True

    async def publish_when_free(self, room_id: str, wire: bytes, excluded: frozenset[str] = frozenset()) -> None:
        if self.over:
            await self._host.bus.publish_when_free(room_id, wire, excluded)
        elif excluded:
            self._host.deliver_but(room_id, wire, excluded)
        else:
            self._host.deliver(room_id, wire)

    def join(self, room_id: str, joined: Callable[[], None]) -> None:
        self.shared.join(room_id, joined)

    def leave(self, room_id: str) -> None:
        self.shared.leave(room_id)

    def _up(self) -> None:
        if not self.over:
            self._opened()
