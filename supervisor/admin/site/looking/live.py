"""`Live`: what the server is doing, put together once a second for all who look at it, and not at all while nobody does.

Made by the application; each viewer holds a `View`. A viewer that is slow gets the latest when it is ready for it, and nothing
waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

import msgspec

from wspulse.actors.values.errors import ControlError
from wspulse.supervisor.admin.site.looking.recent_events import RecentEvents
from wspulse.supervisor.admin.site.looking.search import largest_rooms
from wspulse.supervisor.admin.site.shared_call import SharedCall
from wspulse.supervisor.client.asynchronous import AsyncControl
from wspulse.supervisor.protocol.types import Listing, RoomInfo, ServerStats

__all__ = ["MOST_VIEWERS", "Live", "TooManyViewersError"]

MOST_VIEWERS = 64

PERIOD_S = 1.0
LEAST_PAUSE_S = 0.1
ROOMS_PERIOD_S = 3.0
ROOMS_MOST_S = 30.0
"""There may be a hundred thousand of them."""

Rooms = SharedCall[Listing[RoomInfo]]


class TooManyViewersError(Exception):
    pass


class View:
    """One viewer's. `next()` waits for what it has not had."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._seen = 0

    async def next(self) -> bytes:
        """The latest, as an event of a text/event-stream."""
        live = self._live
        while live.number == self._seen:
            await live.changed.wait()
        self._seen = live.number
        return live.text


class Live:
    """See the module. `stats` is shared with whoever else asks for it."""

    def __init__(self, control: AsyncControl, stats: SharedCall[ServerStats]) -> None:
        self.number = 0
        """Of the latest text; 0 before the first."""
        self.text = b""
        self.changed = asyncio.Event()
        self._stats = stats
        self._rooms: Rooms = SharedCall(control.rooms, ROOMS_PERIOD_S, ROOMS_MOST_S)
        self._events = RecentEvents(control)
        self._viewers = 0
        self._task: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def view(self) -> AsyncIterator[View]:
        """Look, until the block ends. Raises TooManyViewersError."""
        if self._viewers >= MOST_VIEWERS:
            raise TooManyViewersError
        self._viewers += 1
        try:
            if self._task is None:
                self._task = asyncio.create_task(self._run())
            yield View(self)
        finally:
            self._viewers -= 1

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._rooms.close()

    async def _run(self) -> None:
        """Ends when nobody looks any more."""
        try:
            while self._viewers:
                self._events.open()
                try:
                    while self._viewers:
                        began = monotonic()
                        self._publish(await self._look())
                        await asyncio.sleep(max(PERIOD_S - (monotonic() - began), LEAST_PAUSE_S))
                finally:
                    await self._events.close()
        finally:
            self._task = None
            # Whoever comes next is not to see what was.
            self.number, self.text = 0, b""

    async def _look(self) -> dict[str, Any]:
        try:
            stats, rooms = await asyncio.gather(self._stats.get(), self._rooms.get())
        except ControlError as error:
            return {"away": str(error).removeprefix("wspulse: ")}
        return {
            "server": stats,
            "rooms": largest_rooms(rooms),
            "room_count": len(rooms),
            "missing_shards": rooms.missing_shards,
            **self._events.take(),
        }

    def _publish(self, found: dict[str, Any]) -> None:
        self.number += 1
        body = msgspec.json.encode({"number": self.number, **found})
        self.text = b"event: look\ndata: " + body + b"\n\n"
        self.changed.set()
        self.changed.clear()
