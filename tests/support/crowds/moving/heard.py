"""`Heard`: what one client of the moving crowd has heard, and what was wrong with that. No I/O.

A stream is what one process, or one client by way of the server, has sent under its key to one room or one client: numbers from 0
on.
"""

from __future__ import annotations

from typing import Any
from zlib import crc32

__all__ = ["ORDERED", "Heard"]

ORDERED = ("room", "pulse")
"""Events of rooms: all members hear all their streams in one and the same order."""

_STORIES = 5
_BLOCK = 64


class Heard:
    def __init__(self) -> None:
        self.newest: dict[str, dict[str, int]] = {}
        """By event and key, the newest number."""
        self.torn: set[str] = set()
        """The events of which something was lost, doubled or out of order."""
        self._holes: set[tuple[str, str, int]] = set()
        self.lost = self.doubled = self.disordered = 0
        self.stories: list[str] = []
        self._chain = dict.fromkeys(ORDERED, 0)
        self._blocks: dict[str, list[int]] = {event: [] for event in ORDERED}
        self._counts = dict.fromkeys(ORDERED, 0)

    def take(self, event: str, key: str, number: int) -> None:
        streams = self.newest.get(event)
        if streams is None:
            streams = self.newest[event] = {}
        newest = streams.get(key, -1)
        if number == newest + 1:
            streams[key] = number
        else:
            self._fault(event, key, number, newest)
        if event in self._chain:
            self._chain[event] = crc32(b"%b %d" % (key.encode(), number), self._chain[event])
            self._counts[event] += 1
            if self._counts[event] % _BLOCK == 0:
                self._blocks[event].append(self._chain[event])

    def tell(self, story: str) -> None:
        if len(self.stories) < _STORIES:
            self.stories.append(story)

    def _fault(self, event: str, key: str, number: int, newest: int) -> None:
        self.torn.add(event)
        story = f"{event} {key}: {number} behind {newest}"
        if number > newest:
            self.lost += number - newest - 1
            self._holes.update((event, key, each) for each in range(newest + 1, number))
            self.newest[event][key] = number
        elif (event, key, number) in self._holes:
            self._holes.remove((event, key, number))
            self.lost -= 1
            self.disordered += 1
        else:
            self.doubled += 1
        self.tell(story)

    def book(self) -> dict[str, Any]:
        return {
            "newest": self.newest,
            "lost": self.lost,
            "doubled": self.doubled,
            "disordered": self.disordered,
            "stories": self.stories,
            "torn": sorted(self.torn),
            "order": {
                event: {
                    "count": self._counts[event],
                    "chain": self._chain[event],
                    "blocks": self._blocks[event],
                }
                for event in ORDERED
            },
        }
