"""What calls refuse, by one rule wherever the server runs: alone, as one of several shards, or behind a control socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest

from tests.support.eventually import eventually
from tests.support.shards.shards import serve_shards
from tests.support.wire.raw_peer import RawPeer
from wspulse import Codec, ConnectionNotFoundError, Frame, JSONCodec, RawCodec, Server
from wspulse.actors.asgi.remote_server import RemoteServer, RemoteServerConnection
from wspulse.actors.wire.encoder import wire_encoder

HALF = "half \ud83d"
"""An id that nobody can have."""

FRAME: Any = Frame("said")


class Stage(NamedTuple):
    server: Any
    """Untyped, as whoever passes what he should not."""
    connection: Any


class Ann(NamedTuple):
    """As the control socket lists her."""

    id: str = "ann"
    room: str = "room"
    rooms: tuple[str, ...] = ("room",)
    state: str = "connected"
    queued: int = 0


def make_server() -> Server:
    return Server(lambda request: ("room", request.query["id"]))


@asynccontextmanager
async def stage_of(deployment: str) -> AsyncIterator[Stage]:
    """A server, and a connection of the deployment's last shard as the first one sees it."""
    if deployment == "joined":
        server = make_server()
        server.asgi(join="ipc:///nowhere/control.sock")
        remote = server._deployment
        assert isinstance(remote, RemoteServer)
        yield Stage(server, RemoteServerConnection(remote, Ann()))
        await remote.stop()
        return
    count = int(deployment)
    async with serve_shards(make_server, count) as shards:
        name = shards.runtimes[0].placement.new_id(count - 1)
        peer = await RawPeer.upgraded(shards.port, f"/ws?id={name}")
        await eventually(lambda: len(shards.runtimes[0].up_shards) >= count - 1, "the first shard knows the others")
        (connection,) = await shards.servers[0].get_connections("room")
        yield Stage(shards.servers[0], connection)
        await peer.close()


deployments = pytest.mark.parametrize("deployment", ["1", "3", "joined"])


async def as_async(call: Callable[[], Any]) -> Any:
    return call()


def calls_with(stage: Stage, given: Any) -> dict[str, Callable[[], Awaitable[Any]]]:
    """Every call in which `given` stands for an id."""
    server, connection = stage
    calls: dict[str, Callable[[], Awaitable[Any]]] = {
        "send": lambda: server.send(given, FRAME),
        "kick": lambda: server.kick(given),
        "broadcast": lambda: server.broadcast(given, FRAME),
        "broadcast, exclude": lambda: server.broadcast("room", FRAME, exclude=[given]),
        "presence": lambda: server.presence(given),
        "get_connections": lambda: server.get_connections(given),
        "join": lambda: connection.join(given),
        "leave": lambda: connection.leave(given),
    }
    if not is_joined(stage):
        calls["broadcast_nowait"] = lambda: as_async(lambda: server.broadcast_nowait(given, FRAME))
        calls["local_connection"] = lambda: as_async(lambda: server.local_connection(given))
    return calls


def is_joined(stage: Stage) -> bool:
    return isinstance(stage.connection, RemoteServerConnection)


@deployments
async def test_what_is_no_id_is_a_type_error_of_every_call(deployment: str) -> None:
    async with stage_of(deployment) as stage:
        for given in (7, None, b"room", ["room"]):
            for name, call in calls_with(stage, given).items():
                with pytest.raises(TypeError) as raised:
                    await call()
                assert str(raised.value).startswith("wspulse: a "), (name, given)
                assert "id must be a str, not" in str(raised.value)


@deployments
async def test_what_is_not_a_frame_is_a_type_error_that_names_frame(deployment: str) -> None:
    async with stage_of(deployment) as stage:
        server, connection = stage
        for given in ("hello", 7, None) if is_joined(stage) else ("hello", 7, None, {"event": "said"}):
            calls = [server.send("ann", given), server.broadcast("room", given), connection.send(given)]
            for call in calls:
                with pytest.raises(TypeError, match=r"^wspulse: a frame must be a Frame\b"):
                    await call


@pytest.mark.parametrize("codec", [JSONCodec(), RawCodec()])
def test_encoder_refuses_what_is_not_a_frame(codec: Codec) -> None:
    text: Any = "hello"
    with pytest.raises(
        TypeError, match=r'^wspulse: a frame must be a Frame, such as Frame\("said", "hello"\), not str$'
    ):
        wire_encoder(codec)(text)


@deployments
async def test_what_is_no_collection_of_ids_excludes_nobody_and_is_a_type_error(deployment: str) -> None:
    async with stage_of(deployment) as stage:
        for given in (None, 0, 7, False, "", "ann", b"", b"ann"):
            with pytest.raises(TypeError, match=r"^wspulse: exclude must be a list of connection ids, not "):
                await stage.server.broadcast("room", FRAME, exclude=given)
            if not is_joined(stage):
                with pytest.raises(TypeError, match=r"^wspulse: exclude must be a list of connection ids, not "):
                    stage.server.broadcast_nowait("room", FRAME, exclude=given)


@deployments
async def test_id_that_nobody_can_have_is_an_unknown_one(deployment: str) -> None:
    async with stage_of(deployment) as stage:
        server, connection = stage
        for call in (server.send(HALF, FRAME), server.kick(HALF)):
            with pytest.raises(ConnectionNotFoundError):
                await call
        for call in (connection.join(HALF), connection.leave(HALF)):
            with pytest.raises(ValueError, match="surrogate"):
                await call
        assert await server.presence(HALF) == []
        assert await server.get_connections(HALF) == []
        await server.broadcast(HALF, FRAME)
        if not is_joined(stage):
            await server.broadcast("room", FRAME, exclude=[HALF])


@deployments
async def test_close_code_and_reason_that_cannot_be_sent_are_refused_by_close_and_kick(deployment: str) -> None:
    async with stage_of(deployment) as stage:
        for code, reason, error in (
            ("1000", "", TypeError),
            (1000.0, "", TypeError),
            (True, "", TypeError),
            (None, "", TypeError),
            (1000, None, TypeError),
            (1000, b"gone", TypeError),
            (1005, "", ValueError),
            (2999, "", ValueError),
            (10**20, "", ValueError),
            (1000, "x" * 124, ValueError),
            (1000, HALF, ValueError),
        ):
            for call in (stage.server.kick("ann", code, reason), stage.connection.close(code, reason)):
                with pytest.raises(error, match=r"^wspulse: "):
                    await call
        assert not stage.connection.closed


async def test_session_that_has_ended_elsewhere_refuses_what_is_no_room_all_the_same() -> None:
    async with stage_of("3") as stage:
        await stage.connection.close()
        with pytest.raises(TypeError):
            await stage.connection.join(7)
