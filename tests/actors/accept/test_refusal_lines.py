"""Every way of being refused leaves a line and a count, wherever it is decided."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from tests.support.eventually import eventually
from tests.support.http.http_site import Application
from tests.support.wire.raw_peer import RawPeer, head
from wspulse import ConnectRejected, Request, Server


def identify(request: Request) -> tuple[str, str]:
    match request.query.get("is"):
        case "bad":
            raise ConnectRejected("bad token")
        case "broken":
            raise LookupError("a fault")
        case connection_id:
            return "room", connection_id or ""


def may_come(request: Request) -> bool:
    return "evil" not in request.headers.get("origin", "")


WARNINGS = {
    404: head("/nowhere?is=secret"),
    403: head("/ws?is=secret", "Origin: https://evil.example"),
    409: head("/ws?is=taken"),
}
DEBUGS = {
    400: head("/ws", key="short"),
    401: head("/ws?is=bad"),
    405: head("/ws", method="POST"),
    408: b"GET /ws?is=secret",
    426: b"GET /ws HTTP/1.1\r\nHost: x\r\n\r\n",
    431: head("/ws", "X: " + "x" * 20_000),
    500: head("/ws?is=broken"),
    505: head("/ws", version="HTTP/1.0"),
}


@pytest.mark.parametrize("status", [*WARNINGS, *DEBUGS])
async def test_refusal_leaves_a_line_and_a_count(status: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "wspulse")
    server = Server(identify, check_origin=may_come, on_duplicate="reject", handshake_timeout=0.3)
    async with server.serve() as running, await RawPeer.upgraded(running.port, "/ws?is=taken"):
        async with await RawPeer.dial(running.port) as peer:
            peer.writer.write(WARNINGS.get(status) or DEBUGS[status])
            assert (await peer.rest()).startswith(b"HTTP/1.1 %d " % status)
        metrics = server._running().shard.metrics
        assert getattr(metrics, f"refused_{status}") == 1
    line, *warnings = [record for record in caplog.records if record.message == "a request was refused"]
    assert [line.levelname, *(warning.levelname for warning in warnings)] == ["DEBUG", "WARNING"][
        : 1 + (status in WARNINGS)
    ]
    told: dict[str, Any] = vars(line)
    assert told["status"] == status
    assert told["path"] == ("/nowhere" if status == 404 else "/ws")
    assert told["remote_address"].startswith("127.0.0.1:")
    assert "secret" not in caplog.text


async def test_port_scan_leaves_no_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "wspulse")
    async with Server(identify, handshake_timeout=0.3).serve() as running:
        async with await RawPeer.dial(running.port) as silent, await RawPeer.dial(running.port) as ended:
            ended.writer.write_eof()
            assert await ended.rest() == b""
            assert (await silent.rest()).startswith(b"HTTP/1.1 408 ")
        async with await RawPeer.dial(running.port):
            pass
    assert [record for record in caplog.records if record.name.startswith("wspulse")] == []


@pytest.mark.parametrize("resume_window", [0, 30])
async def test_message_that_is_too_big_names_the_option_and_its_size(
    resume_window: float, caplog: pytest.LogCaptureFixture
) -> None:
    server = Server(identify, max_message_size=100, resume_window=resume_window)
    async with server.serve() as running:
        metrics = server._running().shard.metrics
        for count in range(1, 11):
            async with await RawPeer.upgraded(running.port, "/ws?is=ada") as peer:
                peer.writer.write(b"\x82\xfe\x01\x00" + b"mask")  # 256 bytes are to come
                assert await peer.close_code() == (1009, "message is over 100 bytes")
            await eventually(lambda: metrics.messages_too_big == count, "it is counted")  # noqa: B023
    assert 1 <= len(caplog.records) <= 10  # five in each of the windows that this may touch
    line = caplog.records[0]
    assert line.levelname == "WARNING"
    assert "max_message_size" in line.message
    told = vars(line)
    assert (told["connection_id"], told["message_bytes"], told["max_message_size"]) == ("ada", 256, 100)


async def test_broken_protocol_is_counted_and_named(caplog: pytest.LogCaptureFixture) -> None:
    server = Server(identify)
    async with server.serve() as running:
        async with await RawPeer.upgraded(running.port, "/ws?is=ada") as peer:
            peer.writer.write(b"\x81\x01a")
            assert await peer.close_code() == (1002, "frame is not masked")
        assert server._running().shard.metrics.protocol_errors == 1
    told = vars(caplog.records[0])
    assert (told["connection_id"], told["close_code"], told["reason"]) == ("ada", 1002, "frame is not masked")


async def test_head_that_the_http_application_is_not_given_is_counted_too(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "wspulse")
    server = Server(identify, http_app=Application())
    async with server.serve() as running:
        async with await RawPeer.dial(running.port) as peer:
            peer.writer.write(b"GET /hello HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 20_000)
            assert (await peer.rest()).startswith(b"HTTP/1.1 431 ")
        assert server._running().shard.metrics.refused_431 == 1
    (line,) = [record for record in caplog.records if record.message == "a request was refused"]
    assert vars(line)["remote_address"].startswith("127.0.0.1:")


async def test_refusal_under_an_asgi_server_leaves_a_line_and_a_count(caplog: pytest.LogCaptureFixture) -> None:
    server = Server(identify, check_origin=may_come)
    headers = [(b"origin", b"https://evil.example")]
    scope = {"type": "websocket", "path": "/ws", "headers": headers, "client": ("10.0.0.1", 5), "subprotocols": []}
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(event: Any) -> None:
        sent.append(event)

    async with server.asgi_lifespan():
        await server.asgi()(scope, receive, send)
        assert server._running().shard.metrics.refused_403 == 1
    assert sent[0]["type"] == "websocket.close"
    (line,) = caplog.records
    told = vars(line)
    assert (told["status"], told["origin"], told["remote_address"]) == (403, "https://evil.example", "10.0.0.1:5")
