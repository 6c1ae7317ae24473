"""Bodies of requests to the HTTP application: as slow and long as they like, but for endless sizes and trailers."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.eventually import eventually
from tests.support.http.http_client import HttpClient
from tests.support.http.http_site import TIMEOUT_S, site
from tests.support.wire.raw_peer import RawPeer


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
