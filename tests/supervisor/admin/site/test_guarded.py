"""Who asks nothing, takes nothing or is one too many: what becomes of them, and that nobody else notices."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from tests.support.control.admin_stage import admin_stage
from tests.support.eventually import eventually
from wspulse.supervisor.admin.site import guarded
from wspulse.supervisor.admin.site.answers import Answer
from wspulse.supervisor.admin.site.application import AdminApplication


async def ended(reader: asyncio.StreamReader) -> bytes:
    """All that comes until the server ends the connection, however it does."""
    async with asyncio.timeout(10):
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""


async def test_connection_that_asks_nothing_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guarded, "FIRST_BYTE_S", 0.05)
    async with admin_stage(tmp_path) as stage:
        reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
        assert await ended(reader) == b""
        writer.close()
        assert (await stage.get("/live")).status == 200


async def test_request_that_does_not_come_to_its_end_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guarded, "HEAD_S", 0.05)
    async with admin_stage(tmp_path) as stage:
        reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
        writer.write(b"GET /live HTTP/1.1\r\nHost: x\r\n")
        assert (await ended(reader)).startswith(b"HTTP/1.1 408 ")
        writer.close()


async def test_head_without_end_is_refused(tmp_path: Path) -> None:
    async with admin_stage(tmp_path) as stage:
        reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
        writer.write(b"GET /live HTTP/1.1\r\n" + b"X: y\r\n" * 5000)
        assert not (await ended(reader)).startswith(b"HTTP/1.1 200 ")
        writer.close()


async def test_what_is_no_http_is_refused_and_not_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with admin_stage(tmp_path) as stage:
        caplog.set_level("ERROR")
        reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
        writer.write(b"\x16\x03\x01\x02\x00\x01 no HTTP\r\n\r\n")
        assert (await ended(reader)).startswith(b"HTTP/1.1 400 ")
        writer.close()
        assert caplog.records == []


async def test_connection_too_many_ends_and_the_others_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guarded, "MOST_CONNECTIONS", 2)
    async with admin_stage(tmp_path) as stage, stage.look() as one, stage.look() as two:
        reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
        assert await ended(reader) == b""
        writer.close()
        assert (await one.next())["number"] >= 1
        assert (await two.next())["number"] >= 1


async def test_viewer_that_takes_nothing_is_cut_off_and_costs_no_more_than_its_buffers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guarded, "LOOK_S", 0.1)
    waiting: list[int] = []

    async def flood(_self: AdminApplication, _following: object, _receive: object, send: object) -> None:
        await Answer(200, content_type="text/event-stream").begin(send, length=False)  # type: ignore[arg-type]
        while stage.guard.open:
            await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})  # type: ignore[operator]
            waiting.extend(each.transport.get_write_buffer_size() for each in stage.guard.open)
            await asyncio.sleep(0)

    monkeypatch.setattr(AdminApplication, "_show", flood)
    async with admin_stage(tmp_path) as stage:
        with socket.create_connection(("127.0.0.1", stage.port)) as deaf:
            deaf.sendall(f"GET /api/look HTTP/1.1\r\nHost: 127.0.0.1:{stage.port}\r\n\r\n".encode())
            await eventually(lambda: waiting, "it is written to")
            await eventually(lambda: not stage.guard.open, "it is cut off")
        assert max(waiting) <= 256 * 1024
