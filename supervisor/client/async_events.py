"""`AsyncEventStream`: the events of a server for one task.

Made by `AsyncControl`. It connects, waits and comes back; what has come and what is missing, its `Subscription` knows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import zmq

from wspulse.actors.values.errors import ControlError
from wspulse.supervisor.client.async_dealer import AsyncDealer
from wspulse.supervisor.client.subscription import (
    AWAY_S,
    PROBE_S,
    RECEIVE_HIGH_WATER_EVENTS,
    Subscription,
    no_events_error,
)
from wspulse.supervisor.protocol.address import Address, events_endpoint
from wspulse.supervisor.protocol.calls import Call, calls
from wspulse.supervisor.protocol.types import Event, ServerInfo

__all__ = ["AsyncEventStream"]

BUFFERED_EVENTS = 10_000
"""Beyond that the oldest are dropped, and the next one says so."""


class AsyncEventStream:
    """An asynchronous iterator of events, like EventStream; only one task may use it.

    The subscription starts with `async with` and is active when the block begins; or it starts with the first turn of
    `async for`, whose end then closes it.
    """

    def __init__(
        self,
        call: Callable[[Call[ServerInfo], float], Coroutine[Any, Any, ServerInfo]],
        address: Address,
        topics: Iterable[str],
        *,
        timeout: float | None,
        start_timeout: float,
    ) -> None:
        self._call = call
        self._address = address
        self._timeout = timeout
        self._start_timeout_s = start_timeout
        self._subscription = Subscription(topics, BUFFERED_EVENTS)
        self._dealer: AsyncDealer | None = None
        self._changed = asyncio.Event()
        self._started = False
        self._closed = False

    async def __aenter__(self) -> Self:
        await self._start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        await self._start()
        try:
            async with asyncio.timeout(self._timeout):
                while not self._closed:
                    if (event := self._subscription.next_event()) is not None:
                        return event
                    if self._dealer is None:
                        await self._come_back()
                        continue
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            self.close()
        raise StopAsyncIteration

    def close(self) -> None:
        """End; idempotent."""
        self._closed = True
        self._changed.set()
        if self._dealer is not None:
            self._dealer.close()
            self._dealer = None

    async def _start(self) -> None:
        if not self._started:
            self._started = True
            await self._subscribe(self._start_timeout_s)

    async def _come_back(self) -> None:
        try:
            await self._subscribe(AWAY_S)
        except ControlError:
            await asyncio.sleep(PROBE_S)

    async def _subscribe(self, timeout_s: float) -> None:
        info = await self._call(calls.ping(), timeout_s)
        if self._closed:
            raise ControlError("this stream of events is closed")
        address = self._address._replace(endpoint=events_endpoint(info.events, self._address.endpoint))
        token = uuid4().hex
        subscription = self._subscription
        subscription.begin(token)
        dealer = AsyncDealer(
            address, on_message=self._take, on_writable=_nothing, on_away=self._went_away, kind=zmq.SUB
        )
        self._dealer = dealer
        try:
            dealer.socket.setsockopt(zmq.RCVHWM, RECEIVE_HIGH_WATER_EVENTS)
            for topic in (*subscription.topics, subscription.probe):
                dealer.socket.setsockopt(zmq.SUBSCRIBE, topic)
            async with asyncio.timeout(timeout_s):
                while not subscription.is_active and not dealer.closed:
                    self._changed.clear()
                    await self._call(calls.ping(token), timeout_s)
                    try:
                        async with asyncio.timeout(PROBE_S):
                            await self._changed.wait()
                    except TimeoutError:
                        pass
            if dealer.closed:
                # Also when the probe has come: both may be seen in one look.
                raise ControlError(f"the server at {address.endpoint} went away")
            dealer.socket.setsockopt(zmq.UNSUBSCRIBE, subscription.probe)
            dealer.schedule_look()
        except BaseException as error:
            dealer.close()
            self._dealer = None
            if isinstance(error, TimeoutError):
                raise no_events_error(address.endpoint, timeout_s) from None
            raise

    def _take(self, parts: list[bytes]) -> None:
        if self._subscription.take(parts):
            self._changed.set()

    def _went_away(self) -> None:
        if self._dealer is not None:
            self._dealer.close()
            self._dealer = None
        self._changed.set()


def _nothing() -> None:
    """A subscriber sends nothing."""
