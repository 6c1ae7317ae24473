"""The heads of requests to the HTTP application: in time and small, on every request of a connection."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.eventually import eventually
from tests.support.http.http_client import HttpClient
from tests.support.http.http_site import GET, site, statuses
from tests.support.wire.raw_peer import RawPeer
from wspulse.actors.accept.http_heads import HeadBounds, bounded

MAX_HEAD_BYTES = 16 * 1024
MAX_HEADERS = 128
"""contract §2."""


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
    async with site(0.6) as served, await RawPeer.dial(served.port) as peer:
        peer.writer.write(b"GET /hello")
        await asyncio.sleep(0.3)  # half of its time
        async with await RawPeer.dial(served.port) as later:
            later.writer.write(b"GET /hello")
            peer.writer.write(b" HTTP/1.1\r\n")
            ended, later_ended = asyncio.ensure_future(peer.rest()), asyncio.ensure_future(later.rest())
            await asyncio.wait({ended, later_ended}, timeout=5, return_when=asyncio.FIRST_COMPLETED)
            assert ended.done()
            assert not later_ended.done(), "whose connection came before the other's path"
            assert statuses(ended.result()) == statuses(await later_ended) == [b"408"]


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


async def test_server_that_ends_waits_for_no_head(implementation: str) -> None:
    async with asyncio.timeout(5):
        async with site(30) as served:
            peer = await RawPeer.dial(served.port)
            peer.writer.write(b"GET /hello HTTP/1.1\r\n")
            await eventually(lambda: served.state.connections, "it is uvicorn's")
    await peer.close()


def test_protocol_class_that_is_not_known_is_refused() -> None:
    with pytest.raises(TypeError, match="not a known protocol class"):
        bounded(asyncio.Protocol, HeadBounds(1, lambda _client, _answer: None))
