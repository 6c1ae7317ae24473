"""`SlowHandlers`: a handler that runs too long is told of once, and no other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import websockets

from tests.support.eventually import eventually
from wspulse import Connection, Frame, Server
from wspulse.actors.journal.slow_handlers import SlowHandlers
from wspulse.actors.sessions.inbox import Callback


class Id(NamedTuple):
    id: str


class Inbox:
    def __init__(self, connection_id: str, handling: object) -> None:
        self.connection = Id(connection_id)
        self.handling = handling


class Stage:
    """Looks when the test says so."""

    def __init__(self, slow_handler_s: float = 8.0) -> None:
        self.working: list[Inbox] = []
        self.told: list[tuple[str, str, str]] = []
        self.delays: list[float] = []
        self._call: Callable[[], None] | None = None
        loop: Any = self
        self.slow_handlers = SlowHandlers(loop, self.working, slow_handler_s, lambda *what: self.told.append(what))

    def call_later(self, delay_s: float, call: Callable[[], None]) -> Any:
        self.delays.append(delay_s)
        self._call = call
        return self

    def cancel(self) -> None:
        self._call = None

    def look(self, times: int = 1) -> None:
        for _ in range(times):
            assert self._call is not None
            self._call()


def test_handler_is_told_of_once_when_it_has_run_for_so_long() -> None:
    stage = Stage()
    stage.working.append(Inbox("ada", (Frame("upload"), 0)))
    stage.look(4)  # it is found at the first, and so has run for up to 6 s
    assert stage.told == []
    stage.look()
    assert stage.told == [("on_message", "upload", "ada")]
    stage.look(20)
    assert len(stage.told) == 1
    assert set(stage.delays) == {2.0}


def test_callback_that_is_no_messages_is_named() -> None:
    stage = Stage()
    stage.working.append(Inbox("ada", Callback("on_connect")))
    stage.look(5)
    assert stage.told == [("on_connect", "", "ada")]


def test_busy_session_whose_handlers_each_return_is_not_slow() -> None:
    stage = Stage()
    inbox = Inbox("ada", None)
    stage.working.append(inbox)
    for number in range(20):
        inbox.handling = (Frame(str(number)), 0)
        stage.look(4)
    assert stage.told == []


def test_each_slow_handler_of_a_session_is_told_of() -> None:
    stage = Stage()
    inbox = Inbox("ada", (Frame("one"), 0))
    stage.working.append(inbox)
    stage.look(5)
    inbox.handling = (Frame("two"), 0)
    stage.look(5)
    assert [event for _, event, _ in stage.told] == ["one", "two"]


def test_nobody_looks_where_it_is_off_or_stopped() -> None:
    assert Stage(0.0).delays == []
    stage = Stage()
    stage.slow_handlers.stop()
    assert stage._call is None


async def test_handler_that_never_returns_is_named_with_its_connection_event_and_option(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = Server(lambda request: ("room", request.query["id"]), slow_handler=0.04)
    gate = asyncio.Event()

    @server.on_message
    async def on_message(_connection: Connection, frame: Frame) -> None:
        if frame.event == "stuck":
            await gate.wait()

    async with (
        server.serve() as running,
        websockets.connect(f"{running.url}?id=ada") as ada,
        websockets.connect(f"{running.url}?id=bob") as bob,
    ):
        await bob.send('{"event": "quick"}')
        await ada.send('{"event": "stuck"}')
        metrics = server._running().shard.metrics
        await eventually(lambda: metrics.slow_handlers, "it is told of")
        gate.set()
    (line,) = caplog.records
    assert line.levelname == "WARNING"
    assert "slow_handler" in line.message
    told = vars(line)
    assert (told["connection_id"], told["event"], told["callback"]) == ("ada", "stuck", "on_message")
    assert told["slow_handler_s"] == 0.04
    assert metrics.slow_handlers == 1


async def test_what_a_handler_got_is_let_go_of_when_it_returns() -> None:
    server = Server(lambda _request: ("room", "ada"), slow_handler=3600)
    handled: list[str] = []

    @server.on_message
    async def on_message(_connection: Connection, frame: Frame) -> None:
        await asyncio.sleep(0)
        handled.append(frame.event)

    async with server.serve() as running, websockets.connect(running.url) as client:
        await client.send('{"event": "a"}')
        shard = server._running().shard
        await eventually(lambda: handled and not shard.working, "it is handled")
        assert shard.sessions["ada"].inbox.handling is None


async def test_entry_whose_handler_is_awaited_is_the_one_that_may_be_slow() -> None:
    server = Server(lambda _request: ("room", "ada"), slow_handler=3600)
    gates = [asyncio.Event(), asyncio.Event()]
    begun: list[str] = []

    @server.on_message
    async def on_message(_connection: Connection, frame: Frame) -> None:
        begun.append(frame.event)
        await gates[len(begun) - 1].wait()

    async with server.serve() as running, websockets.connect(running.url) as client:
        inbox = server._running().shard.sessions["ada"].inbox
        for event in "ab":
            await client.send(f'{{"event": "{event}"}}')
        for number, event in enumerate("ab"):
            await eventually(lambda: len(begun) == number + 1, "it is handled")  # noqa: B023
            handling: Any = inbox.handling
            assert handling[0].event == event
            gates[number].set()
