"""A worker at its limit of descriptors while another is restarted: afterwards all passes between the two that did before."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.support.processes.server_process import ServerProcess, serve_process, wait_until
from wspulse import Control
from wspulse.actors.mesh.placement import Placement

MIB = 1024 * 1024

UPGRADE = (
    "Host: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
)

APP = """
from wspulse import Frame, Server

server = Server(lambda request: ("lobby", request.query["id"]), max_message_size=1 << 20, send_buffer_bytes=1 << 26)

@server.on_message
async def obey(connection, frame):
    if frame.event == "send":
        try:
            await server.send(frame.decode(str), Frame("hello"))
            answer = "sent"
        except Exception as error:
            answer = repr(error)
        connection.send_nowait(Frame("result", answer))
    else:
        await server.broadcast("lobby", frame)
"""


@pytest.fixture
def app(tmp_path: Path) -> Path:
    (tmp_path / "crossing.py").write_text(APP)
    return tmp_path


def id_on(shard: int) -> str:
    return Placement(2).new_id(shard)


@contextmanager
def no_descriptor_free(pid: int) -> Iterator[None]:
    """The limit is what is open already: nothing that is open ends, and nothing can be opened."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    try:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (8, before[1]))
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


def result_of_send(client: ClientConnection, connection_id: str) -> str:
    client.send(json.dumps({"event": "send", "payload": connection_id}))
    while True:
        frame = json.loads(client.recv(timeout=10))
        if frame["event"] == "result":
            return str(frame["payload"])


def links_down(control: Control) -> list[int]:
    return [worker.links_down for worker in control.stats().workers]


def broadcast_bytes(talker: ClientConnection, listener: ClientConnection, total_bytes: int) -> int:
    """What the listener gets when the talker broadcasts so much, each in half megabytes."""
    payload, count = "y" * (MIB // 2), total_bytes // (MIB // 2)

    def talk() -> None:
        for _ in range(count):
            talker.send(json.dumps({"event": "news", "payload": payload}))

    talking = threading.Thread(target=talk)
    drained = threading.Thread(target=received_bytes, args=(talker, count, len(payload)))
    talking.start()
    drained.start()
    got = received_bytes(listener, count, len(payload))
    talking.join(30)
    drained.join(30)
    return got


def received_bytes(client: ClientConnection, count: int, each: int) -> int:
    got = 0
    while got < count * each:
        try:
            got += len(json.loads(client.recv(timeout=10)).get("payload", ""))
        except (TimeoutError, ConnectionClosed):
            break
    return got


def test_worker_at_its_descriptor_limit_while_another_restarts_reaches_it_afterwards(app: Path) -> None:
    args = ("--app", "crossing:server")
    with serve_process(*args, workers=2, cwd=app) as server:
        assert server.control is not None
        with Control(server.control) as control, connect(f"{server.url}?id={id_on(0)}", max_size=None) as ada:
            bob_id = id_on(1)
            with connect(f"{server.url}?id={bob_id}") as bob:
                assert result_of_send(ada, bob_id) == "sent"
                assert json.loads(bob.recv(timeout=5))["event"] == "hello"
            wait_until(lambda: links_down(control) == [0, 0], 5, "both workers reach each other")
            pids = server.worker_pids()
            with no_descriptor_free(pids[0]):
                os.kill(pids[1], signal.SIGKILL)
                wait_until(lambda: links_down(control)[0] == 1, 5, "the statistics tell that one is out of reach")
                wait_until(lambda: "another shard cannot be reached" in server.stderr(), 5, "the log tells it")
                wait_until(lambda: server.worker_pids().get(1) not in (None, pids[1]), 5, "its replacement runs")
            wait_until(lambda: links_down(control) == [0, 0], 5, "both workers reach each other again")
            assert server.stderr().count("another shard cannot be reached") == 1
            assert psutil.pid_exists(pids[0])
            assert server.worker_pids()[0] == pids[0], "the worker that was short of descriptors is another one"
            _upgrades_pass(server)
            with connect(f"{server.url}?id={bob_id}", max_size=None) as bob:
                assert result_of_send(ada, bob_id) == "sent"
                assert result_of_send(bob, "nobody").startswith("ConnectionNotFoundError")
                assert broadcast_bytes(bob, ada, 24 * MIB) >= 24 * MIB


def _upgrades_pass(server: ServerProcess) -> None:
    """Whichever of the two accepts, whoever owns the id: forty, of which half change their worker."""
    for number in range(40):
        with connect(f"{server.url}?id={id_on(number % 2)}", open_timeout=5):
            pass


def test_worker_at_its_descriptor_limit_leaves_connections_to_the_other_and_drops_none(app: Path) -> None:
    with serve_process("--app", "crossing:server", workers=2, cwd=app) as server, ExitStack() as opened:
        full = server.worker_pids()[0]
        open_already = psutil.Process(full).num_fds()
        before = resource.prlimit(full, resource.RLIMIT_NOFILE)
        resource.prlimit(full, resource.RLIMIT_NOFILE, (open_already + 80, before[1]))
        # Whose head is not complete, whoever has accepted it has.
        clients = [opened.enter_context(socket.create_connection(("127.0.0.1", server.port), 10)) for _ in range(300)]
        for client in clients:
            client.sendall(b"GET /ws?id=")
        for client in clients:
            client.sendall(f"{id_on(1)} HTTP/1.1\r\n{UPGRADE}\r\n\r\n".encode())
        answers = Counter(client.recv(1024)[:12] for client in clients)
        # One that it has accepted, it may find no descriptor for to hand it over with: that is said.
        assert set(answers) <= {b"HTTP/1.1 101", b"HTTP/1.1 503"}
        assert answers[b"HTTP/1.1 101"] >= 220
        assert "nearly all file descriptors are in use" in server.stderr()
        assert server.worker_pids()[0] == full
