"""`RecentEvents`: what has happened on the server since the last look, for those who look.

Made by `Live`, which begins and ends it: nothing is subscribed to while nobody looks. Of a storm of events it keeps the latest
and counts the others.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from wspulse.actors.values.errors import ControlError
from wspulse.supervisor.client.asynchronous import AsyncControl
from wspulse.supervisor.protocol.types import Event

__all__ = ["RecentEvents"]

TOPICS = ("connect.", "disconnect.", "drop.", "restore.", "transfer.", "worker.")
"""All but the frames of clients."""

MOST_PER_LOOK = 60
"""A person reads less."""

MOST_ERROR_LETTERS = 200

AGAIN_S = 1.0
"""After a server that was not there."""


class RecentEvents:
    """See the module."""

    def __init__(self, control: AsyncControl) -> None:
        self._control = control
        self._kept: deque[Event] = deque(maxlen=MOST_PER_LOOK)
        self._come = 0
        self._missed = False
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        self._task = asyncio.create_task(self._listen())

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        self.take()

    def take(self) -> dict[str, Any]:
        """Those since the last time, and how many there were that are not among them; `missed`: and perhaps more."""
        taken = {
            "events": [_shown(event) for event in self._kept],
            "skipped": self._come - len(self._kept),
            "missed": self._missed,
        }
        self._kept.clear()
        self._come, self._missed = 0, False
        return taken

    async def _listen(self) -> None:
        while True:
            try:
                async with self._control.events(*TOPICS) as events:
                    async for event in events:
                        self._come += 1
                        self._kept.append(event)
                        self._missed = self._missed or event.missed
            except ControlError:
                self._missed = True
            await asyncio.sleep(AGAIN_S)


def _shown(event: Event) -> dict[str, Any]:
    shown: dict[str, Any] = {"kind": event.kind, "time": event.time, "seq": event.seq}
    for name in ("room", "connection", "pid", "moved", "drained", "is_over"):
        if value := getattr(event, name):
            shown[name] = value
    if event.shard >= 0:
        shown["shard"] = event.shard
    if event.error is not None:
        text = f"{event.error.get('type', '')}: {event.error.get('message', '').removeprefix('wspulse: ')}"
        shown["error"] = text[:MOST_ERROR_LETTERS]
    return shown
