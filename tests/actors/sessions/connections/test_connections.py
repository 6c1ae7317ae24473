"""What an application sees of its connections, on their own shard and from another one."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.support.eventually import eventually
from tests.support.shards.shards import Shards, serve_shards
from wspulse import Connection, ConnectionClosedError, Frame, Request, Server
from wspulse.actors.mesh.placement import Placement
from wspulse.actors.sessions.connections.connection import Resumption

SHARDS = 2


class NoMsgpack:
    """What an application may hang on a connection, and no other process can have."""


def made(**options: Any) -> Server:
    def who(request: Request) -> tuple[str, str, dict[str, Any]]:
        return "room", request.query["id"], {"role": request.query.get("role", "guest")}

    return Server(who, subprotocols=["one", "two"], **options)


async def dialled(shards: Shards, shard: int, name: str = "", query: str = "", **options: Any) -> ClientConnection:
    name = name or Placement(SHARDS).new_id(shard)
    return await connect(f"{shards.url}?id={name}{query}", proxy=None, **options)


def _is_suspended(connection: Connection) -> bool:
    return connection.suspended


async def both(shards: Shards) -> tuple[Connection, Connection]:
    """The one connection that there is, as its own shard 0 sees it, and as shard 1 does."""
    (local,) = await shards.servers[0].get_connections("room")
    (remote,) = await shards.servers[1].get_connections("room")
    return local, remote


async def test_state_is_a_snapshot_on_other_shards_that_nobody_can_change() -> None:
    async with serve_shards(made, SHARDS) as shards, await dialled(shards, 0):
        local, remote = await both(shards)
        local.state["socket"] = NoMsgpack()
        local.state["score"] = [1, 2]
        assert local.state["role"] == remote.state["role"] == "guest"
        _, remote = await both(shards)
        assert remote.state == {"role": "guest", "score": [1, 2]}
        with pytest.raises(TypeError):
            remote.state["role"] = "admin"
        local.state.clear()
        _, remote = await both(shards)
        assert remote.state == {}


async def test_subprotocol_is_that_of_the_last_upgrade() -> None:
    async with serve_shards(lambda: made(resume_window=30), SHARDS) as shards:
        name = Placement(SHARDS).new_id(0)
        async with await dialled(shards, 0, name, subprotocols=["two"]) as client:
            assert [each.subprotocol for each in await both(shards)] == ["two", "two"]
            client.transport.abort()
        async with await dialled(shards, 0, name):
            assert [each.subprotocol for each in await both(shards)] == [None, None]


async def test_suspended_and_queued_tell_of_a_session_that_waits_for_its_client() -> None:
    async with serve_shards(lambda: made(resume_window=30), SHARDS) as shards:
        client = await dialled(shards, 0)
        local, _ = await both(shards)
        assert [(each.suspended, each.queued) for each in await both(shards)] == [(False, 0)] * 2
        client.transport.abort()
        await eventually(lambda: local.suspended, "the server has noticed")
        for _ in range(3):
            await local.send(Frame("waits"))
        assert [(each.suspended, each.queued) for each in await both(shards)] == [(True, 3)] * 2


async def test_latency_is_unknown_until_the_first_pong_and_that_of_the_last_one_then() -> None:
    async with serve_shards(lambda: made(ping_period=0.1), SHARDS) as shards, await dialled(shards, 0):
        local, remote = await both(shards)
        assert (local.latency_s, remote.latency_s) == (None, None)
        await eventually(lambda: local.latency_s is not None, "a ping was answered")
        _, remote = await both(shards)
        assert local.latency_s is not None
        assert remote.latency_s is not None
        assert 0 <= local.latency_s < 5


async def test_what_a_reconnect_brought_is_there_in_its_restore_handler_and_the_first_request_and_state_stay() -> None:
    seen: list[tuple[str, Any, Resumption | None]] = []

    def served() -> Server:
        server = made(resume_window=30)

        def note(connection: Connection) -> None:
            seen.append((connection.request.query.get("role", ""), connection.state["role"], connection.resumed_with))

        server.on_connect(note)
        server.on_transport_restore(note)
        return server

    async with serve_shards(served, SHARDS) as shards:
        name = Placement(SHARDS).new_id(0)
        for role in ("first", "second", "third"):
            client = await dialled(shards, 0, name, f"&role={role}")
            await eventually(lambda: seen and seen[-1][0] == "first", "its handler has run")
            (local,) = await shards.servers[0].get_connections("room")
            client.transport.abort()
            await eventually(partial(_is_suspended, local), "the server has noticed")
        (remote,) = await shards.servers[1].get_connections("room")
        with pytest.raises(RuntimeError, match="`resumed_with` works only there"):
            _ = remote.resumed_with
    assert [(request, state) for request, state, _ in seen] == [("first", "first")] * 3
    assert seen[0][2] is None
    brought = [resumption for _, _, resumption in seen[1:] if resumption is not None]
    assert [(each.request.query["role"], each.state) for each in brought] == [
        ("second", {"role": "second"}),
        ("third", {"role": "third"}),
    ]


async def test_local_connections_and_rooms_are_those_of_this_process() -> None:
    async with (
        serve_shards(made, SHARDS) as shards,
        await dialled(shards, 0) as first,
        await dialled(shards, 1) as second,
    ):
        names = [client.request.path.rpartition("=")[2] for client in (first, second)]  # type: ignore[union-attr]
        for server, name, other in zip(shards.servers, names, reversed(names), strict=True):
            assert [each.id for each in server.local_connections()] == [name]
            found = server.local_connection(name)
            assert found is not None
            assert found.id == name
            assert server.local_connection(other) is None
            assert server.local_rooms() == {"room": 1}


@pytest.mark.parametrize("seen_from", [0, 1], ids=["its own shard", "another shard"])
async def test_send_wait_waits_for_room_in_the_buffer_and_loses_nothing(seen_from: int) -> None:
    count, filling = 200, "x" * 100_000
    async with (
        serve_shards(lambda: made(send_buffer_size=2, write_wait=20), SHARDS) as shards,
        await dialled(shards, 0, max_queue=1, max_size=None) as client,
    ):
        client.transport.pause_reading()
        (connection,) = await shards.servers[seen_from].get_connections("room")

        async def send() -> None:
            for number in range(count):
                await connection.send_wait(Frame("numbered", [number, filling]))

        sending = asyncio.create_task(send())
        (local,) = shards.servers[0].local_connections()
        await eventually(lambda: local.queued == 2, "its buffer is full")
        assert not sending.done()
        client.transport.resume_reading()
        heard = [json.loads(await asyncio.wait_for(client.recv(), 10))["payload"][0] for _ in range(count)]
        await sending
    assert heard == list(range(count))


@pytest.mark.parametrize("how", ["kicked", "dropped", "cancelled"])
async def test_send_wait_ends_with_its_session_or_its_caller(how: str) -> None:
    async with serve_shards(lambda: made(send_buffer_size=1, write_wait=20), SHARDS) as shards:
        client = await dialled(shards, 0, max_queue=1)
        client.transport.pause_reading()
        (local,) = shards.servers[0].local_connections()

        async def send() -> None:
            while True:
                await local.send_wait(Frame("x", "x" * 100_000))

        sending = [asyncio.create_task(send()) for _ in range(3)]
        await eventually(lambda: local.queued == 1, "its buffer is full")
        if how == "kicked":
            await shards.servers[0].kick(local.id)
        elif how == "dropped":
            client.transport.abort()
        else:
            for task in sending:
                task.cancel()
        ends = await asyncio.wait_for(asyncio.gather(*sending, return_exceptions=True), 10)
        expected = asyncio.CancelledError if how == "cancelled" else ConnectionClosedError
        assert [type(end) for end in ends] == [expected] * 3
        client.transport.abort()
