"""A process that a handler forks off its worker: it keeps what is the application's, and nothing that is ours."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from websockets.exceptions import ConnectionClosed, ConnectionClosedError
from websockets.sync.client import ClientConnection, connect

from tests.support.processes.server_process import ServerProcess, serve_process, wait_until
from wspulse.actors.mesh.placement import Placement

APP = """
import asyncio, json, multiprocessing, os, signal, socket, stat, sys, time
from wspulse import Frame, Server

server = Server(lambda request: ("lobby", request.query["id"]))
ours, theirs = socket.socketpair()      # the application's own
ours.settimeout(10)
outside = socket.create_connection(("127.0.0.1", int(os.environ["OUTSIDE"])))

signalled = []

@server.on_start
async def listen():
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, signalled.append, 1)

def kept():
    found = []
    for fd in map(int, os.listdir("/dev/fd")):
        try:
            if not stat.S_ISSOCK(os.fstat(fd).st_mode):
                continue
        except OSError:
            continue
        sock = socket.socket(fileno=fd)
        if fd not in (ours.fileno(), theirs.fileno(), outside.fileno()):
            found.append([sock.family.name, str(sock.getsockname())])
        sock.detach()
    return found

def live():
    outside.sendall(b"from the child")
    theirs.sendall(json.dumps(kept()).encode())
    time.sleep(60)

@server.on_message
async def answer(connection, frame):
    match frame.event:
        case "fork":
            pid = os.fork()
            if pid == 0:
                live()
                os._exit(0)
            await connection.send(Frame("forked", {"pid": pid, "kept": json.loads(ours.recv(65536))}))
        case "fork from a thread":
            child = multiprocessing.get_context("fork").Process(target=live)
            await asyncio.to_thread(child.start)
            await connection.send(Frame("forked", {"pid": child.pid, "kept": json.loads(ours.recv(65536))}))
        case "terminate":
            child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
            child.start()
            child.terminate()
            await asyncio.to_thread(child.join, 5)
            code = child.exitcode
            child.kill()
            await connection.send(Frame("terminated", code))
        case "return":
            pid = os.fork()
            if pid == 0:
                return                   # into the loop, where it must do no harm
            await connection.send(Frame("forked", pid))
        case "close":
            await connection.close(1000, "bye")
        case "signalled":
            await connection.send(Frame("signalled", len(signalled)))
        case "echo":
            await connection.send(frame)

@server.on_disconnect
def gone(connection, error):
    with open("disconnects", "a") as file:
        file.write(f"{os.getpid()}\\n")

async def main():
    async with server.serve() as running:
        print(running.url, flush=True)
        await asyncio.sleep(60)

if __name__ == "__main__":
    if sys.argv[1] == "uvloop":
        import uvloop
        uvloop.run(main())
    else:
        asyncio.run(main())
"""


@pytest.fixture
def outside() -> Iterator[socket.socket]:
    """A server of somebody else, to which the application has a connection of its own."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        yield listener


@pytest.fixture
def app(tmp_path: Path, outside: socket.socket, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OUTSIDE", str(outside.getsockname()[1]))
    (tmp_path / "app.py").write_text(APP)
    return tmp_path


@pytest.fixture(params=[1, 2], ids=["1 worker", "2 workers"])
def served(request: pytest.FixtureRequest, app: Path) -> Iterator[ServerProcess]:
    options = ("--app", "app:server", "--control", f"ipc://{app}/c")
    with serve_process(*options, workers=request.param, cwd=app) as server:
        yield server


def ask(client: ClientConnection, event: str) -> Any:
    client.send(json.dumps({"event": event}))
    return json.loads(client.recv(timeout=10)).get("payload")


@contextmanager
def forked(client: ClientConnection, event: str = "fork") -> Iterator[list[Any]]:
    """While there is a child of the worker that has this connection: the sockets that it kept, but for the application's."""
    found = ask(client, event)
    try:
        yield found["kept"]
        assert is_running(found["pid"])
    finally:
        with suppress(ProcessLookupError):
            os.kill(found["pid"], signal.SIGKILL)
        wait_until(lambda: not is_running(found["pid"]), 10, "the child has ended")


def is_running(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def members(served: ServerProcess, stack: ExitStack) -> list[ClientConnection]:
    """Connections of every worker; several of each, so that some were handed over. The first is of shard 0."""
    workers = len(served.worker_pids())
    placement = Placement(workers)
    return [
        stack.enter_context(connect(f"{served.url}?id={placement.new_id(number % workers)}"))
        for number in range(4 * workers)
    ]


def assert_of_no_use(kept: list[Any]) -> None:
    """What is left is the pair with which the loop wakes itself."""
    assert len(kept) <= 2
    assert all(family == "AF_UNIX" and name == "" for family, name in kept), kept


@pytest.mark.parametrize("event", ["fork", "fork from a thread"])
def test_child_keeps_the_applications_sockets_and_none_of_ours(
    served: ServerProcess, outside: socket.socket, event: str
) -> None:
    with ExitStack() as stack:
        connections = [stack.enter_context(outside.accept()[0]) for _ in served.worker_pids()]
        client, *others = members(served, stack)
        with forked(client, event) as kept:
            assert_of_no_use(kept)
            said = b""
            for connection in connections:
                connection.setblocking(False)
                with suppress(BlockingIOError):
                    said += connection.recv(100)
            assert said == b"from the child"
            assert [ask(each, "echo") for each in (client, *others)] == [None] * (1 + len(others))


def test_peer_sees_the_end_of_a_connection_that_is_closed_while_a_child_lives(served: ServerProcess) -> None:
    with ExitStack() as stack:
        client, *_ = members(served, stack)
        with forked(client):
            sock = client.socket
            client.send('{"event":"close"}')
            with pytest.raises(ConnectionClosed):
                client.recv(timeout=5)
            wait_until(lambda: _has_ended(sock), 5, "the socket ends")


def _has_ended(sock: socket.socket) -> bool:
    return sock.fileno() < 0


def test_peers_of_a_killed_worker_see_the_end_and_its_replacement_serves_while_a_child_lives(
    served: ServerProcess,
) -> None:
    with ExitStack() as stack:
        client, *others = members(served, stack)
        workers = served.worker_pids()
        with forked(client):
            os.kill(workers[0], signal.SIGKILL)
            for member in (client, *others[len(workers) - 1 :: len(workers)]):
                with pytest.raises(ConnectionClosedError):
                    member.recv(timeout=5)
            wait_until(lambda: served.worker_pids().get(0, workers[0]) != workers[0], 10, "there is a new worker")
            new_id = Placement(len(workers)).new_id(0)
            with connect(f"{served.url}?id={new_id}") as newcomer:
                assert ask(newcomer, "echo") is None


def test_port_is_free_when_the_server_has_ended_though_a_child_lives(served: ServerProcess) -> None:
    with ExitStack() as stack:
        client, *_ = members(served, stack)
        with forked(client):
            served.terminate()
            assert served.wait() == 0
            with pytest.raises(ConnectionClosed):
                client.recv(timeout=5)
            socket.create_server(("127.0.0.1", served.port)).close()


def test_child_is_ended_by_a_signal_which_its_worker_does_not_notice(served: ServerProcess) -> None:
    with ExitStack() as stack:
        client, *others = members(served, stack)
        assert ask(client, "terminate") == -signal.SIGTERM
        assert [ask(each, "echo") for each in (client, *others)] == [None] * (1 + len(others))


def test_signal_to_a_child_wakes_no_handler_of_its_worker(served: ServerProcess) -> None:
    with ExitStack() as stack:
        client, *_ = members(served, stack)
        child = ask(client, "fork")["pid"]
        try:
            os.kill(child, signal.SIGUSR1)
            assert [ask(client, "signalled") for _ in range(100)] == [0] * 100
            os.kill(served.worker_pids()[0], signal.SIGUSR1)
            wait_until(lambda: ask(client, "signalled") == 1, 10, "the worker's own is handled")
        finally:
            os.kill(child, signal.SIGKILL)


def test_child_that_returns_into_the_loop_ends_and_takes_nothing_from_its_worker(
    served: ServerProcess, app: Path
) -> None:
    with ExitStack() as stack:
        client, *others = members(served, stack)
        pid = ask(client, "return")
        for _ in range(20):
            assert [ask(each, "echo") for each in (client, *others)] == [None] * (1 + len(others))
        wait_until(lambda: not is_running(pid), 10, "the child has ended")
    wait_until((app / "disconnects").exists, 10, "the clients' ends have been noticed")
    assert str(pid) not in (app / "disconnects").read_text().split()


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_child_of_a_server_that_runs_by_itself_keeps_none_of_its_sockets(
    app: Path, outside: socket.socket, loop: str
) -> None:
    with subprocess.Popen([sys.executable, "app.py", loop], cwd=app, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            with outside.accept()[0], connect(f"{url}?id=ada") as client, forked(client) as kept:
                assert_of_no_use(kept)
                process.kill()
                process.wait(10)
                with pytest.raises(ConnectionClosedError):
                    client.recv(timeout=5)
        finally:
            process.kill()
