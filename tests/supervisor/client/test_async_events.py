"""The stream of events for coroutines: what it does when its connection ends at an unfortunate moment."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import zmq

from wspulse.actors.values.errors import ControlError
from wspulse.supervisor.client import async_events
from wspulse.supervisor.client.async_events import AsyncEventStream
from wspulse.supervisor.protocol.address import Address
from wspulse.supervisor.protocol.calls import Call
from wspulse.supervisor.protocol.types import ServerInfo


class FakeDealer:
    """What a connection is to a stream."""

    def __init__(
        self, _address: Address, *, on_message: Callable[[list[bytes]], None], on_away: Callable[[], None], **_: Any
    ) -> None:
        self.on_message = on_message
        self.on_away = on_away
        self.socket = self
        self.closed = False

    def setsockopt(self, _option: int, _value: object) -> None:
        if self.closed:
            raise zmq.ZMQError(errno.ENOTSOCK)

    def schedule_look(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


class Server:
    """Answers pings, and hands each probe to `on_probe` with the newest connection."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.dealers: list[FakeDealer] = []
        self.on_probe: Callable[[FakeDealer, list[bytes]], None] = lambda dealer, probe: dealer.on_message(probe)
        monkeypatch.setattr(async_events, "AsyncDealer", self._connect)

    def _connect(self, address: Address, **callbacks: Any) -> FakeDealer:
        self.dealers.append(FakeDealer(address, **callbacks))
        return self.dealers[-1]

    async def call(self, call: Call[ServerInfo], _timeout_s: float) -> ServerInfo:
        if token := call.args.get("event"):
            self.on_probe(self.dealers[-1], [f"ping.{token}".encode(), b""])
        return ServerInfo("0", "ipc:///events", 1)

    def stream(self) -> AsyncEventStream:
        return AsyncEventStream(self.call, Address("ipc:///nowhere"), (), timeout=5, start_timeout=5)


def message(seq: int) -> list[bytes]:
    return [b"connect.a", msgspec.msgpack.encode({"kind": "connect", "seq": seq, "prev": seq - 1, "time": 0.0})]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    return Server(monkeypatch)


def probe_and_end(dealer: FakeDealer, probe: list[bytes]) -> None:
    dealer.on_message(probe)
    dealer.on_away()


async def test_connection_that_ends_with_its_probe_at_the_start_is_a_control_error(server: Server) -> None:
    server.on_probe = probe_and_end
    with pytest.raises(ControlError, match="went away"):
        async with server.stream():
            pass
    assert all(dealer.closed for dealer in server.dealers)


async def test_connection_that_ends_while_it_is_probed_is_not_waited_for(server: Server) -> None:
    server.on_probe = lambda dealer, _probe: dealer.on_away()
    with pytest.raises(ControlError, match="went away"):
        async with asyncio.timeout(2), server.stream():
            pass


async def test_stream_comes_back_although_the_connection_ends_with_the_probe(server: Server) -> None:
    async with server.stream() as events:
        server.dealers[-1].on_message(message(1))
        assert not (await anext(events)).missed
        ended = 0

        def end_twice(dealer: FakeDealer, probe: list[bytes]) -> None:
            nonlocal ended
            ended += 1
            if ended <= 2:
                probe_and_end(dealer, probe)
            else:
                dealer.on_message(probe)
                dealer.on_message(message(9))

        server.on_probe = end_twice
        server.dealers[-1].on_away()
        event = await anext(events)
        assert (event.seq, event.missed) == (9, True)
    assert ended == 3
    assert all(dealer.closed for dealer in server.dealers)
    with pytest.raises(StopAsyncIteration):
        await anext(events)


async def test_oldest_events_are_dropped_for_a_task_that_does_not_read(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(async_events, "BUFFERED_EVENTS", 2)
    async with server.stream() as events:
        for seq in (1, 2, 3):
            server.dealers[-1].on_message(message(seq))
        found = [await anext(events), await anext(events)]
    assert [(event.seq, event.missed) for event in found] == [(2, True), (3, False)]


async def test_stream_that_is_closed_while_it_asks_where_the_events_are_opens_nothing(server: Server) -> None:
    asked, go = asyncio.Event(), asyncio.Event()
    answer = server.call

    async def hold(call: Call[ServerInfo], _timeout_s: float) -> ServerInfo:
        asked.set()
        await go.wait()
        return await answer(call, _timeout_s)

    server.call = hold  # type: ignore[method-assign]
    stream = server.stream()
    starting = asyncio.create_task(stream.__aenter__())
    await asked.wait()
    stream.close()
    go.set()
    with pytest.raises(ControlError, match="closed"):
        await starting
    assert not server.dealers
