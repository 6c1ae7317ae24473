"""Clients of the HTTP application that end their side: behind their request, inside it, inside a stream."""

from __future__ import annotations

from tests.support.eventually import eventually
from tests.support.http.http_client import HttpClient
from tests.support.http.http_site import GET, site, statuses
from tests.support.wire.frame_streams import client_frame
from tests.support.wire.raw_peer import RawPeer, head
from wspulse.actors.wire.frames import TEXT


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


async def test_frame_that_comes_with_an_upgrade_behind_other_requests_is_handled(implementation: str) -> None:
    early = client_frame(TEXT, b'{"event":"early"}')
    for before in (GET, GET + GET, b"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\n\r\n" + b"x" * 9000):
        async with site() as served, await RawPeer.dial(served.port) as peer:
            peer.writer.write(before)
            for _ in range(before.count(b" HTTP/1.1")):
                await peer.reader.readuntil(b"200 OK")
            await eventually(lambda: served.state.tasks == set(), "they are answered")
            peer.writer.write(head("/ws") + early + early)
            await peer.reader.readuntil(b" 101 ")
            metrics = served.shard.metrics
            await eventually(lambda: metrics.frames_in == 2, "both frames are handled")  # noqa: B023
