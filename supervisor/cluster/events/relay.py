"""`EventRelay`: carries events from host to host, over core NATS. One for each gateway.

Nobody waits for them: what cannot be sent is dropped and counted, and who gets them sees in the numbers what is missing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress

import msgspec
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from wspulse.actors.mesh.lifecycle import Events

__all__ = ["EventRelay"]

MOST_BATCH_BYTES = 256 * 1024
"""Of events in one message, unless one alone is larger; those have a payload of 16 KiB at most."""

MOST_WAITING_BYTES = 8 * 1024 * 1024

_encode = msgspec.msgpack.Encoder().encode


class _Batch(msgspec.Struct, array_like=True):
    host: str
    life: int
    """Of its gateway, which numbers them."""
    number: int
    dropped: int
    """Events that are missing before these."""
    events: list[tuple[bytes, bytes]]


_decode = msgspec.msgpack.Decoder(_Batch).decode


class EventRelay:
    """See the module. `take(events)` is given what other hosts have sent, while they are wanted here."""

    def __init__(self, client: Client, cluster: str, host: str, life: int, take: Callable[[Events], None]) -> None:
        self._client = client
        self._subject = f"WSPULSE.{cluster}.events"
        self._host = host
        self._life = life
        self._take = take
        self._number = 0
        self._waiting: deque[tuple[bytes, bytes]] = deque()
        self._waiting_bytes = 0
        self._dropped = 0
        self._is_wanted = False
        self._heard: dict[str, tuple[int, int]] = {}
        """By host, life and number of what came last."""
        self._subscription: Subscription | None = None
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        self._task = asyncio.create_task(self._run(), name="relay of events")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._subscription is not None:
            with suppress(nats.errors.Error):
                await self._subscription.unsubscribe()

    def want(self, is_wanted: bool) -> None:
        """Whether somebody listens on this host."""
        if is_wanted != self._is_wanted:
            self._is_wanted = is_wanted
            self._changed.set()

    def give(self, events: Events) -> None:
        """What has happened here, to those of the others that want it."""
        self._dropped += events.dropped_events
        for event in events.events:
            if self._waiting_bytes > MOST_WAITING_BYTES:
                self._dropped += 1
            else:
                self._waiting.append(event)
                self._waiting_bytes += _size(event)
        self._changed.set()

    async def _run(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            with suppress(nats.errors.Error):
                await self._subscribe()
                while self._client.is_connected and (self._waiting or self._dropped):
                    await self._send()
            if not self._client.is_connected:
                self._drop()

    async def _subscribe(self) -> None:
        if self._is_wanted and self._subscription is None:
            self._heard.clear()
            self._subscription = await self._client.subscribe(self._subject, cb=self._on_batch)
        elif not self._is_wanted and self._subscription is not None:
            subscription, self._subscription = self._subscription, None
            await subscription.unsubscribe()

    async def _send(self) -> None:
        batch: list[tuple[bytes, bytes]] = []
        size = 0
        while self._waiting and (not batch or size + _size(self._waiting[0]) <= MOST_BATCH_BYTES):
            batch.append(self._waiting.popleft())
            size += _size(batch[-1])
        self._waiting_bytes -= size
        self._number += 1
        dropped, self._dropped = self._dropped, 0
        await self._client.publish(self._subject, _encode(_Batch(self._host, self._life, self._number, dropped, batch)))

    def _drop(self) -> None:
        """What waits: it would come long after it has happened. Whoever gets the next events is told how many are missing."""
        self._dropped += len(self._waiting)
        self._waiting.clear()
        self._waiting_bytes = 0

    async def _on_batch(self, message: Msg) -> None:
        batch = _decode(message.data)
        if batch.host == self._host:
            return
        before = self._heard.get(batch.host)
        self._heard[batch.host] = batch.life, batch.number
        is_gap = before is not None and before != (batch.life, batch.number - 1)
        if self._is_wanted:
            self._take(Events(batch.events, batch.dropped + is_gap))


def _size(event: tuple[bytes, bytes]) -> int:
    return len(event[0]) + len(event[1])
