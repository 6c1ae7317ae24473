"""The tests' client in several rooms: what it hears there, what is known of it, and how it asks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec import UNSET

from wspulse import (
    Accept,
    Connection,
    Context,
    Control,
    EventRouter,
    Frame,
    MsgpackCodec,
    RawCodec,
    ReplyError,
    Request,
    Server,
)
from wspulse.actors.values.codec import Codec, JSONCodec
from wspulse.testing import serve

APP = """
from wspulse import Accept, Server

server = Server(lambda request: Accept("lobby", request.query["id"], rooms=["user"], state={"tab": 1}))

@server.on_message
async def obey(connection, frame):
    await connection.join(frame.decode(str))
    await connection.send(type(frame)("joined"))
"""


def make_server(**options: Any) -> Server:
    """Clients say which rooms they want, and who shall not hear them."""
    server = Server(**options)
    router = EventRouter()
    server.on_message(router)

    @server.connect
    def connect(request: Request) -> Accept:
        name = request.query.get("id", "")
        return Accept("lobby", name, rooms=[f"user:{name}"], state={"name": name})

    @router.on("join")
    async def join(context: Context, room: str) -> list[str]:
        if not room:
            raise ReplyError({"code": "no_room"})
        await context.connection.join(room)
        return list(context.connection.rooms)

    @router.on("leave")
    async def leave(context: Context, room: str) -> list[str]:
        await context.connection.leave(room)
        return list(context.connection.rooms)

    @router.on("say")
    async def say(context: Context, room: str) -> None:
        await server.broadcast(room, Frame("said", 1, room=room), exclude=[context.connection.id])

    @router.on("who")
    async def who(context: Context, room: str) -> list[str]:
        return sorted(member.state["name"] for member in await server.presence(room))

    @router.on("end")
    async def end(context: Context) -> None:
        await context.connection.close(4001, "logged in elsewhere")

    return server


async def test_client_hears_the_rooms_that_it_joins_until_it_leaves_them() -> None:
    server = make_server()
    async with serve(server) as running:
        alice, bob, carol = [await running.connect(name) for name in ("alice", "bob", "carol")]
        assert alice.rooms == ("lobby", "user:alice")
        for client in (alice, bob):
            await client.call("join", "tea")
        assert (await bob.call("join", "table")).payload == ["lobby", "user:bob", "tea", "table"]
        assert list(bob.rooms) == ["lobby", "user:bob", "tea", "table"]
        assert (await carol.call("who", "tea")).payload == ["alice", "bob"]
        await bob.call("leave", "tea")
        assert list(bob.rooms) == ["lobby", "user:bob", "table"]
        await server.broadcast("tea", Frame("said", "in tea", room="tea"))
        await server.broadcast("table", Frame("said", "at the table", room="table"))
        await server.broadcast("user:carol", Frame("said", "to carol"))
        assert (await alice.expect("said")).payload == "in tea"
        assert (await bob.expect("said")).payload == "at the table"
        assert (await carol.expect("said")).payload == "to carol"
        for client in (alice, bob, carol):
            await client.expect_nothing("said", within=0.01)


async def test_excluded_client_hears_nothing_and_the_others_do() -> None:
    async with serve(make_server()) as running:
        alice, bob = await running.connect("alice"), await running.connect("bob")
        for client in (alice, bob):
            await client.call("join", "tea")
        await alice.send("say", "tea")
        assert await bob.expect("said", room="tea") == Frame("said", 1, room="tea")
        await alice.expect_nothing("said", room="tea", within=0.05)


class OwnCodec:
    """Says the same as JSONCodec, but that it reads the room itself."""

    binary = False

    def encode(self, frame: Frame, /) -> bytes:
        return JSONCodec().encode(frame)

    def decode(self, data: bytes, /) -> Frame:
        frame = JSONCodec().decode(data)
        return Frame(frame.event, frame.payload, frame.id, "read by its own codec")


@pytest.mark.parametrize(
    ("codec", "room"),
    [(JSONCodec(), "tea"), (MsgpackCodec(), "tea"), (OwnCodec(), "read by its own codec")],
    ids=["json", "msgpack", "own"],
)
async def test_frame_has_the_room_that_the_server_named_in_every_codec(codec: Codec, room: str) -> None:
    server = make_server(codec=codec)
    async with serve(server) as running:
        alice = await running.connect("alice")
        await server.send("alice", Frame("said", 1, "7", "tea"))
        assert await alice.next() == Frame("said", 1, "7", room)


async def test_frame_of_the_raw_codec_names_no_room() -> None:
    server = make_server(codec=RawCodec())
    async with serve(server) as running:
        alice = await running.connect("alice")
        await server.send("alice", Frame("", '{"room":"tea"}'))
        assert await alice.next() == Frame("", '{"room":"tea"}')


async def test_expected_room_is_told_from_others_and_shown_when_it_does_not_come() -> None:
    server = make_server()
    async with serve(server) as running:
        alice = await running.connect("alice")
        for room in ("tea", "table", ""):
            await server.send("alice", Frame("said", room, room=room))
        assert (await alice.expect("said", room="table")).payload == "table"
        with pytest.raises(
            AssertionError,
            match=r"^'said' in 'garden' that matches did not arrive .*: 'said' 'tea' in 'tea', 'said' ''$",
        ):
            await alice.expect("said", room="garden", where=lambda frame: True, timeout=0.05)
        with pytest.raises(AssertionError, match="'said' 'tea' in 'tea' arrived"):
            await alice.expect_nothing(room="tea")
        assert (await alice.expect("said", room="")).payload == ""


async def test_call_returns_the_answer_and_leaves_what_came_before_it() -> None:
    server = make_server()
    async with serve(server) as running:
        alice = await running.connect("alice")
        await server.send("alice", Frame("join", "no answer"))
        assert (await alice.call("join", "tea")).payload == ["lobby", "user:alice", "tea"]
        assert (await alice.call("leave", "tea")).payload == ["lobby", "user:alice"]
        assert (await alice.next()).payload == "no answer"


async def test_call_raises_what_the_server_answers_as_an_error() -> None:
    async with serve(make_server()) as running:
        alice = await running.connect("alice")
        with pytest.raises(ReplyError) as refused:
            await alice.call("join", "")
        assert refused.value.payload == {"code": "no_room"}
        with pytest.raises(ReplyError) as invalid:
            await alice.call("join", 5)
        assert invalid.value.payload["code"] == "invalid_payload"
        with pytest.raises(AssertionError, match=r"^the answer to 'say' did not arrive within 0\.05 s"):
            await alice.call("say", "tea", timeout=0.05)
        with pytest.raises(
            AssertionError, match=r"^the answer to 'end' can no longer arrive; .* ended with 4001 \(logged in"
        ):
            await alice.call("end", UNSET)


async def test_connection_is_the_clients_own_through_drops_reconnects_and_its_end() -> None:
    server = make_server(resume_window=30)
    async with serve(server) as running:
        clients = [await running.connect(name) for name in ("alice", "bob", "carol")]
        alice = clients[0]
        connection = alice.connection
        assert [client.connection.id for client in clients] == ["alice", "bob", "carol"]
        assert connection.state == {"name": "alice"}
        await connection.join("tea")
        for _ in range(2):
            await alice.drop()
            assert alice.connection.suspended
            await server.broadcast("tea", Frame("said", "meanwhile"))
            await alice.reconnect()
            assert alice.connection is connection
            assert not connection.suspended
            assert alice.rooms == ("lobby", "user:alice", "tea")
            assert (await alice.expect("said")).payload == "meanwhile"
        await server.kick("alice", code=4003, reason="banned")
        assert await alice.closed() == (4003, "banned")
        assert alice.connection.closed
        await alice.reconnect()
        assert alice.connection is not connection
        assert alice.rooms == ("lobby", "user:alice")


async def test_client_whose_session_has_ended_at_once_has_no_connection() -> None:
    server = make_server()

    @server.on_connect
    async def turn_away(connection: Connection) -> None:
        await connection.close(4003, "banned")

    async with serve(server) as running:
        alice = await running.connect("alice")
        assert await alice.closed() == (4003, "banned")
        with pytest.raises(RuntimeError, match="the client has no session"):
            _ = alice.rooms


def test_plain_tests_see_rooms_and_presence_and_call() -> None:
    server = make_server()
    with serve(server) as running:
        alice, bob = running.connect("alice"), running.connect("bob")
        running.run(alice.connection.join("tea"))
        assert alice.rooms == ("lobby", "user:alice", "tea")
        assert [member.id for member in running.run(server.presence("tea"))] == ["alice"]
        assert bob.call("who", "tea").payload == ["alice"]
        with pytest.raises(ReplyError):
            bob.call("join", "")
        bob.send("say", "tea")
        assert alice.expect("said", room="tea").room == "tea"
        bob.expect_nothing(room="tea", within=0.01)
        with pytest.raises(RuntimeError, match="runs in this process; call the Server's own methods"):
            _ = running.control


def test_rooms_of_processes_are_asked_of_their_control_endpoint(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(APP)
    with serve("shop:server", workers=2, cwd=tmp_path) as running:
        clients = {name: running.connect(name) for name in ("alice", "bob", "carol", "dave")}
        for name in ("alice", "bob"):
            clients[name].send("join", "tea")
            clients[name].expect("joined")
        with Control(running.control) as control:
            control.join("carol", "tea")
            members = {member.id: member for member in control.presence("tea")}
        assert sorted(members) == ["alice", "bob", "carol"]
        assert tuple(members["alice"].rooms) == ("lobby", "user", "tea")
        with pytest.raises(RuntimeError, match=r"ask it with wspulse\.Control\(running\.control\)"):
            _ = clients["alice"].rooms
