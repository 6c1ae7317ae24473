"""`connection.call` of a running server: codecs, other shards, other threads, and what is left when a call has ended."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any, cast

import msgspec
import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.support.eventually import eventually
from tests.support.shards.shards import Shards, serve_shards
from wspulse import (
    Codec,
    Connection,
    ConnectionClosedError,
    Frame,
    JSONCodec,
    MsgpackCodec,
    RawCodec,
    ReplyError,
    Request,
    SendBufferFullError,
    Server,
    ShardUnavailableError,
)
from wspulse.actors.mesh.message import ConnectionRecord
from wspulse.actors.mesh.placement import Placement
from wspulse.actors.sessions.asking.asking_inbox import AskingInbox
from wspulse.actors.sessions.connections.remote_connection import RemoteConnection

SHARDS = 2


class LineCodec:
    """Frames as lines: event, id, payload; a text stays a text, and bytes stay bytes."""

    binary = None

    def encode(self, frame: Frame, /) -> str:
        return f"{frame.event}\n{frame.id}\n{frame.payload}"

    def decode(self, data: Any, /) -> Frame:
        text = data if isinstance(data, str) else data.decode()
        event, name, payload = text.split("\n")
        return Frame(event, payload, name)


def made(codec: Any = None, **options: Any) -> Server:
    def who(request: Request) -> tuple[str, str]:
        return "room", request.query["id"]

    return Server(who, codec=codec or JSONCodec(), **options)


async def dialled(shards: Shards) -> ClientConnection:
    return await connect(f"{shards.url}?id={Placement(SHARDS).new_id(0)}", proxy=None)


async def both(shards: Shards) -> tuple[Connection, Connection]:
    """The one connection that there is, as its own shard 0 sees it, and as shard 1 does."""
    (local,) = await shards.servers[0].get_connections("room")
    (remote,) = await shards.servers[1].get_connections("room")
    return local, remote


@pytest.mark.parametrize("codec", [JSONCodec(), MsgpackCodec(), LineCodec()], ids=["json", "msgpack", "own"])
async def test_call_finds_its_answer_with_each_codec_that_has_ids(codec: Any) -> None:
    async with serve_shards(lambda: made(codec), SHARDS) as shards, await dialled(shards) as client:
        for connection in await both(shards):
            for event in ("ask", "ask.error"):
                calling = asyncio.create_task(connection.call(Frame("ask", "q")))
                sent = codec.decode(await client.recv())
                await client.send(_message(codec, Frame(event, "a", sent.id)))
                if event == "ask":
                    answer = await calling
                    payload = answer.payload
                    assert (payload if isinstance(codec, LineCodec) else answer.decode()) == "a"
                    assert (answer.event, answer.id) == ("ask", sent.id)
                else:
                    with pytest.raises(ReplyError) as raised:
                        await calling
                    assert raised.value.payload == "a"


def _message(codec: Any, frame: Frame) -> str | bytes:
    data: str | bytes = codec.encode(frame)
    return data.decode() if codec.binary is False and isinstance(data, bytes) else data


async def test_half_an_emoji_in_an_answer_harms_nobody() -> None:
    async with serve_shards(made, SHARDS) as shards, await dialled(shards) as client:
        for connection in await both(shards):
            calling = asyncio.create_task(connection.call(Frame("ask")))
            name = json.loads(await client.recv())["id"]
            await client.send('{"event": "\\ud83d", "payload": "\\ud83d", "id": "NAME"}'.replace("NAME", name))
            answer = await calling
            assert (answer.event, answer.decode()) == ("\ufffd", "\ufffd")


async def test_raw_codec_refuses_a_call_and_says_why() -> None:
    async with serve_shards(lambda: made(RawCodec()), SHARDS) as shards, await dialled(shards):
        for connection in await both(shards):
            with pytest.raises(RuntimeError, match="raw codec"):
                await connection.call(Frame("", "text"))


async def test_frame_that_cannot_be_encoded_is_its_callers_error_and_nothing_waits() -> None:
    async with serve_shards(made, SHARDS) as shards, await dialled(shards):
        local, remote = await both(shards)
        for connection in (local, remote):
            with pytest.raises(TypeError):
                await connection.call(Frame("ask", object()))
        assert not isinstance(_inbox(local), AskingInbox)


def _inbox(local: Any) -> Any:
    return local._session.inbox


@pytest.mark.parametrize("which", [0, 1], ids=["same shard", "another shard"])
async def test_nothing_is_left_of_calls_however_they_end(which: int) -> None:
    async with serve_shards(made, SHARDS) as shards, await dialled(shards) as client:
        connections = await both(shards)
        inbox = _inbox(connections[0])
        connection = connections[which]
        with pytest.raises(TimeoutError, match="no answer from"):
            await connection.call(Frame("ask"), 0.05)
        await client.recv()
        calling = asyncio.create_task(connection.call(Frame("ask"), 0.5))
        await client.recv()
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        answered = asyncio.create_task(connection.call(Frame("ask")))
        await client.send(json.dumps({"id": json.loads(await client.recv())["id"]}))
        assert (await answered).event == ""
        await eventually(lambda: not inbox.asked, "nothing waits")


@pytest.mark.parametrize("which", [0, 1], ids=["same shard", "another shard"])
async def test_call_that_is_cancelled_is_forgotten_long_before_its_time(which: int) -> None:
    async with serve_shards(made, SHARDS) as shards, await dialled(shards) as client:
        connections = await both(shards)
        calling = asyncio.create_task(connections[which].call(Frame("ask"), 3600))
        await client.recv()
        assert len(_inbox(connections[0]).asked) == 1
        calling.cancel()
        await eventually(lambda: not _inbox(connections[0]).asked, "nothing waits")


async def test_call_of_a_shard_that_has_ended_is_forgotten_long_before_its_time() -> None:
    async with serve_shards(made, SHARDS) as shards, await dialled(shards) as client:
        local, remote = await both(shards)
        calling = asyncio.create_task(remote.call(Frame("ask"), 3600))
        await client.recv()
        await shards.stop_shard(1)
        with pytest.raises(ShardUnavailableError):
            await calling
        await eventually(lambda: not _inbox(local).asked, "nothing waits")


@pytest.mark.parametrize("which", [0, 1], ids=["same shard", "another shard"])
async def test_call_that_waits_ends_with_its_session(which: int) -> None:
    async with serve_shards(made, SHARDS) as shards, await dialled(shards) as client:
        connection = (await both(shards))[which]
        calling = asyncio.create_task(connection.call(Frame("ask"), 20))
        await client.recv()
        await shards.servers[0].kick(connection.id)
        with pytest.raises(ConnectionClosedError):
            await asyncio.wait_for(calling, 5)
        assert connection.closed


async def test_call_on_a_connection_that_has_ended_is_refused() -> None:
    async with serve_shards(made, SHARDS) as shards:
        client = await dialled(shards)
        local, remote = await both(shards)
        await client.close()
        await asyncio.wait_for(local.wait_closed(), 5)
        for connection in (local, remote):
            with pytest.raises(ConnectionClosedError):
                await connection.call(Frame("ask"))
            assert connection.closed


async def test_call_to_another_shard_fails_when_that_ends_and_never_asks_a_later_session() -> None:
    async with serve_shards(made, SHARDS) as shards, await dialled(shards) as client:
        _, remote = await both(shards)
        calling = asyncio.create_task(remote.call(Frame("ask"), 20))
        await client.recv()
        await shards.stop_shard(0)
        with pytest.raises((ConnectionClosedError, ShardUnavailableError)):
            await asyncio.wait_for(calling, 5)
        await shards.start_shard(0)
        async with await connect(f"{shards.url}?id={remote.id}", proxy=None) as later:
            with pytest.raises((ConnectionClosedError, ShardUnavailableError)):
                await remote.call(Frame("ask"), 2)
            await shards.servers[0].send(remote.id, Frame("the first"))
            assert json.loads(await later.recv())["event"] == "the first"


async def test_call_to_a_shard_that_does_not_answer_ends_in_its_own_time() -> None:
    class SilentShards:
        codec: Codec = JSONCodec()

        def __init__(self) -> None:
            self.encode: Callable[[Frame], bytes] = lambda _frame: b""

        def decode(self, _opcode: int, _payload: bytes) -> Frame:
            raise NotImplementedError

        def tell_owner(self, connection_id: str, message: object) -> None:
            raise AssertionError

        async def ask_owner(self, connection_id: str, message: object, timeout_s: float | None = None) -> None:
            assert timeout_s is not None
            await asyncio.sleep(timeout_s + 0.01)  # a timer may be early by what the loop cannot tell apart
            raise ShardUnavailableError("it did not answer in time")

    record = ConnectionRecord("a", "room", 1, 1, 1, "connected", 0.0, 0)
    with pytest.raises(TimeoutError, match="no answer from a within"):
        await RemoteConnection(cast("Any", SilentShards()), record).call(Frame("ask"), 0.05)


async def test_time_in_which_the_loop_stood_still_is_not_the_clients() -> None:
    async with serve_shards(made, 1) as shards, await dialled(shards):
        (local,) = await shards.servers[0].get_connections("room")
        calling = asyncio.create_task(local.call(Frame("ask"), 1))
        await asyncio.sleep(0)
        time.sleep(1.2)  # noqa: ASYNC251 - the loop is to be stuck
        await asyncio.sleep(0.2)
        assert not calling.done()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(calling, 5)


@pytest.mark.parametrize("which", [0, 1], ids=["same shard", "another shard"])
async def test_call_that_finds_the_buffer_full_is_refused(which: int) -> None:
    options = {"send_buffer_size": 4, "write_wait": 30.0}
    async with serve_shards(lambda: made(**options), SHARDS) as shards, await dialled(shards) as client:
        local, _ = connections = await both(shards)
        client.transport.pause_reading()
        while local.queued < 4:
            await local.send(Frame("fill", "x" * 1_000_000))
            await asyncio.sleep(0)
        with pytest.raises(SendBufferFullError):
            await connections[which].call(Frame("ask"))
        assert not isinstance(_inbox(local), AskingInbox)
        client.transport.abort()


async def test_call_from_another_thread_is_refused_and_names_what_to_do() -> None:
    async with serve_shards(made, SHARDS) as shards, await dialled(shards):
        local, _ = await both(shards)
        with pytest.raises(RuntimeError, match="run_coroutine_threadsafe"):
            await asyncio.to_thread(lambda: local.call(Frame("ask")).send(None))


async def test_session_that_has_called_nothing_takes_such_an_id_for_any_other() -> None:
    came: list[Frame] = []
    server = made(on_message=lambda _connection, frame: came.append(frame))
    async with serve_shards(lambda: server, 1) as shards, await dialled(shards) as client:
        await client.send('{"event": "ask", "id": "wspulse:1"}')
        await eventually(lambda: came, "it is handled")
    assert came[0].id == "wspulse:1"
    assert came[0].payload is msgspec.UNSET
