"""A runtime that is one of several hosts, as its application and its clients see it."""

from __future__ import annotations

import asyncio
import json

import pytest
from websockets.asyncio.client import connect

from tests.support.cluster.runtimes import real_hosts
from tests.support.eventually import eventually
from wspulse import Connection, ConnectionNotFoundError, Frame, Server
from wspulse.actors.mesh.placing.yields import YieldOver


def make_server() -> Server:
    server = Server(lambda request: ("lobby", request.query["id"]), resume_window=5, on_duplicate="resume")

    @server.on_message
    async def on_message(connection: Connection, frame: Frame) -> None:
        connection.state["said"] = frame.decode()

    return server


async def test_application_reaches_sessions_of_other_hosts() -> None:
    async with real_hosts(make_server) as (here, there), connect(f"{there.url}?id=ada") as ada:
        for number in range(3):
            await here.server.send("ada", Frame("direct", number))
        got = [json.loads(await ada.recv())["payload"] for _ in range(3)]
        assert got == [0, 1, 2]
        [connection] = await here.server.get_connections("lobby")
        assert connection.id == "ada"
        await connection.send(Frame("direct", 3))
        assert json.loads(await ada.recv())["payload"] == 3
        await here.server.kick("ada")
        await ada.wait_closed()
        assert ada.close_reason == "kicked"
        with pytest.raises(ConnectionNotFoundError):
            await here.server.send("ada", Frame("direct", 4))


async def test_calls_that_do_not_wait_for_each_other_keep_their_order() -> None:
    async with real_hosts(make_server) as (here, there), connect(f"{there.url}?id=ada") as ada:
        await asyncio.gather(*(here.server.send("ada", Frame("direct", number)) for number in range(50)))
        assert [json.loads(await ada.recv())["payload"] for _ in range(50)] == list(range(50))


async def test_presence_has_members_of_all_hosts() -> None:
    async with (
        real_hosts(make_server) as (here, there),
        connect(f"{here.url}?id=ada") as ada,
        connect(f"{there.url}?id=bob"),
    ):
        await ada.send(json.dumps({"event": "say", "payload": "hello"}))
        runtime = here.runtime
        await eventually(lambda: runtime.shard.sessions["ada"].connection.state, "it is handled")
        for host in (here, there):
            members = {member.id: member.state for member in await host.server.presence("lobby")}
            assert members == {"ada": {"said": "hello"}, "bob": {}}


async def test_session_goes_on_where_its_client_is_back() -> None:
    async with real_hosts(make_server) as (here, there), connect(f"{here.url}?id=ada") as old:
        await old.send(json.dumps({"event": "say", "payload": "hello"}))
        await eventually(lambda: here.runtime.shard.sessions["ada"].connection.state, "it is handled")
        kept = here.runtime.shard.sessions["ada"].connection
        async with connect(f"{there.url}?id=ada") as new:
            await old.wait_closed()
            assert old.close_reason == "replaced"
            connection = there.server.local_connection("ada")
            assert connection is not None
            assert connection.state == {"said": "hello"}
            assert here.server.local_connection("ada") is None
            await kept.send(Frame("direct", 1))
            assert json.loads(await new.recv())["payload"] == 1


async def test_server_closes_while_a_session_is_between_two_hosts() -> None:
    async with real_hosts(make_server) as (here, there), connect(f"{here.url}?id=ada"):
        # The taker never says what has become of it.
        there.gateway.drops = lambda message: isinstance(message, YieldOver)
        async with connect(f"{there.url}?id=ada"):
            assert len(here.runtime.shard.members(None)) == 1
            await here.runtime.drain()
            assert here.runtime.shard.members(None) == []
            assert there.server.local_connection("ada") is not None
