"""Requests that come ahead of the answers before theirs: few are read, and none is lost."""

from __future__ import annotations

import asyncio

from tests.support.eventually import eventually
from tests.support.http.http_site import GET, site, statuses
from tests.support.wire.raw_peer import RawPeer


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
            for _ in range(2):
                # A head that begins later is late first.
                async with await RawPeer.dial(served.port) as later:
                    later.writer.write(GET[:-2])
                    assert statuses(await later.rest()) == [b"408"]
            served.application.gate.set()
            answers = b""
            while answers.count(b"200 OK") < 3:
                received = await peer.reader.read(65536)
                assert received, f"the connection ended behind {answers!r}"
                answers += received
