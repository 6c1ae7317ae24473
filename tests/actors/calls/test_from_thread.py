"""Calls from other threads than the loop's: `server.from_thread` brings them there, and nothing else passes."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from websockets.asyncio.client import connect

from tests.support.processes.server_process import wait_until
from wspulse import (
    Connection,
    ConnectionNotFoundError,
    Frame,
    SendBufferFullError,
    Server,
    ServerClosedError,
    ShardUnavailableError,
)
from wspulse.actors.calls import from_thread
from wspulse.actors.calls.from_thread import FromThread


def made() -> Server:
    return Server(lambda request: ("room", request.query.get("id", "")))


async def test_what_a_thread_sends_and_broadcasts_arrives_in_the_order_of_its_calls() -> None:
    server = made()
    async with server.serve() as running, connect(f"{running.url}?id=ada", proxy=None) as client:

        def work() -> None:
            for number in range(50):
                server.from_thread.send("ada", Frame("sent", number))
            for number in range(50):
                server.from_thread.broadcast("room", Frame("said", number))

        await asyncio.to_thread(work)
        heard = [await asyncio.wait_for(client.recv(), 5) for _ in range(100)]
    assert [f'"payload":{number}' in str(text) for text, number in zip(heard, [*range(50)] * 2, strict=True)] == [
        True
    ] * 100


async def test_thread_kicks_with_a_reason_and_is_done_when_the_session_is_gone() -> None:
    server = made()
    async with server.serve() as running, connect(f"{running.url}?id=ada", proxy=None) as client:
        await asyncio.to_thread(server.from_thread.kick, "ada", 4003, "banned")
        assert await server.get_connections("room") == []
        await client.wait_closed()
        assert (client.close_code, client.close_reason) == (4003, "banned")


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda server: server.from_thread.send("nobody", Frame()), ConnectionNotFoundError),
        (lambda server: server.from_thread.send(5, Frame()), TypeError),
        (lambda server: server.from_thread.broadcast("room", Frame("e", object())), TypeError),
        (lambda server: server.from_thread.kick("nobody"), ConnectionNotFoundError),
        (lambda server: server.from_thread.kick("nobody", 1005), ValueError),
    ],
    ids=["unknown id", "no string", "unencodable", "kick of nobody", "bad code"],
)
async def test_thread_gets_the_error_of_the_servers_own_method(
    call: Callable[[Server], None], error: type[Exception]
) -> None:
    server = made()
    async with server.serve():
        with pytest.raises(error):
            await asyncio.to_thread(call, server)


async def test_full_buffer_is_the_threads_error() -> None:
    server = Server(lambda request: ("room", "ada"), send_buffer_size=1, write_wait=5)
    async with server.serve() as running, connect(running.url, proxy=None, max_queue=1) as client:
        client.transport.pause_reading()

        def flood() -> None:
            while True:
                server.from_thread.send("ada", Frame("x", "x" * 100_000))

        with pytest.raises(SendBufferFullError):
            await asyncio.to_thread(flood)
        client.transport.abort()


async def test_call_in_the_loops_own_thread_is_refused_and_changes_nothing() -> None:
    server = made()
    async with server.serve() as running, connect(f"{running.url}?id=ada", proxy=None) as client:
        calls: list[Callable[[], None]] = [
            lambda: server.from_thread.send("ada", Frame("e")),
            lambda: server.from_thread.broadcast("room", Frame("e")),
            lambda: server.from_thread.kick("ada"),
        ]
        for call in calls:
            with pytest.raises(RuntimeError, match=r"wspulse: server\.from_thread would block the server's own thread"):
                call()
        await server.send("ada", Frame("the only one"))
        assert "the only one" in str(await asyncio.wait_for(client.recv(), 5))


def other_thread_calls(server: Server, connection: Connection) -> dict[str, Callable[[], Any]]:
    return {
        "connection.send_nowait": lambda: connection.send_nowait(Frame("e")),
        "connection.send": lambda: asyncio.run(connection.send(Frame("e"))),
        "connection.close": lambda: asyncio.run(connection.close()),
        "server.send": lambda: asyncio.run(server.send("ada", Frame("e"))),
        "server.broadcast": lambda: asyncio.run(server.broadcast("room", Frame("e"))),
        "server.broadcast_nowait": lambda: server.broadcast_nowait("room", Frame("e")),
        "server.kick": lambda: asyncio.run(server.kick("ada")),
        "server.get_connections": lambda: asyncio.run(server.get_connections("room")),
    }


@pytest.mark.parametrize(
    "name",
    [
        "connection.send_nowait", "connection.send", "connection.close", "server.send", "server.broadcast",
        "server.broadcast_nowait", "server.kick", "server.get_connections",
    ],
)  # fmt: skip
async def test_call_of_another_thread_is_refused_at_once_and_named_its_way(name: str) -> None:
    server = made()
    async with server.serve() as running, connect(f"{running.url}?id=ada", proxy=None) as client:
        (connection,) = await server.get_connections("room")
        with pytest.raises(RuntimeError, match="wspulse: this thread is not the server's; call `"):
            await asyncio.to_thread(other_thread_calls(server, connection)[name])
        await server.send("ada", Frame("the only one"))
        assert "the only one" in str(await asyncio.wait_for(client.recv(), 5))


def test_thread_has_nothing_to_call_before_the_server_runs() -> None:
    with pytest.raises(RuntimeError, match="wspulse: the server is not running"):
        _ = made().from_thread


def test_call_to_a_loop_that_has_ended_says_that_the_server_is_closed() -> None:
    server = made()
    calls: list[FromThread] = []

    async def life() -> None:
        async with server.serve():
            calls.append(server.from_thread)

    thread = threading.Thread(target=asyncio.run, args=[life()])
    thread.start()
    thread.join()
    with pytest.raises(ServerClosedError):
        calls[0].send("ada", Frame())


def test_call_that_a_loop_ends_without_having_begun_says_at_once_that_the_server_is_closed() -> None:
    loop = asyncio.new_event_loop()
    calls = FromThread(made(), loop, threading.get_ident())
    failed: list[BaseException] = []

    def work() -> None:
        try:
            calls.send("ada", Frame())
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    wait_until(lambda: loop._ready, 5, "the call waits for the loop")  # type: ignore[attr-defined]
    loop.close()
    thread.join(2)
    assert [type(error) for error in failed] == [ServerClosedError]


async def test_call_that_a_blocked_loop_does_not_begin_in_time_fails_and_takes_no_effect_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(from_thread, "ASK_TIMEOUT_S", 0.1)
    server = made()
    async with server.serve() as running, connect(f"{running.url}?id=ada", proxy=None) as client:
        failed: list[BaseException] = []
        begun = threading.Event()

        def work() -> None:
            begun.set()
            try:
                server.from_thread.send("ada", Frame("too late"))
            except ShardUnavailableError as error:
                failed.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        begun.wait()
        while not failed:
            time.sleep(0.01)  # noqa: ASYNC251  the loop is to stand still
        thread.join()
        await server.send("ada", Frame("the only one"))
        assert "the only one" in str(await asyncio.wait_for(client.recv(), 5))


async def test_many_threads_call_at_once_and_each_has_its_own_outcome() -> None:
    server = made()
    async with server.serve() as running, connect(f"{running.url}?id=ada", proxy=None, max_queue=None) as client:

        def work(number: int) -> str:
            server.from_thread.send("ada", Frame("sent", number))
            try:
                server.from_thread.send(f"nobody {number}", Frame())
            except ConnectionNotFoundError as error:
                return error.connection_id
            return ""

        outcomes = await asyncio.gather(*(asyncio.to_thread(work, number) for number in range(40)))
        assert outcomes == [f"nobody {number}" for number in range(40)]
        heard = {str(await asyncio.wait_for(client.recv(), 5)) for _ in range(40)}
    assert len(heard) == 40
