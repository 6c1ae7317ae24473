"""`HandlerTimeouts`: a handler that runs for too long is cancelled once, and no other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextvars import copy_context
from typing import Any, NamedTuple

import pytest
import websockets

from wspulse import Connection, Frame, Server
from wspulse.actors.journal.slow_handlers import SlowHandlers
from wspulse.actors.sessions.patience.handler_timeouts import HandlerTimeouts


class Id(NamedTuple):
    id: str


class Inbox:
    def __init__(self, connection_id: str, handling: Any) -> None:
        self.connection = Id(connection_id)
        self.handling = handling

    def refuses(self, item: Any, error: BaseException) -> None:
        raise AssertionError


class Stage:
    """Looks when the test says so."""

    def __init__(self, timeout_s: float = 8.0) -> None:
        self.working: list[Inbox] = []
        self.cancelled: list[tuple[str, str]] = []
        self.slow: list[str] = []
        self.delays: list[float] = []
        self.calls: list[Callable[[], None]] = []
        loop: Any = self
        self.slow_handlers = SlowHandlers(
            loop, self.working, 4 * timeout_s, lambda *what: self.slow.append(what[2]) if timeout_s else None
        )
        self.timeouts = HandlerTimeouts(
            loop,
            copy_context(),
            self.working,
            timeout_s,
            lambda inbox, error: self.cancelled.append((inbox.connection.id, str(error))),
        )

    def call_later(self, delay_s: float, call: Callable[[], None], context: object = None) -> Any:
        self.delays.append(delay_s)
        self.calls.append(call)
        return self

    def cancel(self) -> None:
        self.calls.clear()

    def look(self, times: int = 1) -> None:
        for _ in range(times):
            self.timeouts._look()


def test_handler_is_cancelled_once_when_it_has_run_for_so_long() -> None:
    stage = Stage()
    stage.working.append(Inbox("ada", (Frame("upload"), 0)))
    stage.look(4)  # it is found at the first, and so has run for up to 8 s
    assert stage.cancelled == []
    stage.look()
    assert stage.cancelled == [("ada", "wspulse: on_message ran longer than handler_timeout (8 s)")]
    stage.look(20)
    assert len(stage.cancelled) == 1


def test_those_who_look_for_slow_handlers_and_for_late_ones_do_not_count_each_others_looks() -> None:
    stage = Stage()
    stage.working.append(Inbox("ada", (Frame("upload"), 0)))
    for _ in range(4):
        stage.look()
        stage.slow_handlers._look()
    assert (stage.cancelled, stage.slow) == ([], [])
    stage.slow_handlers._look()
    assert (stage.cancelled, stage.slow) == ([], ["ada"])
    stage.look()
    assert len(stage.cancelled) == 1


def test_busy_session_whose_handlers_each_return_is_not_late() -> None:
    stage = Stage()
    inbox = Inbox("ada", None)
    stage.working.append(inbox)
    stage.look()
    for number in range(20):
        inbox.handling = (Frame(str(number)), 0)
        stage.look(4)
    assert stage.cancelled == []


@pytest.mark.parametrize(("timeout_s", "period_s", "looks"), [(8.0, 2.0, 5), (0.03, 0.01, 4), (0.001, 0.01, 2)])
def test_looks_are_a_quarter_of_the_time_apart_and_ten_milliseconds_at_least(
    timeout_s: float, period_s: float, looks: int
) -> None:
    stage = Stage(timeout_s)
    stage.working.append(Inbox("ada", (Frame("upload"), 0)))
    assert stage.delays[-1] == period_s
    stage.look(looks - 1)
    assert stage.cancelled == []
    stage.look()
    assert len(stage.cancelled) == 1


def test_nobody_looks_where_it_is_off_or_stopped() -> None:
    assert Stage(0.0).delays == []
    stage = Stage()
    stage.timeouts.stop()
    assert stage.calls == []


async def test_handler_ends_within_a_quarter_more_than_it_may_run_and_its_callbacks_are_not_cancelled() -> None:
    server = Server(lambda _request: ("room", "ada"), handler_timeout=0.4)
    ran_s: list[float] = []
    ended: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()

    @server.on_connect
    async def on_connect(_connection: Connection) -> None:
        await asyncio.sleep(0.7)

    @server.on_message
    async def on_message(_connection: Connection, _frame: Frame) -> None:
        begun = time.monotonic()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ran_s.append(time.monotonic() - begun)

    @server.on_disconnect
    def on_disconnect(_connection: Connection, error: BaseException | None) -> None:
        ended.set_result(error)

    async with server.serve() as running, websockets.connect(running.url) as client:
        await client.send("{}")
        with pytest.raises(websockets.ConnectionClosedError) as closed:
            await client.recv()
        error = await asyncio.wait_for(ended, 5)
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1011, "internal error")
    assert isinstance(error, TimeoutError)
    assert isinstance(error.__cause__, asyncio.CancelledError)
    assert 0.39 <= ran_s[0] < 1.5
