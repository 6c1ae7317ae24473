"""The heads of requests to the HTTP application: in time and small, on every request of a connection; bodies as they like."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import Any

import pytest

from tests.support.eventually import eventually
from tests.support.http_client import HttpClient
from tests.support.raw_peer import RawPeer, head
from wspulse import Server
from wspulse.actors.accept import http_app
from wspulse.actors.accept.http_heads import HeadBounds, bounded

TIMEOUT_S = 0.3
"""`handshake_timeout` of the server."""

MAX_HEAD_BYTES = 16 * 1024
MAX_HEADERS = 128
"""contract.md §2."""

GET = b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"


class Application:
    """An ASGI application; what it is doing can be waited for."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.gate = asyncio.Event()
        self.asked = 0
        """How often it has asked whether its client is there."""

    async def __call__(self, scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        if scope["type"] == "lifespan":
            while (await receive())["type"] != "lifespan.shutdown":
                await send({"type": "lifespan.startup.complete"})
            await send({"type": "lifespan.shutdown.complete"})
            return
        self.seen.append(scope["path"])
        size = 0
        match scope["path"]:
            case "/wait":
                await self.gate.wait()
            case "/listen":
                await receive()
                while not self.gate.is_set():
                    self.asked += 1
                    ended = asyncio.ensure_future(receive())
                    await asyncio.wait({ended}, timeout=0.005)
                    ended.cancel()
            case "/upload":
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        self.seen.append("disconnected")
                        return
                    size += len(message["body"])
                    if not message["more_body"]:
                        break
            case "/stream":
                await send({"type": "http.response.start", "status": 200, "headers": []})
                await send({"type": "http.response.body", "body": b"begun", "more_body": True})
                await receive()
                while (await receive())["type"] != "http.disconnect":
                    pass
                self.seen.append("disconnected")
                return
        body = b"size %d" % size
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class Site:
    def __init__(self, port: int, application: Application, state: Any) -> None:
        self.port = port
        self.application = application
        self.state = state

    async def answer_to(self, *pieces: bytes, ends: bool = False) -> bytes:
        """Everything that comes until the connection ends."""
        async with await RawPeer.dial(self.port) as peer:
            for piece in pieces:
                peer.writer.write(piece)
            if ends:
                peer.writer.write_eof()
            return await peer.rest()


@pytest.fixture(params=["httptools", "h11"])
def implementation(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "h11":
        find = find_spec
        monkeypatch.setattr(http_app, "find_spec", lambda name: None if name == "httptools" else find(name))
    return str(request.param)


@asynccontextmanager
async def site(timeout_s: float = TIMEOUT_S) -> AsyncIterator[Site]:
    application = Application()
    server = Server(lambda _request: ("room", ""), http_app=application, handshake_timeout=timeout_s)
    async with server.serve() as running:
        runtime = server._in_process.running()
        assert runtime._http is not None
        yield Site(running.port, application, runtime._http._state)


def statuses(answers: bytes) -> list[bytes]:
    return [answer[:3] for answer in answers.split(b"HTTP/1.1 ")[1:]]


def head_of(size_bytes: int) -> bytes:
    beginning, end = b"GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX: ", b"\r\n\r\n"
    return beginning + b"x" * (size_bytes - len(beginning) - len(end)) + end


def head_with(fields: int) -> bytes:
    lines = [b"GET /hello HTTP/1.1", b"Host: x", b"Connection: close", *(b"X-%d: y" % n for n in range(fields - 2))]
    return b"\r\n".join(lines) + b"\r\n\r\n"


@pytest.mark.parametrize("before", [b"", GET], ids=["the first", "a later one"])
@pytest.mark.parametrize("begun", [b"G", b"GET /hello", b"GET /hello HTTP/1.1\r\n", GET[:-1]])
async def test_head_that_does_not_come_in_time_is_answered_408(
    implementation: str, before: bytes, begun: bytes
) -> None:
    async with site() as served:
        answer = await served.answer_to(before, begun)
        assert statuses(answer) == ([b"200", b"408"] if before else [b"408"])
        assert not served.state.connections


async def test_head_that_drips_is_answered_408_however_often_a_byte_comes(implementation: str) -> None:
    async with site() as served, await RawPeer.dial(served.port) as peer:
        peer.writer.write(GET[:-2])
        ended = asyncio.ensure_future(peer.rest())
        async with asyncio.timeout(5):
            while not ended.done():
                peer.writer.write(b"X")
                await asyncio.wait({ended}, timeout=0.02)
        assert statuses(ended.result()) == [b"408"]


async def test_time_for_a_head_begins_with_the_connection_and_not_with_its_path(implementation: str) -> None:
    async with site(1.0) as served, await RawPeer.dial(served.port) as peer:
        loop = asyncio.get_running_loop()
        began = loop.time()
        peer.writer.write(b"GET /hello")
        await asyncio.sleep(0.6)
        peer.writer.write(b" HTTP/1.1\r\n")
        assert statuses(await peer.rest()) == [b"408"]
        assert loop.time() - began < 1.5


async def test_line_ends_without_a_request_keep_no_connection_open(implementation: str) -> None:
    async with site() as served, await RawPeer.dial(served.port) as peer:
        peer.writer.write(GET)
        await peer.head()
        peer.writer.write(b"\r\n")
        assert statuses(await peer.rest()) == [b"408" if implementation == "httptools" else b"400"]


@pytest.mark.parametrize("before", [b"", GET], ids=["the first", "a later one"])
async def test_head_over_its_size_is_answered_431_and_one_of_it_is_not(implementation: str, before: bytes) -> None:
    first = statuses(before and b"HTTP/1.1 200")
    async with site() as served:
        for pieces in ([head_of(MAX_HEAD_BYTES + 1)], [head_of(3 * MAX_HEAD_BYTES)], [b"GET /", b"x" * 20_000]):
            async with await RawPeer.dial(served.port) as peer:
                if before:
                    peer.writer.write(before)
                    assert (await peer.head()).startswith(b"HTTP/1.1 200")
                    await peer.reader.readexactly(len("size 0"))
                for piece in pieces:
                    peer.writer.write(piece)
                assert statuses(await peer.rest()) == [b"431"], pieces[0][:30]
        assert first in ([], [b"200"])
        assert statuses(await served.answer_to(before, head_of(MAX_HEAD_BYTES - 300))) == [*first, b"200"]
        assert not served.state.connections


async def test_head_of_over_128_fields_is_answered_431_and_one_of_128_is_not(implementation: str) -> None:
    async with site() as served:
        assert statuses(await served.answer_to(head_with(MAX_HEADERS))) == [b"200"]
        assert statuses(await served.answer_to(head_with(MAX_HEADERS + 1))) == [b"431"]
        async with await HttpClient.dial(served.port) as client:
            await client.get("/hello")
            client.writer.write(head_with(MAX_HEADERS + 1))
            assert (await client.answer()).status == 431


@pytest.mark.parametrize("endless", [b"X-Big: ", b"X: y\r\n", b"Cookie: a=b; "], ids=["value", "lines", "pieces"])
async def test_head_without_an_end_is_read_no_further_than_its_size(implementation: str, endless: bytes) -> None:
    async with site(30) as served, await RawPeer.dial(served.port) as peer:
        peer.writer.write(b"GET /hello HTTP/1.1\r\nHost: x\r\n")
        peer.writer.transport.set_write_buffer_limits(high=0)
        sent = 0
        ended = asyncio.ensure_future(peer.rest())
        piece = (endless * 5000 if endless[-1:] == b"\n" else endless + b"x" * 30_000)[:30_000]
        while not ended.done() and sent < 50_000_000:
            peer.writer.write(piece)
            sent += len(piece)
            await asyncio.wait({ended, asyncio.ensure_future(drained(peer))}, return_when=asyncio.FIRST_COMPLETED)
        assert statuses(ended.result()) == [b"431"]
        assert sent < 10_000_000


async def drained(peer: RawPeer) -> None:
    try:
        await peer.writer.drain()
    except OSError:
        pass


@pytest.mark.parametrize(
    "part", [b"1;" + b"x" * 40_000, b"1\r\nx\r\n0\r\nX: " + b"x" * 300_000], ids=["size", "trailer"]
)
async def test_chunked_body_of_endless_sizes_or_trailers_is_cut_off(implementation: str, part: bytes) -> None:
    async with site(30) as served, await RawPeer.dial(served.port) as peer:
        peer.writer.write(b"POST /upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        await eventually(lambda: served.application.seen, "the request has begun")
        for begin in range(0, len(part), 10_000):
            if not peer.writer.is_closing():
                peer.writer.write(part[begin : begin + 10_000])
            await asyncio.sleep(0)
        try:
            await peer.rest()
        except ConnectionError:
            pass
        await eventually(lambda: not served.state.connections, "the connection has ended")
        await eventually(lambda: not served.state.tasks, "the request has ended")


async def test_body_may_be_slower_than_a_head_and_cut_anywhere(implementation: str) -> None:
    pieces = (b"5", b"\r\nhel", b"lo\r\n5\r\n", b"hello\r\n0\r", b"\n\r\n")
    async with site() as served, await HttpClient.dial(served.port) as client:
        for pause_s in (1.3 * TIMEOUT_S, 0):
            client.writer.write(
                b"POST /upload HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n"
            )
            assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            for piece in pieces:
                await asyncio.sleep(pause_s)  # what passes, not what is waited for
                client.writer.write(piece)
            assert (await client.answer()).body == b"size 10"


async def test_large_body_of_tiny_chunks_is_no_head(implementation: str) -> None:
    async with site() as served, await HttpClient.dial(served.port) as client:
        assert (await client.post("/upload", chunk=b"x", count=30_000, chunked=True)).body == b"size 30000"
        assert (await client.post("/upload", chunk=b"x" * 50_000, count=20)).body == b"size 1000000"


async def test_requests_in_one_read_are_all_answered_and_the_last_ones_head_has_its_time(implementation: str) -> None:
    upload = b"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 40000\r\n\r\n" + b"x" * 40_000
    async with site() as served:
        answer = await served.answer_to(upload + GET + upload + GET + GET[:-5])
        assert statuses(answer) == [b"200"] * 4 + [b"408"]


async def test_answer_that_is_on_its_way_ends_whole_where_the_next_head_does_not_come(implementation: str) -> None:
    for rest in (GET[:-5], b"GET / HTTP/1.1\r\nX: " + b"x" * 20_000, b"\x00\x01 nonsense\r\n\r\n"):
        async with site() as served, await RawPeer.dial(served.port) as peer:
            peer.writer.write(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
            await eventually(lambda: served.application.seen, "the request has begun")
            connection = next(iter(served.state.connections))
            peer.writer.write(rest)
            if implementation == "httptools":  # h11 looks at the next request when the answer is complete
                await eventually(lambda: connection._is_deaf, "it reads no more")  # noqa: B023
            served.application.gate.set()
            answer = await peer.rest()
            assert answer.startswith(b"HTTP/1.1 200 ")
            assert b"size 0" in answer


async def test_requests_that_wait_for_answers_before_theirs_are_few_however_many_have_come(implementation: str) -> None:
    async with site(timeout_s=10) as served, await RawPeer.dial(served.port) as peer:
        short, count = b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n", 12_000
        peer.writer.write(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n" + short * count)
        await eventually(lambda: served.application.seen, "the application has the first")
        connection = next(iter(served.state.connections))
        await eventually(lambda: connection.flow.read_paused, "nothing more is read")
        served.application.gate.set()
        most, answers, left = 0, 0, b""
        async with asyncio.timeout(60):
            while answers < count + 1:
                most = max(most, len(getattr(connection, "pipeline", ())))
                received = left + await peer.reader.read(65536)
                answers += received.count(b"200 OK")
                left = received[-5:] if received[-6:] != b"200 OK" else b""
        assert most <= 500
        assert len(served.application.seen) == count + 1


async def test_client_that_is_gone_while_requests_wait_is_known_to_be_gone(implementation: str) -> None:
    async with site() as served:
        async with await RawPeer.dial(served.port) as peer:
            peer.writer.write(GET.replace(b"/hello", b"/stream") + GET * 3)
            await eventually(lambda: "/stream" in served.application.seen, "the application has the first")
            await peer.reader.readuntil(b"begun")
        await eventually(lambda: "disconnected" in served.application.seen, "the application knows")
        assert not served.state.connections


async def test_client_that_sends_without_end_while_requests_wait_is_not_read_without_end() -> None:
    async with site(timeout_s=10) as served, await RawPeer.dial(served.port) as peer:
        peer.writer.write(GET.replace(b"/hello", b"/listen") + GET * 200_000)
        await eventually(lambda: served.application.seen, "the application has the first")
        connection = next(iter(served.state.connections))
        await eventually(lambda: len(connection._unfed) > 512 * 1024, "as much waits as may")
        asked = served.application.asked
        await eventually(lambda: served.application.asked > asked + 10, "the application asks on")
        assert connection.flow.read_paused
        assert len(connection._unfed) <= 1024 * 1024
        assert len(connection.pipeline) <= 500
        peer.writer.transport.abort()
        served.application.gate.set()
        await eventually(lambda: not served.state.connections, "its end is known when it is answered")


async def test_body_behind_many_requests_and_bytes_behind_an_upgrade_lose_nothing(implementation: str) -> None:
    upload = b"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n" + b"x" * 300_000
    async with site(timeout_s=10) as served:
        last = GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        first = GET.replace(b"/hello", b"/upload")
        answer = await served.answer_to(first + GET * 600 + upload + GET * 600 + upload + last)
        assert statuses(answer) == [b"200"] * 1204
        assert answer.count(b"size 300000") == 2


async def test_head_that_is_not_read_on_because_answers_are_waited_for_is_not_late(implementation: str) -> None:
    async with site() as served, await RawPeer.dial(served.port) as peer:
        waited = b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n"
        peer.writer.write(waited + GET + GET[:-2])
        await eventually(lambda: served.application.seen == ["/wait"], "the application has the first")
        peer.writer.write(GET[-2:])
        async with asyncio.timeout(5):
            await asyncio.sleep(3 * TIMEOUT_S)  # the time that this is about
            served.application.gate.set()
            answers = b""
            while answers.count(b"200 OK") < 3:
                received = await peer.reader.read(65536)
                assert received, f"the connection ended behind {answers!r}"
                answers += received


async def test_client_that_ends_its_side_behind_its_request_gets_the_applications_answer(implementation: str) -> None:
    async with site() as served:
        assert statuses(await served.answer_to(GET, ends=True)) == [b"200"]
        assert statuses(await served.answer_to(GET + GET, ends=True)) == [b"200", b"200"]
        assert statuses(await served.answer_to(head("/ws"), ends=True)) == [b"101"]
        async with await HttpClient.dial(served.port) as client:
            await client.get("/hello")
            client.writer.write(head("/ws"))
            client.writer.write_eof()
            assert statuses(await client.reader.read(12)) == [b"101"]
        upload = b"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
        assert b"size 3" in await served.answer_to(upload, ends=True)
        await eventually(lambda: not served.state.connections, "all have ended")


async def test_client_that_ends_its_side_inside_its_body_or_a_stream_has_gone(implementation: str) -> None:
    async with site(30) as served:
        async with await RawPeer.dial(served.port) as peer:
            peer.writer.write(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
            await peer.reader.readuntil(b"begun")
            peer.writer.write_eof()
            await eventually(lambda: "disconnected" in served.application.seen, "the stream has ended")
        await served.answer_to(b"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\na", ends=True)
        await eventually(lambda: served.application.seen.count("disconnected") == 2, "the upload has ended")


async def test_answer_that_does_not_begin_in_time_is_given_up_where_the_client_has_ended_its_side(
    implementation: str,
) -> None:
    async with site() as served:
        assert await served.answer_to(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n", ends=True) == b""
        await eventually(lambda: not served.state.connections, "the connection has ended")
        served.application.gate.set()


async def test_server_that_ends_waits_for_no_head(implementation: str) -> None:
    async with asyncio.timeout(5):
        async with site(30) as served:
            peer = await RawPeer.dial(served.port)
            peer.writer.write(b"GET /hello HTTP/1.1\r\n")
            await eventually(lambda: served.state.connections, "it is uvicorn's")
    await peer.close()


async def test_strangers_fill_no_log_with_what_cannot_be_read(
    implementation: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with site() as served:
        for _ in range(40):
            assert statuses(await served.answer_to(b"GET /hello HTTP/1.1\r\nno colon\r\n\r\n")) == [b"400"]
    lines = [record for record in caplog.records if "Invalid HTTP request" in record.message]
    assert 1 <= len(lines) <= 15
    assert not logging.getLogger("uvicorn.error").filters


def test_protocol_class_that_is_not_known_is_refused() -> None:
    with pytest.raises(TypeError, match="no protocol class that is known"):
        bounded(asyncio.Protocol, HeadBounds(1, lambda _client, _answer: None))
