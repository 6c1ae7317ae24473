"""`Inbox`: what has come over a line and waits for its handlers, whatever becomes of the connection that brought it.

The transport puts in what it takes from the socket, the line what it has to tell of itself; the task of the handlers takes it
out, in that order. The transport asks first whether there is room: it stops reading where there is none. No I/O.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from wspulse.actors.values.frame import Frame

__all__ = ["Inbox", "Item"]

_MOST_FRAMES = 256
_MOST_BYTES = 4 << 20

_MORE_FRAMES, _MORE_BYTES = 256, 1 << 20
"""While a call waits: its answer may stand behind frames that wait for the very handler that has called."""

_MOST_NEWS = 256
"""A line may come and go for hours while a handler hangs."""


_LOST = "wspulse.lost"


class Item(NamedTuple):
    """One thing to handle."""

    frame: Frame
    size_bytes: int
    is_news: bool
    """Whether it is the line's own, of itself."""
    token: str = ""
    """Of the session that it came in, where that is exact."""


class Inbox:
    """Bounded: 256 frames and 4 MiB, half as much again while a call waits for its answer."""

    def __init__(self) -> None:
        self._items: deque[Item] = deque()
        self._frames = 0
        self._size_bytes = 0

    def has_room(self, is_asking: bool) -> bool:
        """Whether one more frame may be taken, of any size. `is_asking`: a call waits for its answer."""
        if not is_asking:
            return self._frames < _MOST_FRAMES and self._size_bytes < _MOST_BYTES
        return self._frames < _MOST_FRAMES + _MORE_FRAMES and self._size_bytes < _MOST_BYTES + _MORE_BYTES

    def put(self, frame: Frame, size_bytes: int, token: str = "") -> None:
        self._items.append(Item(frame, size_bytes, False, token))
        self._frames += 1
        self._size_bytes += size_bytes

    def put_news(self, frame: Frame) -> None:
        """Of 256 that wait the oldest gives way, and of lost frames only to the same."""
        if len(self._items) - self._frames >= _MOST_NEWS:
            news = [place for place, item in enumerate(self._items) if item.is_news]
            del self._items[next((place for place in news if self._items[place].frame.event != _LOST), news[0])]
        self._items.append(Item(frame, 0, is_news=True))

    def take(self) -> Item | None:
        """The next one."""
        if not self._items:
            return None
        item = self._items.popleft()
        if not item.is_news:
            self._frames -= 1
            self._size_bytes -= item.size_bytes
        return item
