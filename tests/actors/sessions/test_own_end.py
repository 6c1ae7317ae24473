"""A callback that sends to its own session, which has ended meanwhile, is no error; of another session's end it is one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest
import websockets

from tests.support.eventually import eventually
from wspulse import Connection, ConnectionClosedError, EventRouter, Frame, Server, recovery

FRAME = '{"event": "a"}'


async def plainly(connection: Connection) -> None:
    await connection.send(Frame("answer"))


async def in_tasks(connection: Connection) -> None:
    async with asyncio.TaskGroup() as group:
        for _ in range(2):
            group.create_task(connection.send(Frame("answer")))


@pytest.mark.parametrize("answer", [plainly, in_tasks])
async def test_answer_to_a_client_that_has_left_is_no_error_and_what_it_had_sent_is_handled(
    answer: Callable[[Connection], Awaitable[None]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server = Server(lambda _request: ("room", "ada"))
    gate = asyncio.Event()
    handled: list[str] = []
    ended: list[BaseException | None] = []

    @server.on_message
    async def on_message(connection: Connection, frame: Frame) -> None:
        handled.append(frame.event)
        await gate.wait()
        await answer(connection)

    @server.on_disconnect
    def on_disconnect(_connection: Connection, error: BaseException | None) -> None:
        ended.append(error)

    async with server.serve("127.0.0.1", 0) as running:
        client = await websockets.connect(running.url)
        for event in "abc":
            await client.send(f'{{"event": "{event}"}}')
        await eventually(lambda: handled, "the first is handled")
        await client.close()
        gate.set()
        await eventually(lambda: ended, "the session has ended")
    assert (handled, ended) == (["a", "b", "c"], [None])
    assert [record.message for record in caplog.records if record.levelno > logging.INFO] == []
    quiet = [record for record in caplog.records if "had ended" in record.message]
    assert [vars(record)["connection_id"] for record in quiet] == ["ada"] * 3
    assert [record.exc_info for record in quiet] == [None] * 3


async def test_recovery_says_nothing_of_a_client_that_has_left(caplog: pytest.LogCaptureFixture) -> None:
    server = Server(lambda _request: ("room", "ada"))
    router = EventRouter()
    router.use(recovery())
    gate = asyncio.Event()
    begun: list[str] = []

    @router.on("a")
    async def a(context) -> None:  # type: ignore[no-untyped-def]
        begun.append(context.frame.event)
        await gate.wait()
        await context.connection.send(Frame("answer"))

    server.on_message(router)
    async with server.serve("127.0.0.1", 0) as running:
        async with websockets.connect(running.url) as client:
            await client.send(FRAME)
            await eventually(lambda: begun, "it is handled")
        gate.set()
    assert begun == ["a"]
    assert [record.message for record in caplog.records] == []


async def test_end_of_another_session_is_an_error_of_the_handler_that_it_is_raised_in(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = Server(lambda request: ("room", request.query["id"]))
    known: dict[str, Connection] = {}

    @server.on_connect
    def on_connect(connection: Connection) -> None:
        known[connection.id] = connection

    @server.on_message
    async def on_message(_connection: Connection, _frame: Frame) -> None:
        await known["bob"].send(Frame("news"))

    async with server.serve("127.0.0.1", 0) as running:
        async with websockets.connect(f"{running.url}?id=bob"):
            await eventually(lambda: known, "bob is known")
        await eventually(lambda: known["bob"].closed, "bob has left")
        async with websockets.connect(f"{running.url}?id=ada") as ada:
            await ada.send(FRAME)
            with pytest.raises(websockets.ConnectionClosedError):
                await ada.recv()
            assert ada.close_code == 1011
    (line,) = caplog.records
    assert (line.message, line.levelname) == ("callback raised", "ERROR")
    assert isinstance(line.exc_info and line.exc_info[1], ConnectionClosedError)


async def test_end_of_an_earlier_session_of_ones_id_is_an_error_while_ones_own_lives(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = Server(lambda _request: ("room", "ada"))
    known: list[Connection] = []
    server.on_connect(known.append)

    @server.on_message
    async def on_message(_connection: Connection, _frame: Frame) -> None:
        await known[0].send(Frame("news"))

    async with server.serve("127.0.0.1", 0) as running:
        async with websockets.connect(running.url):
            await eventually(lambda: known, "the first is known")
        async with websockets.connect(running.url) as second:
            await second.send(FRAME)
            with pytest.raises(websockets.ConnectionClosedError):
                await second.recv()
    assert [record.message for record in caplog.records] == ["callback raised"]
