"""The tests' client: what it keeps, what it expects, and what it says when that does not come."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import msgspec
import pytest
from msgspec import UNSET

from wspulse import Connection, ConnectRejected, Frame, MsgpackCodec, ReplyError, Request, SendBufferFullError, Server
from wspulse.actors.transport.compression.compressing import CompressingTransport
from wspulse.testing import Client, Closed, UpgradeRefusedError, serve


class ChatMessage(msgspec.Struct):
    text: str


def make_server(**options: Any) -> Server:
    """Rooms, a relay, and orders for what a server may do to its clients."""
    server = Server(**options)

    @server.connect
    def connect(request: Request) -> tuple[str, str]:
        if request.query.get("token") == "bad" or request.headers.get("authorization") == "bad":
            raise ConnectRejected("who are you?")
        return request.query.get("room", "lobby"), request.query.get("id", "")

    @server.on_message
    async def obey(connection: Connection, frame: Frame) -> None:
        match frame.event:
            case "close":
                await connection.close()
            case "raise":
                raise LookupError("as ordered")
            case "several":
                for number in range(frame.decode(int)):
                    await connection.send(Frame(f"number.{number}", number))
            case _:
                await server.broadcast(connection.room_id, frame)

    return server


async def flood(server: Server, connection_id: str, frame: Frame) -> None:
    for _ in range(1000):
        await server.send(connection_id, frame)
        await asyncio.sleep(0)


# Sending and receiving.


async def test_frame_reaches_the_members_of_the_room_and_nobody_else() -> None:
    async with serve(make_server()) as running:
        alice, bob, eve = [await running.connect(name, room) for name, room in (("a", "x"), ("b", "x"), ("e", "y"))]
        await alice.send("chat", {"text": "hi"}, id="7")
        assert await bob.expect("chat") == Frame("chat", {"text": "hi"}, "7")
        assert (await alice.expect("chat")).decode(ChatMessage) == ChatMessage("hi")
        await eve.expect_nothing()


async def test_expected_frame_is_found_when_others_came_before_it_and_those_stay() -> None:
    async with serve(make_server()) as running:
        client = await running.connect()
        await client.send("several", 3)
        assert (await client.expect("number.2")).payload == 2
        assert (await client.expect("number.0")).payload == 0
        assert (await client.next()).payload == 1
        assert [frame.payload for frame in client.received] == [0, 1, 2]


async def test_expected_frame_is_the_one_that_fits_when_a_condition_is_given() -> None:
    async with serve(make_server()) as running:
        client = await running.connect()
        for number in range(5):
            await client.send("count", number)
        assert (await client.expect("count", where=lambda frame: frame.payload > 2)).payload == 3
        assert (await client.expect("count")).payload == 0


async def test_failure_shows_what_came_instead_when_the_event_does_not_come() -> None:
    async with serve(make_server()) as running:
        client = await running.connect()
        await client.send("several", 12)
        with pytest.raises(AssertionError) as caught:
            await client.expect("chat", timeout=0.1)
        text = str(caught.value)
        assert text.startswith("'chat' did not arrive within 0.1 s; received instead: 'number.0' 0, 'number.1' 1,")
        assert text.endswith("'number.9' 9, 2 more")


async def test_failure_says_so_when_nothing_came_at_all() -> None:
    async with serve(make_server(), timeout=0.1) as running:
        client = await running.connect()
        with pytest.raises(AssertionError, match=r"a frame did not arrive within 0\.1 s; no frame arrived"):
            await client.next()


async def test_failure_comes_at_once_and_names_the_close_code_when_the_server_ends_the_connection() -> None:
    async with serve(make_server(), timeout=60) as running:
        client = await running.connect()
        await client.send("raise")
        with pytest.raises(AssertionError, match=r"can no longer arrive; .* ended with 1011 \(internal error\)"):
            await client.expect("chat")
        with pytest.raises(AssertionError, match=r"cannot send: .* ended with 1011"):
            await client.send("chat")


async def test_unexpected_frame_fails_the_test_when_nothing_is_expected() -> None:
    async with serve(make_server()) as running:
        client = await running.connect()
        await client.send("chat", "hi")
        with pytest.raises(AssertionError, match="expected nothing, but 'chat' 'hi' arrived"):
            await client.expect_nothing("chat", within=5)
        await client.expect_nothing("other", within=0.01)
        await client.send("close")
        await client.closed()
        await client.expect_nothing()


async def test_raw_message_is_sent_as_it_is_and_an_unreadable_answer_is_kept(caplog: pytest.LogCaptureFixture) -> None:
    async with serve(make_server()) as running:
        client = await running.connect()
        await client.send_raw("no json")
        await client.send_raw('{"event":"chat","payload":1}')
        await client.expect("chat")
        assert "could not be decoded" in caplog.text
        reader = await running.connect(codec=MsgpackCodec())
        await client.send("chat", UNSET)
        frame = await reader.next()
        assert (frame.event, frame.payload) == ("", '{"event":"chat"}')


async def test_msgpack_is_spoken_when_the_server_speaks_it() -> None:
    async with serve(make_server(codec=MsgpackCodec())) as running:
        client = await running.connect()
        await client.send("chat", {"data": b"\x00\xff"})
        assert (await client.expect("chat")).payload == {"data": b"\x00\xff"}


async def test_skipped_frames_are_not_found_any_more() -> None:
    async with serve(make_server()) as running:
        client = await running.connect()
        await client.send("several", 3)
        await client.expect("number.2")
        assert [frame.payload for frame in client.skip()] == [0, 1]
        await client.expect_nothing(within=0.01)
        await client.send("number.0", "new")
        assert (await client.expect("number.0")).payload == "new"
        assert len(client.received) == 4


# Connections.


@pytest.mark.parametrize(
    "how",
    [
        {"query": {"token": "bad"}},
        {"query": [("token", "good"), ("token", "bad")]},
        {"headers": {"Authorization": "bad"}},
    ],
)
async def test_refusal_has_status_and_text_when_the_server_says_no(how: dict[str, Any]) -> None:
    async with serve(make_server()) as running:
        with pytest.raises(UpgradeRefusedError, match="401 who are you") as caught:
            await running.connect(**how)
        assert (caught.value.status, caught.value.text.strip()) == (401, "who are you?")
        assert running.clients == []


async def test_subprotocol_is_the_one_that_the_server_chose() -> None:
    async with serve(make_server(subprotocols=["v2"])) as running:
        client = await running.connect(subprotocols=["v1", "v2"])
        assert client.subprotocol == "v2"


async def test_compression_is_offered_by_who_asks_for_it_and_frames_are_what_they_are() -> None:
    async with serve(make_server(compression="deflate", max_message_size=4000)) as running:
        plain = await running.connect("plain", "tea")
        compressing = await running.connect("compressing", "tea", compression="deflate")
        assert plain.websocket.protocol.extensions == []
        (extension,) = compressing.websocket.protocol.extensions
        assert extension.name == "permessage-deflate"
        for client in (plain, compressing):
            await client.send("say", "x" * 2000)
            for hearer in (plain, compressing):
                assert (await hearer.expect("say")).payload == "x" * 2000


async def test_line_offers_compression_when_it_is_told_to() -> None:
    server = make_server(compression="deflate", max_message_size=4000)
    async with serve(server) as running, running.line("ada", "tea", compression="deflate") as line:
        line.send("say", "x" * 2000)
        said = await anext(aiter(line))
        assert (said.event, said.decode()) == ("say", "x" * 2000)
        assert type(server._running().shard.sessions["ada"].transport) is CompressingTransport


def test_compression_is_offered_by_a_blocking_client_too() -> None:
    with serve(make_server(compression="deflate")) as running:
        client = running.connect("alice", compression="deflate")
        assert [each.name for each in client._client.websocket.protocol.extensions] == ["permessage-deflate"]


async def test_closed_tells_code_and_reason() -> None:
    async with serve(make_server(on_duplicate="kick")) as running:
        first = await running.connect("alice")
        second = await running.connect("alice")
        assert await first.closed() == Closed(1000, "duplicate connection id")
        await second.send("close")
        assert await second.closed() == (1000, "")
        third = await running.connect()
        await third.close(4000, "bye")
        assert await third.closed() == (4000, "")
        assert not third.is_open


async def test_closed_fails_when_the_connection_stays_open() -> None:
    async with serve(make_server()) as running:
        client = await running.connect()
        with pytest.raises(AssertionError, match=r"after 0\.05 s the connection is still open"):
            await client.closed(timeout=0.05)


async def test_dropped_client_gets_what_was_sent_meanwhile_when_it_reconnects() -> None:
    async with serve(make_server(resume_window=30)) as running:
        alice, bob = await running.connect("alice"), await running.connect("bob")
        await alice.send("chat", "before")
        await alice.expect("chat")
        for number in range(20):
            await alice.drop()
            assert await alice.closed() == (1006, "")
            await bob.send("chat", number)
            await alice.reconnect()
            assert (await alice.expect("chat")).payload == number
        assert [frame.payload for frame in alice.received] == ["before", *range(20)]


async def test_drop_is_no_clean_close_for_the_server() -> None:
    ends: list[Any] = []
    server = make_server()
    server.on_disconnect(lambda connection, error: ends.append(error))
    async with serve(server) as running:
        client = await running.connect()
        await client.drop()
        await client.drop()
        assert "without a close frame" in str(ends[0])
        other = await running.connect()
        await other.close()
        await other.drop()
    assert ends[1:] == [None]


async def test_reconnecting_an_open_client_drops_it_first() -> None:
    async with serve(make_server(resume_window=30)) as running:
        alice, bob = await running.connect("alice"), await running.connect("bob")
        await alice.reconnect()
        await bob.send("chat", 1)
        await alice.expect("chat")


async def test_client_that_reads_nothing_fills_its_send_buffer() -> None:
    server = make_server(send_buffer_size=4)
    async with serve(server) as running:
        client = await running.connect("slow")
        client.pause_reading()
        payload = "x" * 200_000
        with pytest.raises(SendBufferFullError):
            await flood(server, "slow", Frame("big", payload))
        client.resume_reading()
        await client.expect("big")


async def test_open_client_ends_with_the_block_when_it_reads_nothing() -> None:
    async with serve(make_server()) as running:
        client = await running.connect()
        client.pause_reading()
    assert not client.is_open
    assert "closed" in repr(client)


async def test_refused_reconnect_leaves_the_client_closed() -> None:
    server = make_server()
    async with serve(server) as running:
        client = await running.connect()
        await server.close()
        assert (await client.closed()).code == 1001
        with pytest.raises(ConnectionRefusedError):
            await client.reconnect()
        assert not client.is_open


def test_client_shows_its_url_when_printed(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with serve(make_server()) as running:
        assert "id=alice" in repr(running.connect("alice"))


async def test_clients_class_is_public() -> None:
    async with serve(make_server()) as running:
        assert isinstance(await running.connect(), Client)


async def test_reply_answers_what_the_server_asked() -> None:
    server = make_server()
    async with serve(server) as running:
        client = await running.connect(id="alice")
        (connection,) = await server.get_connections("lobby")
        for error in (False, True):
            calling = asyncio.create_task(connection.call(Frame("ask", 1)))
            await client.reply(await client.expect("ask"), {"n": 2}, error=error)
            if error:
                with pytest.raises(ReplyError) as raised:
                    await calling
                assert raised.value.payload == {"n": 2}
            else:
                answer = await calling
                assert (answer.event, answer.decode()) == ("ask", {"n": 2})
