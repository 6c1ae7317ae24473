"""The `Server` object: what it refuses at declaration, before it runs and after it closed."""

from __future__ import annotations

import asyncio
import inspect
import logging
from contextlib import suppress
from dataclasses import fields
from functools import partial
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.support.eventually import eventually
from tests.support.shards.shards import serve_shards
from wspulse import (
    Connection,
    ConnectionClosedError,
    ConnectionNotFoundError,
    Frame,
    JSONCodec,
    MsgpackCodec,
    Request,
    Server,
    ServerClosedError,
)
from wspulse.actors.sessions.handlers import Handlers
from wspulse.actors.values.options.server_options import ServerOptions


def identify(request: Request) -> tuple[str, str]:
    return request.query.get("room", "lobby"), request.query.get("id", "")


@pytest.mark.parametrize("name", ["connect", "on_connect", "on_message", "on_disconnect", "on_start", "on_stop"])
def test_callback_that_is_not_callable_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"^wspulse: {name}: "):
        getattr(Server(identify), name)(5)


def test_signature_names_every_callback_and_option_with_its_default() -> None:
    """It is written out, for editors and type checkers; what it says are the options' own defaults."""
    connect, *parameters = inspect.signature(Server).parameters.values()
    assert (connect.name, connect.default, connect.kind) == ("connect", None, connect.POSITIONAL_OR_KEYWORD)
    assert {parameter.kind for parameter in parameters} == {inspect.Parameter.KEYWORD_ONLY}
    callbacks = [callback.name for callback in fields(Handlers)]
    options = [option.name for option in fields(ServerOptions)]
    assert [parameter.name for parameter in parameters] == [*callbacks, *options]
    declared = {parameter.name: parameter.default for parameter in parameters}
    defaults: dict[str, object] = {name: getattr(ServerOptions(), name) for name in options}
    # Of the first two each server has an object of its own, or that of its process; no names are None (contract §5).
    assert type(defaults["codec"]) is JSONCodec
    assert defaults["logger"] is logging.getLogger("wspulse")
    assert defaults["subprotocols"] == ()
    expected = {**dict.fromkeys(callbacks), **defaults, "codec": None, "logger": None, "subprotocols": None}
    assert declared == expected
    assert {name: type(value) for name, value in declared.items()} == {
        name: type(value) for name, value in expected.items()
    }


def test_every_callback_and_option_that_is_given_arrives() -> None:
    def handler(*_: object) -> None:
        pass

    callbacks: dict[str, Any] = {callback.name: handler for callback in fields(Handlers)}
    options: dict[str, Any] = {
        "resume_window": 7.0,
        "suspend_on_clean_close": False,
        "on_duplicate": "resume",
        "subprotocols": ("v1",),
        "ping_period": 1.0,
        "pong_wait": 2.0,
        "write_wait": 3.0,
        "max_message_size": 4,
        "send_buffer_size": 5,
        "send_buffer_bytes": 2048,
        "max_rooms_per_connection": 10,
        "max_connections": 13,
        "max_connections_per_address": 14,
        "accept_rate": 15,
        "max_frames_per_second": 11,
        "max_bytes_per_second": 12,
        "compression": "deflate",
        "codec": MsgpackCodec(),
        "check_origin": handler,
        "handshake_timeout": 6.0,
        "slow_handler": 8.0,
        "handler_timeout": 9.0,
        "cancel_on_disconnect": True,
        "access_log": True,
        "publish_messages": True,
        "http_app": handler,
        "client": False,
        "index": False,
        "logger": logging.getLogger("mine"),
    }
    server = Server(identify, **callbacks, **options)
    assert {option.name: getattr(server.options, option.name) for option in fields(ServerOptions)} == options
    assert server.handlers == callbacks
    assert server.checked_connect() is identify


async def test_server_without_connect_does_not_run() -> None:
    with pytest.raises(ValueError, match=r"^wspulse: connect: required"):
        async with Server().serve():
            pass


async def test_calls_before_the_server_runs_are_errors() -> None:
    server = Server(identify)
    for call in (
        server.send("a", Frame()),
        server.broadcast("a", Frame()),
        server.kick("a"),
        server.get_connections("a"),
        server.close(),
    ):
        with pytest.raises(RuntimeError, match="not running"):
            await call
    with pytest.raises(RuntimeError, match="not running"):
        server.broadcast_nowait("a", Frame())
    with pytest.raises(RuntimeError, match="not running"):
        _ = server.shard


@pytest.mark.parametrize("shards", [1, 3])
async def test_calls_after_the_server_closed_say_so(shards: int) -> None:
    async with serve_shards(lambda: Server(identify), shards) as running:
        servers = running.servers
    for server in servers:
        for name in ("a", "b", "c"):
            with pytest.raises(ConnectionNotFoundError):
                await server.send(name, Frame())
            with pytest.raises(ServerClosedError):
                await server.kick(name)
        with pytest.raises(ServerClosedError):
            await server.broadcast("room", Frame())
        with pytest.raises(ServerClosedError):
            await server.get_connections("room")


async def test_close_is_idempotent_and_may_be_called_from_many_places_at_once() -> None:
    server = Server(identify)
    ended = []
    server.on_disconnect(lambda connection, error: ended.append(type(error).__name__))
    async with server.serve() as running:
        async with connect(f"{running.url}?id=a", ping_interval=None) as client:
            await asyncio.gather(*(server.close() for _ in range(5)))
            await client.wait_closed()
            assert client.close_code == 1001
        await server.close()
    assert ended == ["ServerClosedError"]


async def test_close_from_inside_each_callback_never_deadlocks() -> None:
    for callback in ("on_connect", "on_message", "on_disconnect"):
        server = Server(identify)
        done = asyncio.Event()

        async def handler(*_: object, server: Server = server, done: asyncio.Event = done) -> None:
            await server.close()
            done.set()

        getattr(server, callback)(handler)
        async with server.serve() as running:
            async with connect(f"{running.url}?id=a", ping_interval=None) as client:
                with suppress(ConnectionClosed):
                    await client.send("{}")
            async with asyncio.timeout(5):
                await done.wait()


async def test_close_from_the_handlers_of_several_sessions_at_once_never_deadlocks() -> None:
    server = Server(identify)
    here = asyncio.Barrier(3)
    done = []

    @server.on_message
    async def end(connection: Connection, frame: Frame) -> None:
        await here.wait()
        await server.close()
        done.append(connection.id)

    async with server.serve() as running:
        clients = [await connect(f"{running.url}?id={name}", ping_interval=None) for name in "abc"]
        for client in clients:
            await client.send("{}")
        await eventually(lambda: sorted(done) == ["a", "b", "c"], "every close has returned")
        for client in clients:
            await client.wait_closed()


async def test_connection_close_and_wait_closed_inside_handlers_never_deadlock() -> None:
    server = Server(identify)
    ended = asyncio.Event()

    @server.on_message
    async def end(connection: Connection, frame: Frame) -> None:
        await connection.close()
        await connection.wait_closed()
        assert connection.closed
        with pytest.raises(ConnectionClosedError):
            await connection.send(Frame())

    @server.on_disconnect
    async def wait(connection: Connection, error: BaseException | None) -> None:
        await connection.wait_closed()
        await connection.close()
        ended.set()

    async with server.serve() as running, connect(f"{running.url}?id=a", ping_interval=None) as client:
        await client.send("{}")
        async with asyncio.timeout(5):
            await ended.wait()


async def test_hooks_run_once_and_stop_hooks_in_reverse() -> None:
    server = Server(identify)
    ran: list[str] = []
    server.on_start(lambda: ran.append("start 1"))
    server.on_stop(lambda: ran.append("stop 1"))

    @server.on_start
    async def start() -> None:
        ran.append(f"start 2 of shard {server.shard} of {server.workers}")

    @server.on_stop
    async def stop() -> None:
        ran.append("stop 2")

    async with server.serve():
        pass
    assert ran == ["start 1", "start 2 of shard 0 of 1", "stop 2", "stop 1"]


async def test_server_can_be_served_again_after_it_ended() -> None:
    server = Server(identify)
    for _ in range(2):
        async with server.serve() as running, connect(f"{running.url}?id=a", ping_interval=None):
            assert [connection.id for connection in await server.get_connections("lobby")] == ["a"]


def _has(entries: list[dict[str, object]], count: int) -> bool:
    return len(entries) == count


async def test_state_travels_with_the_socket_and_survives_as_plain_values() -> None:
    seen: list[dict[str, object]] = []

    def make() -> Server:
        server = Server(lambda request: ("room", request.query["id"], {"roles": ("a", "b"), "age": 7}))
        server.on_connect(lambda connection: seen.append(connection.state))
        return server

    async with serve_shards(make, 3) as shards:
        for number in range(6):
            async with connect(f"{shards.url}?id={number}", ping_interval=None):
                await eventually(partial(_has, seen, number + 1), "it has connected")
    assert seen == [{"roles": ["a", "b"], "age": 7}] * 6


async def test_upgrade_for_a_shard_that_is_being_replaced_waits_for_the_replacement() -> None:
    async with serve_shards(lambda: Server(identify), 2) as shards:
        placement = shards.runtimes[0].placement
        name = next(f"n{number}" for number in range(50) if placement.shard_of(f"n{number}") == 1)
        await shards.stop_shard(1)
        joining = asyncio.create_task(connect(f"{shards.url}?id={name}", ping_interval=None).__aenter__())
        await eventually(lambda: shards.runtimes[0].shard.metrics.handovers_out == 1, "it is on its way")
        await shards.start_shard(1)
        client = await joining
        assert shards.runtimes[1].connections == 1
        await client.close()
