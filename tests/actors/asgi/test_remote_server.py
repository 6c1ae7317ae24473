"""A server that was joined: what its calls become on the control socket, and what of it this process does not have."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import pytest

from wspulse import (
    ConnectionClosedError,
    ConnectionNotFoundError,
    ControlError,
    Frame,
    Request,
    SendBufferFullError,
    Server,
    ShardUnavailableError,
)
from wspulse.actors.asgi.remote_server import RemoteServer
from wspulse.supervisor.protocol.refusals import refusal
from wspulse.supervisor.protocol.types import Listing

ENDPOINT = "ipc:///run/chat/control.sock"


class Listed(NamedTuple):
    id: str
    room: str
    rooms: tuple[str, ...] = ()
    state: str = "suspended"
    queued: int = 3


class FakeControl:
    """Notes what it is asked, and raises what it was told to."""

    made: list[FakeControl]

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.asked: list[tuple[Any, ...]] = []
        self.error: ControlError | None = None
        self.closed = False
        self.missing_shards: tuple[int, ...] = ()
        self.ann = Listed("ann", "lobby", ("lobby", "other"))
        self.made.append(self)

    async def _ask(self, *asked: Any) -> None:
        self.asked.append(asked)
        if self.error is not None:
            raise self.error

    async def ping(self) -> None:
        await self._ask("ping")

    async def send(self, connection: str, frame: Frame) -> None:
        await self._ask("send", connection, frame)

    async def broadcast(self, room: str, frame: Frame, exclude: Iterable[str] = ()) -> None:
        await self._ask("broadcast", room, frame, *exclude)

    async def kick(self, connection: str, code: int = 1000, reason: str = "kicked") -> None:
        await self._ask("kick", connection, code, reason)

    async def join(self, connection: str, room: str) -> None:
        await self._ask("join", connection, room)

    async def leave(self, connection: str, room: str) -> None:
        await self._ask("leave", connection, room)

    async def connections(self, room: str | None = None) -> Listing[Listed]:
        await self._ask("connections", room)
        listing = Listing([self.ann])
        listing.missing_shards = self.missing_shards
        return listing

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def controls(monkeypatch: pytest.MonkeyPatch) -> list[FakeControl]:
    """Every control client that was made."""
    FakeControl.made = []
    monkeypatch.setattr(RemoteServer, "control_client", FakeControl)
    return FakeControl.made


def joined() -> Server:
    def identify(_: Request) -> tuple[str, str]:
        return "lobby", ""

    server = Server(identify)
    server.asgi(join=ENDPOINT)
    return server


async def test_calls_go_to_the_control_socket_of_the_server_that_was_joined(controls: list[FakeControl]) -> None:
    server, frame = joined(), Frame("news")
    await server.send("ann", frame)
    await server.broadcast("lobby", frame)
    await server.broadcast("lobby", frame, exclude=["bob"])
    await server.kick("ann")
    (ann,) = await server.get_connections("lobby")
    assert (ann.id, ann.room_id, ann.rooms) == ("ann", "lobby", ("lobby", "other"))
    assert (ann.suspended, ann.queued) == (True, 3)
    for unknown in ("request", "state", "resumed_with", "subprotocol", "latency_s"):
        with pytest.raises(
            RuntimeError, match=f"wspulse: {unknown}: not available in a process that joined the server"
        ):
            getattr(ann, unknown)
    await ann.send(frame)
    await ann.close()
    (control,) = controls
    assert control.endpoint == ENDPOINT
    assert control.asked == [
        ("send", "ann", frame),
        ("broadcast", "lobby", frame),
        ("broadcast", "lobby", frame, "bob"),
        ("kick", "ann", 1000, "kicked"),
        ("connections", "lobby"),
        ("send", "ann", frame),
        ("kick", "ann", 1000, ""),
    ]


async def test_join_and_leave_go_to_the_server_and_raise_as_there(controls: list[FakeControl]) -> None:
    (ann,) = await joined().get_connections("lobby")
    (control,) = controls
    control.asked.clear()
    await ann.join("den")
    await ann.leave("den")
    assert control.asked == [("join", "ann", "den"), ("leave", "ann", "den")]
    with pytest.raises(TypeError):
        await ann.join(7)  # type: ignore[arg-type]
    control.error = refusal({"code": "bad_request", "message": "wspulse: bad request: one too many"}, "ann")
    with pytest.raises(ValueError, match=r"^wspulse: one too many$"):
        await ann.join("den")
    control.error = refusal({"code": "connection_not_found", "message": "wspulse: connection not found: ann"}, "ann")
    with pytest.raises(ConnectionClosedError):
        await ann.join("den")
    await ann.leave("den")


async def test_connection_tells_what_the_server_has_told_and_refuses_what_it_has_not(
    controls: list[FakeControl],
) -> None:
    server = joined()
    (ann,) = await server.get_connections("lobby")
    assert (ann.suspended, ann.queued) == (True, 3)
    controls[0].ann = Listed("ann", "lobby", ("lobby",), "connected", 0)
    (ann,) = await server.get_connections("lobby")
    assert (ann.suspended, ann.queued) == (False, 0)
    for name in ("request", "state", "subprotocol", "latency_s", "resumed_with"):
        with pytest.raises(RuntimeError, match=f"wspulse: {name}: not available in a process that joined the server"):
            getattr(ann, name)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("connection_not_found", ConnectionNotFoundError),
        ("send_buffer_full", SendBufferFullError),
        ("shard_unavailable", ShardUnavailableError),
        ("internal", ControlError),
    ],
)
async def test_error_of_a_call_is_the_one_that_a_worker_would_raise(
    code: str, error: type[Exception], controls: list[FakeControl]
) -> None:
    server = joined()
    await server.broadcast("lobby", Frame())
    controls[0].error = refusal({"code": code, "message": "wspulse: it failed"}, "ann")
    with pytest.raises(error) as raised:
        await server.send("ann", Frame())
    assert type(raised.value) is error, "a program that catches ControlError first takes the server for away"
    if code.startswith("connection"):
        assert getattr(raised.value, "connection_id", None) == "ann"


async def test_no_room_is_not_all_rooms(controls: list[FakeControl]) -> None:
    nothing: Any = None
    with pytest.raises(TypeError, match="wspulse: a room id must be a str, not NoneType: None"):
        await joined().get_connections(nothing)
    assert controls == []


async def test_calls_that_cannot_wait_are_refused_where_the_server_runs_elsewhere() -> None:
    server = joined()
    with pytest.raises(RuntimeError, match="only the async calls"):
        server.broadcast_nowait("lobby", Frame())
    with pytest.raises(RuntimeError, match="only the async calls"):
        _ = server.shard
    with pytest.raises(RuntimeError, match="only the async calls"):
        await server.close()


async def test_server_that_was_joined_and_is_served_too_sends_to_the_one_it_joined(
    controls: list[FakeControl],
) -> None:
    server = joined()
    async with server.serve():
        await server.broadcast("lobby", Frame())
        assert server.workers == 1
    assert [asked[0] for asked in controls[0].asked] == ["broadcast"]


async def test_lifespan_of_a_server_that_was_joined_opens_and_closes_its_control_client(
    controls: list[FakeControl],
) -> None:
    async with joined().asgi_lifespan():
        assert controls[0].asked == [("ping",)]
        assert not controls[0].closed
    assert controls[0].closed


@pytest.mark.parametrize("joins", [[None, ENDPOINT], [ENDPOINT, None]], ids=["mounted first", "joined first"])
async def test_server_that_is_mounted_and_joined_sends_to_the_one_it_joined(
    joins: list[str | None], controls: list[FakeControl]
) -> None:
    server = Server()
    for join in joins:
        server.asgi(join=join)
    await server.broadcast("lobby", Frame())
    assert len(controls) == 1


async def test_list_that_lacks_a_silent_shard_is_none_as_inside_the_server(controls: list[FakeControl]) -> None:
    server = joined()
    assert len(await server.get_connections("lobby")) == 1
    controls[0].missing_shards = (1, 3)
    with pytest.raises(ShardUnavailableError, match="no answer from shard 1, 3"):
        await server.get_connections("lobby")
