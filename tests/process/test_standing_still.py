"""A server that stands still for a while, all its processes stopped as by a debugger or a host that swaps: nobody pays for it."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from websockets.sync.client import ClientConnection, connect

from tests.support.processes.server_process import ServerProcess, serve_process
from tests.support.wire.raw_peer import head

APP = """
from wspulse import Frame, Server

server = Server(lambda request: ("room", request.query.get("id", "")), resume_window=3, ping_period=1, pong_wait=2)

@server.on_connect
def new(connection):
    connection.send_nowait(Frame("new"))

@server.on_transport_restore
def back(connection):
    connection.send_nowait(Frame("back"))

@server.on_message
def echo(connection, frame):
    connection.send_nowait(frame)
"""
STOP_S = 6.0
"""Twice the resume window, and thrice `pong_wait`."""

CLIENTS = 30


@contextmanager
def stopped(server: ServerProcess) -> Iterator[None]:
    pids = server.pids()
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("workers", [1, 4])
def test_nobody_pays_for_the_time_in_which_the_server_stood_still(tmp_path: Path, workers: int) -> None:
    (tmp_path / "app.py").write_text(APP)
    with serve_process("--app", "app:server", workers=workers, cwd=tmp_path) as server, ExitStack() as stack:
        staying = [
            stack.enter_context(connect(f"{server.url}?id=stay{number}", proxy=None)) for number in range(CLIENTS)
        ]
        for client in staying:
            assert "new" in client.recv(10)
        for number in range(CLIENTS):
            with connect(f"{server.url}?id=back{number}", proxy=None) as client:
                drop(client)
        with stopped(server):
            waiting = [dial(server.port, f"/ws?id=back{number}") for number in range(CLIENTS)]
            time.sleep(STOP_S)
        came = [first_event(sock) for sock in waiting]
        assert came.count("back") == CLIENTS, f"{came.count('new')} of {CLIENTS} found their sessions expired"
        for client in staying:
            client.send('{"event":"still here"}')
            assert "still here" in client.recv(10)
        for sock in waiting:
            sock.close()


def drop(client: ClientConnection) -> None:
    """Cut the socket when its session has begun, without a close frame."""
    assert "new" in client.recv(10)
    client.socket.shutdown(socket.SHUT_RDWR)


def dial(port: int, target: str) -> socket.socket:
    """A connection whose request waits to be accepted."""
    sock = socket.create_connection(("127.0.0.1", port), 10)
    sock.sendall(head(target))
    return sock


def first_event(sock: socket.socket) -> str:
    data = b""
    while b'"event":"' not in data:
        more = sock.recv(4096)
        assert more, data
        data += more
    return data.partition(b'"event":"')[2].partition(b'"')[0].decode()
