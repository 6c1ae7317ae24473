"""`SeenWatch`: what a worker of a cluster has had of each joined room: no message is delivered twice. No I/O, no clock.

The receiver owns it. After the restart of a gateway messages come again, and after a long outage one may be in the stream twice:
the first are known by their sequence, which rises within a room, the second by their number, which rises with each sender.
"""

from __future__ import annotations

from wspulse.actors.bus.message import BusMessage, GapWatch

__all__ = ["SeenWatch"]

_JOINING = -1


class SeenWatch(GapWatch):
    """See the module. Besides what may be missing it knows what was there. Of a room that is being joined anything may come, and
    nothing need."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[str, int] = {}
        """Of each joined room: the sequence up to which there is nothing more to be had."""

    def joined(self, room_id: str) -> None:
        super().joined(room_id)
        self._last[room_id] = _JOINING

    def left(self, room_id: str) -> None:
        super().left(room_id)
        self._last.pop(room_id, None)

    def begins_at(self, room_id: str, sequence: int) -> None:
        """The room is joined: what is kept behind that sequence comes, and nothing up to it."""
        self._last[room_id] = sequence

    def seen(self, room_id: str) -> int:
        """Up to which sequence all has come that was to come; 0 for a room that is not joined."""
        return max(self._last.get(room_id, 0), 0)

    def reached(self, room_id: str, sequence: int) -> None:
        """All up to that sequence has come, if the room is joined still."""
        if self._last.get(room_id, _JOINING) != _JOINING:
            self._last[room_id] = max(self._last[room_id], sequence)

    def is_new(self, message: BusMessage, sequence: int) -> bool:
        """Note a message. Whether it is to be delivered."""
        last = self._last.get(message.room_id, _JOINING)
        if last == _JOINING:
            return True
        if sequence <= last:
            return False
        self._last[message.room_id] = sequence
        return message.number > self.last_of(message)

    def follows(self, message: BusMessage) -> bool:
        return self._last.get(message.room_id, _JOINING) == _JOINING or super().follows(message)
