"""`Waiters`: callers that wait until the bus takes their frame. No I/O, no clock.

The bus owns it. Callers of one room go on in their order; those of another room neither wait for them nor pass them by: the
rooms take turns. A caller that gives up leaves at once, and nothing of its frame stays.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

__all__ = ["Waiters"]

T = TypeVar("T")
F = TypeVar("F")


class Waiters(Generic[T, F]):
    """See the module. `T` is whatever the bus knows a caller by, `F` a frame; `bool()` says whether anybody waits."""

    __slots__ = ("_rooms",)

    def __init__(self) -> None:
        self._rooms: OrderedDict[str, OrderedDict[T, F]] = OrderedDict()
        """In each, the frame of every caller in their order; the room whose turn it is comes first."""

    def __bool__(self) -> bool:
        return bool(self._rooms)

    def __len__(self) -> int:
        return sum(map(len, self._rooms.values()))

    def __contains__(self, room_id: str) -> bool:
        """Whether anybody waits to publish to that room."""
        return room_id in self._rooms

    def __iter__(self) -> Iterator[T]:
        for callers in self._rooms.values():
            yield from callers

    def wait(self, room_id: str, caller: T, frame: F) -> None:
        self._rooms.setdefault(room_id, OrderedDict())[caller] = frame

    def leave(self, room_id: str, caller: T) -> None:
        """The caller waits no more; it may have gone on already."""
        callers = self._rooms.get(room_id)
        if callers is not None:
            callers.pop(caller, None)
            if not callers:
                del self._rooms[room_id]

    def going_on(self, is_free: Callable[[str], bool]) -> Iterator[tuple[str, T, F]]:
        """Take out who goes on, one after another: room, caller and frame. `is_free` says of a room whether anything can be
        published to it, and is asked before each."""
        rooms = self._rooms
        turns = deque(room_id for room_id in rooms if is_free(room_id))
        while turns:
            room_id = turns.popleft()
            if not is_free(room_id):
                continue
            callers = rooms[room_id]
            caller, frame = callers.popitem(last=False)
            if callers:
                turns.append(room_id)
                rooms.move_to_end(room_id)
            else:
                del rooms[room_id]
            yield room_id, caller, frame

    def clear(self) -> None:
        self._rooms.clear()
