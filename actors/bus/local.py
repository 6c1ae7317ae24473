"""`LocalBus`: the room bus of a server with a single shard."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["LocalBus"]


class LocalBus:
    """One shard needs no bus: what it publishes it delivers."""

    leave_delay_s = 0.0
    acknowledges = False

    def __init__(
        self, deliver: Callable[[str, bytes], None], deliver_but: Callable[[str, bytes, frozenset[str]], None]
    ) -> None:
        self._deliver = deliver
        self._deliver_but = deliver_but

    def publish(self, room_id: str, wire: bytes) -> bool:
        self._deliver(room_id, wire)
        return True

    def publish_but(self, room_id: str, wire: bytes, excluded: frozenset[str]) -> bool:
        self._deliver_but(room_id, wire, excluded)
        return True

    async def publish_when_free(self, room_id: str, wire: bytes, excluded: frozenset[str] = frozenset()) -> None:
        # Never awaited for want of room: `publish` takes everything.
        if excluded:
            self._deliver_but(room_id, wire, excluded)
        else:
            self._deliver(room_id, wire)

    def join(self, room_id: str, joined: Callable[[], None]) -> None:
        joined()

    def leave(self, room_id: str) -> None:
        pass
