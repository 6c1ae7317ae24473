"""What cannot begin a request is refused with its first byte, whoever else is served on the port."""

from __future__ import annotations

import asyncio
import logging
import ssl

import pytest

from tests.support.http.http_site import Application
from tests.support.wire.raw_peer import RawPeer
from wspulse import Request, Server

LONG_S = 30.0
"""`handshake_timeout`: nobody here is to wait for it."""

TLS = "a TLS client connected to a port without TLS"


def identify(_request: Request) -> tuple[str, str]:
    return "room", ""


def made(is_beside_http: bool) -> Server:
    return Server(identify, handshake_timeout=LONG_S, http_app=Application() if is_beside_http else None)


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(line.levelname, line.message) for line in caplog.records if line.name.startswith("wspulse")]


async def answer_of(port: int, first: bytes) -> bytes:
    async with await RawPeer.dial(port) as peer:
        peer.writer.write(first)
        try:
            return await peer.rest()
        except ConnectionResetError:
            return b""


@pytest.mark.parametrize("is_beside_http", [False, True])
async def test_tls_client_sees_the_end_at_once_and_the_log_has_a_hint(
    is_beside_http: bool, caplog: pytest.LogCaptureFixture
) -> None:
    server = made(is_beside_http)
    async with server.serve() as running:
        for _ in range(12):
            with pytest.raises((ssl.SSLError, ConnectionError)):
                async with asyncio.timeout(5):
                    await asyncio.open_connection("127.0.0.1", running.port, ssl=ssl.create_default_context())
        assert server._running().shard.metrics.no_http == 12
    told = [line for line in lines(caplog) if line == ("WARNING", TLS)]
    assert 1 <= len(told) <= 10  # five in each of the windows that this may touch


@pytest.mark.parametrize("is_beside_http", [False, True])
@pytest.mark.parametrize("first", [b"\0", b"\x03\x00\x00\x13", b"\xff\xfb\x01", b"\x16\x03\x01" + b"x" * 100_000])
async def test_other_protocol_sees_the_end_at_once(is_beside_http: bool, first: bytes) -> None:
    server = made(is_beside_http)
    async with server.serve() as running:
        assert await answer_of(running.port, first) == b""
        metrics = server._running().shard.metrics
        assert (metrics.no_http, metrics.upgrades_refused) == (1, 0)


@pytest.mark.parametrize("is_beside_http", [False, True])
async def test_text_that_begins_no_request_is_answered_400_at_once(is_beside_http: bool) -> None:
    server = made(is_beside_http)
    async with server.serve() as running:
        assert (await answer_of(running.port, b'{"op": "hello"}')).startswith(b"HTTP/1.1 400 ")
        metrics = server._running().shard.metrics
        assert (metrics.no_http, metrics.refused_400) == (0, 1)


async def test_binary_noise_is_told_at_debug_alone(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "wspulse")
    async with made(is_beside_http=False).serve() as running:
        await answer_of(running.port, b"\0")
    assert lines(caplog) == [("DEBUG", "a connection sent something other than HTTP")]


async def test_old_http_goes_on_to_the_http_application_and_health_is_ours() -> None:
    async with made(is_beside_http=True).serve() as running:
        assert b"size 0" in await answer_of(running.port, b"GET /hello HTTP/1.0\r\n\r\n")
        assert (await answer_of(running.port, b"OPTIONS /healthz HTTP/1.0\r\n\r\n")).endswith(b"\r\n\r\nok")
