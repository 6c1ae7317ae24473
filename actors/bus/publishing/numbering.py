"""`Numbering`: the numbers of a publisher's messages, and which one was its last in a room. No I/O, no clock.

The bus owns it. What is remembered of a room serves the check for gaps alone, where "unknown" is always allowed: so a room to
which nothing was published for one to two periods is forgotten, and a server of many short-lived rooms does not grow.
"""

from __future__ import annotations

__all__ = ["UNKNOWN", "Numbering"]

UNKNOWN = 0

_MOST_ROOMS = 50_000
"""Of one period; beyond that they are forgotten early, which only pauses the check."""


class Numbering:
    """See the module. The caller ends a period from time to time."""

    __slots__ = ("_earlier", "_last", "_number")

    def __init__(self) -> None:
        self._number = 0
        self._last: dict[str, int] = {}
        self._earlier: dict[str, int] = {}
        """Of the period before this one."""

    def next(self) -> int:
        """The number of a message to no room: a mark."""
        self._number += 1
        return self._number

    def next_in_room(self, room_id: str) -> tuple[int, int]:
        """The number of a message to a room, and that of the one before it there, or UNKNOWN."""
        self._number = number = self._number + 1
        last = self._last
        if room_id in last:
            previous = last[room_id]
        else:
            if len(last) >= _MOST_ROOMS:
                self.end_period()
                last = self._last
            previous = self._earlier.pop(room_id, UNKNOWN)
        last[room_id] = number
        return number, previous

    def end_period(self) -> None:
        self._last, self._earlier = {}, self._last

    @property
    def remembers(self) -> bool:
        """Whether there is anything that a period's end may forget."""
        return bool(self._last or self._earlier)
