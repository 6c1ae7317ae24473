"""A server whose stderr nobody reads, as under a supervisor that has forgotten it: it serves and ends as any other."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from websockets.sync.client import ClientConnection, connect

from tests.support.processes.server_process import READY_LINE, wait_until
from wspulse.actors.mesh.placement import Placement

APP = """
import logging
from wspulse import Server

server = Server(lambda request: ("lobby", request.query["id"]), max_message_size=65536)
logger = logging.getLogger("wspulse")

@server.on_message
async def answer(connection, frame):
    if frame.event == "bad":
        for number in range(3_000):
            logger.warning("a bad message", extra={"number": number, "payload": "x" * 1_000})
    await connection.send(frame)
"""

MOST_MEMORY_BYTES = 8 << 20


class Unread:
    """A server that runs; `stderr` can be read, by whoever wants."""

    def __init__(self, process: subprocess.Popen[bytes], url: str, stderr: int) -> None:
        self.process = process
        self.url = url
        self.stderr = stderr

    def workers(self) -> list[psutil.Process]:
        found = psutil.Process(self.process.pid).children()
        return [child for child in found if "worker" in " ".join(child.cmdline())]

    def read(self) -> str:
        """All that has been written and is still to come, until the server has ended."""
        data = b""
        while chunk := os.read(self.stderr, 65536):
            data += chunk
        return data.decode()


@contextmanager
def served(folder: Path) -> Iterator[Unread]:
    (folder / "app.py").write_text(APP)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, b".\n" * 100)
    except BlockingIOError:
        os.set_blocking(writer, True)
    process = subprocess.Popen(
        [sys.executable, "-m", "wspulse.supervisor", "--app", "app:server", "--port", "0", "--workers", "2"],
        stdout=subprocess.PIPE,
        stderr=writer,
        stdin=subprocess.DEVNULL,
        cwd=folder,
        start_new_session=True,
    )
    os.close(writer)
    try:
        assert process.stdout is not None
        match = READY_LINE.search(process.stdout.readline().decode())
        assert match is not None
        yield Unread(process, match["url"], reader)
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        finally:
            process.stdout.close()  # type: ignore[union-attr]
            os.close(reader)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Unread]:
    with served(tmp_path) as running:
        yield running


def ask(client: ClientConnection, event: str) -> None:
    client.send(json.dumps({"event": event}))
    assert json.loads(client.recv(timeout=10))["event"] == event


def test_clients_of_both_workers_are_answered_while_one_fills_the_log_that_nobody_reads(server: Unread) -> None:
    placement = Placement(2)
    with (
        connect(f"{server.url}?id={placement.new_id(0)}") as loud,
        connect(f"{server.url}?id={placement.new_id(1)}") as other,
    ):
        ask(loud, "bad")
        before = [worker.memory_info().rss for worker in server.workers()]
        for _ in range(3):
            ask(loud, "bad")
            ask(loud, "good")
            ask(other, "bad")
            ask(other, "good")
        grown = [worker.memory_info().rss - old for worker, old in zip(server.workers(), before, strict=True)]
        assert max(grown) < MOST_MEMORY_BYTES
        began = time.monotonic()
        server.process.terminate()
        assert server.process.wait(10) == 0
        assert time.monotonic() - began < 8


def test_log_that_is_read_again_says_how_many_lines_are_missing(server: Unread) -> None:
    with connect(f"{server.url}?id=a") as loud:
        ask(loud, "bad")
    server.process.terminate()
    text = server.read()
    server.process.wait(10)
    (told,) = [line for line in text.splitlines() if "log lines were dropped" in line]
    missing = int(told.partition("lines=")[2].partition(")")[0])
    assert text.count("a bad message") + missing >= 3_000


def test_server_whose_stdout_nobody_reads_serves(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, b"." * 100)
    except BlockingIOError:
        os.set_blocking(writer, True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = ["--app", "echo", "--port", str(port), "--workers", "1"]
    with (tmp_path / "stderr").open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "wspulse.supervisor", *command], stdout=writer, stderr=stderr, start_new_session=True
        )
    os.close(writer)
    try:
        wait_until(lambda: b"the ready line waits" in (tmp_path / "stderr").read_bytes(), 20, "the server is ready")
        with connect(f"ws://127.0.0.1:{port}/ws?id=a") as client:
            ask(client, "say")
        data = b""
        while b"\n" not in data:
            data += os.read(reader, 65536)
        assert READY_LINE.search(data.decode())
        process.terminate()
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
        os.close(reader)
