"""What an operator finds in the log and in `stats` of what clients did, with real workers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.support.processes.server_process import ServerProcess, serve_process, wait_until
from tests.support.wire.raw_peer import RawPeer, head
from wspulse import Control

APP = """
import asyncio
from wspulse import ConnectRejected, Server

server = Server(max_message_size=100)


@server.connect
def connect(request):
    if request.query.get("token") == "wrong":
        raise ConnectRejected("bad token")
    return "tea", request.query["id"]


@server.on_message
async def on_message(connection, frame):
    await asyncio.sleep(3600)
"""

LONG_ID = "x" * 257


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder: Path = tmp_path_factory.mktemp("accounts")
    (folder / "counted.py").write_text(APP)
    with serve_process(
        "--app", "counted:server", "--access-log", "--slow-handler", "0.2", "--shutdown-timeout", "1", cwd=folder
    ) as running:
        yield running


async def answered(server: ServerProcess, request: bytes) -> bytes:
    async with await RawPeer.dial(server.port) as peer:
        peer.writer.write(request)
        return (await peer.rest())[9:12]


async def test_refusals_of_all_workers_are_in_the_totals(server: ServerProcess) -> None:
    for _ in range(4):
        assert await answered(server, head("/nowhere")) == b"404"
        assert await answered(server, head("/ws?id=a&token=wrong")) == b"401"
    for _ in range(60):
        assert await answered(server, head(f"/ws?id={LONG_ID}")) == b"500"
    assert server.control is not None
    with Control(server.control) as control:
        totals = control.stats().totals
    assert (totals.refused_404, totals.refused_401, totals.refused_500) == (4, 4, 60)
    log = server.stderr()
    assert 1 <= log.count("Traceback (most recent call last)") <= 20  # of two workers, five in each of two windows
    assert "status=404" in log
    assert LONG_ID not in log


def test_message_that_is_too_big_and_handler_that_does_not_return_are_named(server: ServerProcess) -> None:
    with connect(f"{server.url}?id=big") as big:
        big.send("x" * 200)
        with pytest.raises(ConnectionClosed):
            big.recv()
    with connect(f"{server.url}?id=stuck") as stuck:
        stuck.send('{"event": "sleep"}')
        wait_until(lambda: "longer than slow_handler" in server.stderr(), 10, "the handler is named")
        (line,) = re.findall(r".*longer than slow_handler.*", server.stderr())
        assert "connection_id=stuck" in line
        assert "event=sleep" in line
    assert re.search(r"max_message_size.*connection_id=big, message_bytes=200, max_message_size=100", server.stderr())
    assert server.control is not None
    with Control(server.control) as control:
        totals = control.stats().totals
    assert (totals.messages_too_big, totals.slow_handlers) == (1, 1)


def test_access_log_has_a_connections_upgrade_and_end(server: ServerProcess) -> None:
    with connect(f"{server.url}?id=ada&secret=s3cret"):
        pass
    wait_until(
        lambda: re.search(r"a connection has ended \(.*connection_id=ada", server.stderr()), 10, "its end is told"
    )
    opened, ended = re.findall(r"info .*connection_id=ada.*\[wspulse\.access\]", server.stderr())
    assert "a connection was opened" in opened
    assert "code=1000" in ended
    assert "s3cret" not in server.stderr()
