"""`AsyncControl`: `Control` for coroutines, with the same operations."""

from __future__ import annotations

import asyncio
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

from wspulse.actors.values.errors import ControlError
from wspulse.supervisor.client.async_dealer import AsyncDealer
from wspulse.supervisor.client.async_events import AsyncEventStream
from wspulse.supervisor.client.bridge import Bridge, BridgeRequest
from wspulse.supervisor.protocol.address import Address, find_address
from wspulse.supervisor.protocol.calls import TIMEOUT_S, Call, FrameLike, answer_number, calls, read_answer
from wspulse.supervisor.protocol.types import (
    ClusterHost,
    ConnectionInfo,
    Listing,
    MeasurementInfo,
    MemberInfo,
    MovedInfo,
    RoomInfo,
    ScaledInfo,
    ServerInfo,
    ServerStats,
    ShardMovedInfo,
)

__all__ = ["AsyncControl"]

Result = TypeVar("Result")


class _Waiting(NamedTuple):
    future: asyncio.Future[bytes]
    request: bytes


class AsyncControl:
    """A client of a server's control socket for one event loop, the one of its first call; any number of tasks may share it.

    In another loop its calls raise RuntimeError. Everything else is as in `Control`. Use it as
    `async with AsyncControl() as control`, or `close()` it.
    """

    def __init__(
        self,
        endpoint: str | None = None,
        *,
        port: int | None = None,
        timeout: float = TIMEOUT_S,
        server_key: str | Path | None = None,
        client_key: str | Path | None = None,
    ) -> None:
        self.address = find_address(endpoint, port=port, server_key=server_key, client_key=client_key)
        self.timeout = timeout
        self._loop: asyncio.AbstractEventLoop | None = None
        """Where its socket is read, from the first call on."""
        self._dealer: AsyncDealer | None = None
        self._closed = False
        self._made: weakref.WeakSet[AsyncEventStream | Bridge] = weakref.WeakSet()
        self._number = 0
        self._unsent: OrderedDict[int, None] = OrderedDict()
        self._waiting: dict[int, _Waiting] = {}
        self._sent: set[int] = set()

    @classmethod
    def at(cls, address: Address, *, timeout: float = TIMEOUT_S) -> Self:
        """A client of the server at a known address, with keys that are in no file."""
        control = cls(address.endpoint, timeout=timeout)
        control.address = address
        return control

    @property
    def endpoint(self) -> str:
        return self.address.endpoint

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the client, with the event streams and bridges made from it; idempotent. Calls in progress fail, iterations
        end."""
        self._closed = True
        for made in list(self._made):
            made.close()
        self._fail(list(self._waiting), "this control client is closed")
        if self._dealer is not None:
            self._dealer.close()
            self._dealer = None

    async def ping(self) -> ServerInfo:
        """Version, number of workers, and where the events are."""
        return await self.call(calls.ping())

    async def send(self, connection: str, frame: FrameLike) -> None:
        """Queue a frame for one connection."""
        await self.call(calls.send(connection, frame))

    async def broadcast(self, room: str, frame: FrameLike, exclude: Iterable[str] = ()) -> None:
        """Queue a frame for every connection of a room except those whose ids are in `exclude`."""
        await self.call(calls.broadcast(room, frame, exclude))

    async def kick(self, connection: str, code: int = 1000, reason: str = "kicked") -> None:
        """End a session now; its client gets a close frame with `code` and `reason`, as from `Server.kick`."""
        await self.call(calls.kick(connection, code, reason))

    async def join(self, connection: str, room: str) -> None:
        """Make a connection join a room, as its own `join` does."""
        await self.call(calls.join(connection, room))

    async def leave(self, connection: str, room: str) -> None:
        """Make a connection leave a room, as its own `leave` does."""
        await self.call(calls.leave(connection, room))

    async def connections(self, room: str | None = None) -> Listing[ConnectionInfo]:
        """The connections of a room, or all of them; `missing_shards` of the list names the shards that did not answer."""
        return await self.call(calls.connections(room))

    async def presence(self, room: str) -> Listing[MemberInfo]:
        """Who is in a room, each with the application's `state`; `missing_shards` of the list names the shards that did not
        answer."""
        return await self.call(calls.presence(room))

    async def rooms(self) -> Listing[RoomInfo]:
        """The rooms that have connections; `missing_shards` of the list names the shards that did not answer."""
        return await self.call(calls.rooms())

    async def hosts(self, *, load: bool = False) -> list[ClusterHost]:
        """The hosts of the cluster that are alive, by id; without a cluster, this server alone. With `load`, each is asked what
        its workers have and have counted; one that does not answer within 2 s is "silent"."""
        return await self.call(calls.hosts(load=load))

    async def stats(self) -> ServerStats:
        """The server's counters. Answered even while workers do not answer."""
        return await self.call(calls.stats())

    async def metrics(self) -> list[MeasurementInfo]:
        """Every measurement of doc/reference/metrics.md with its samples. Answered even while workers do not answer."""
        return await self.call(calls.metrics())

    async def restart(self, shard: int, *, drain: bool = False) -> MovedInfo:
        """Replace a shard's worker. Its sessions move to the new one; with `drain` they are closed with 1012 instead. Returns
        when the old one has ended."""
        return await self.call(calls.restart(shard, drain=drain))

    async def reload(self, *, drain: bool = False) -> list[ShardMovedInfo]:
        """Replace every worker as `restart` does, one after another; joins a reload that is in progress. After an error
        the worker that it names keeps serving, and those replaced before it stay replaced."""
        return await self.call(calls.reload(drain=drain))

    async def scale(self, workers: int) -> ScaledInfo:
        """Change the number of workers; sessions that then belong to another worker move there."""
        return await self.call(calls.scale(workers))

    async def shutdown(self) -> None:
        """Shut the server down gracefully; returns when it begins to stop."""
        await self.call(calls.shutdown())

    def events(self, *topics: str, timeout: float | None = None) -> AsyncEventStream:
        """The server's events, as an asynchronous iterator; see AsyncEventStream. Without topics, all events."""
        stream = AsyncEventStream(self.call, self.address, topics, timeout=timeout, start_timeout=self.timeout)
        self._made.add(stream)
        return stream

    def attach(self, connect: Callable[[BridgeRequest], Any], *, window: int = 256, heartbeat: float = 10) -> Bridge:
        """Be the application of a server that runs with `--app bridge` (doc/reference/control.md).

        Up to `window` items may be unread in this program before its clients are paused; if its loop stands still for
        `heartbeat` seconds, the server considers it dead.
        """
        bridge = Bridge(self.address, connect, window=window, heartbeat=heartbeat, start_timeout=self.timeout)
        self._made.add(bridge)
        if self._closed:
            bridge.close()
        return bridge

    async def call(self, call: Call[Result], timeout: float | None = None) -> Result:
        """Carry out a `Call`."""
        timeout_s = timeout if timeout is not None else max(call.timeout_s or 0.0, self.timeout)
        if self._closed:
            raise ControlError("this control client is closed")
        self._check_loop()
        if self._dealer is None:
            self._dealer = AsyncDealer(
                self.address, on_message=self._take, on_writable=self._send_unsent, on_away=self._went_away
            )
        self._number += 1
        number = self._number
        waiting = _Waiting(asyncio.get_running_loop().create_future(), call.encode(number))
        self._waiting[number] = waiting
        self._unsent[number] = None
        self._send_unsent()
        try:
            async with asyncio.timeout(timeout_s):
                data = await waiting.future
        except TimeoutError:
            raise ControlError(self._why_silent(number, timeout_s)) from None
        finally:
            # A caller that has given up must not find its request carried out later.
            self._waiting.pop(number, None)
            self._unsent.pop(number, None)
            self._sent.discard(number)
        return read_answer(data, call)

    def _check_loop(self) -> None:
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise RuntimeError(
                "wspulse: an AsyncControl belongs to the event loop of its first call, and this is another one; make one in "
                "each loop (async with AsyncControl() as control) or use Control, which needs no loop"
            )

    def _why_silent(self, number: int, timeout_s: float) -> str:
        if number in self._sent:
            return f"the server at {self.endpoint} did not answer within {timeout_s:g} s"
        return f"no server at {self.endpoint} within {timeout_s:g} s"

    def _send_unsent(self) -> None:
        dealer, unsent = self._dealer, self._unsent
        while unsent and dealer is not None:
            number = next(iter(unsent))
            waiting = self._waiting[number]
            if not waiting.future.done():  # else its caller gives up in this turn
                if not dealer.try_send((waiting.request,)):
                    return
                self._sent.add(number)
            del unsent[number]

    def _take(self, parts: list[bytes]) -> None:
        number = answer_number(parts[-1])
        waiting = self._waiting.get(number) if number is not None else None
        if waiting is not None and not waiting.future.done():
            waiting.future.set_result(parts[-1])

    def _went_away(self) -> None:
        dealer = self._dealer
        if dealer is not None and (obstacle := dealer.obstacle) is not None:
            # The next call makes another one, which may be let in.
            self._dealer = None
            dealer.close()
            self._fail(list(self._waiting), obstacle)
            return
        self._fail(list(self._sent), f"the server at {self.endpoint} went away before it answered")

    def _fail(self, numbers: list[int], text: str) -> None:
        for number in numbers:
            waiting = self._waiting.get(number)
            if waiting is not None and not waiting.future.done():
                waiting.future.set_exception(ControlError(text))
