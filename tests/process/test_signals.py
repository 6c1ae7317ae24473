"""Signals to the processes of a server: which end it, which reload it, and that no other harms it."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.support.processes.server_process import READY_LINE, ServerProcess, serve_process, start_process, wait_until

APP = """
import asyncio, signal, subprocess, sys
from wspulse import Frame, Server

server = Server(lambda request: ("lobby", request.query["id"]))
signalled = []

@server.on_start
async def listen():
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, signalled.append, 1)

SHOW = "import signal; print([int(n) for n in signal.valid_signals() if signal.getsignal(n) is signal.SIG_IGN])"

@server.on_message
async def answer(connection, frame):
    print("a message")
    match frame.event:
        case "signalled":
            await connection.send(Frame("signalled", len(signalled)))
        case "ignored":
            shown = subprocess.run([sys.executable, "-c", SHOW], capture_output=True, text=True, check=True)
            await connection.send(Frame("ignored", shown.stdout))
        case _:
            await connection.send(frame)
"""

HARMLESS = sorted(
    {
        *range(signal.SIGRTMIN, signal.SIGRTMAX + 1),
        *(signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF, signal.SIGIO),
        *(signal.SIGTTIN, signal.SIGTTOU, signal.SIGXFSZ, signal.SIGXCPU, signal.SIGPIPE, signal.SIGPWR),
        *(signal.SIGCHLD, signal.SIGCONT, signal.SIGWINCH, signal.SIGURG, getattr(signal, "SIGSTKFLT", signal.SIGUSR1)),
    }
)


def write_app(folder: Path) -> Path:
    (folder / "app.py").write_text(APP)
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with serve_process("--app", "app:server", workers=2, cwd=write_app(tmp_path_factory.mktemp("app"))) as running:
        yield running


def ask(client: ClientConnection, event: str = "say") -> object:
    client.send(json.dumps({"event": event}))
    answer = json.loads(client.recv(timeout=10))
    assert answer["event"] == event
    return answer.get("payload")


def members(server: ServerProcess, stack: ExitStack) -> list[ClientConnection]:
    """Of both workers, most likely."""
    return [stack.enter_context(connect(f"{server.url}?id=c{number}")) for number in range(16)]


def test_signals_that_mean_nothing_harm_neither_supervisor_nor_workers(server: ServerProcess) -> None:
    workers = server.worker_pids()
    with ExitStack() as stack:
        clients = members(server, stack)
        for pid in (server.pid, *workers.values()):
            for number in HARMLESS:
                os.kill(pid, number)
        for client in clients:
            ask(client)
    assert server.worker_pids() == workers
    expected = [(who, name) for who in ("supervisor", "worker 0", "worker 1") for name in ("SIGPROF", "SIGRTMIN+7")]
    wait_until(lambda: all(named(server, *each) for each in expected), 10, "each tells of each")


def named(server: ServerProcess, who: str, name: str) -> bool:
    lines = [line for line in server.stderr().splitlines() if "was ignored" in line]
    return any(f"{who}: a signal that the server does not use was ignored (signal={name}, " in line for line in lines)


def test_applications_own_handler_hears_its_signal(server: ServerProcess) -> None:
    with connect(f"{server.url}?id=a") as client:
        before = ask(client, "signalled")
        assert isinstance(before, int)
        for pid in server.worker_pids().values():
            os.kill(pid, signal.SIGUSR1)
        wait_until(lambda: ask(client, "signalled") == before + 1, 10, "the handler was called")


def test_program_that_a_worker_starts_ignores_only_what_comes_of_a_terminal(server: ServerProcess) -> None:
    with connect(f"{server.url}?id=a") as client:
        ignored = set(json.loads(str(ask(client, "ignored"))))
    by_python = {signal.SIGPIPE, signal.SIGXFSZ}
    assert ignored - by_python == {signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTTIN, signal.SIGTTOU}


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGQUIT])
def test_signal_of_the_terminal_ends_no_worker(server: ServerProcess, number: signal.Signals) -> None:
    workers = server.worker_pids()
    with ExitStack() as stack:
        clients = members(server, stack)
        for pid in workers.values():
            os.kill(pid, number)
        for client in clients:
            ask(client)
    assert server.worker_pids() == workers


def test_hangup_of_the_whole_group_replaces_every_worker_and_no_client_notices(tmp_path: Path) -> None:
    with serve_process("--app", "app:server", workers=2, cwd=write_app(tmp_path)) as server, ExitStack() as stack:
        before = server.worker_pids()
        clients = members(server, stack)
        os.killpg(server.pid, signal.SIGHUP)
        wait_until(lambda: "the server has been reloaded" in server.stderr(), 20, "the reload is done")
        after = server.worker_pids()
        assert set(after) == {0, 1}
        assert not set(before.values()) & set(after.values())
        assert "resource_tracker" not in server.stderr()
        for client in clients:
            ask(client)


def test_signals_for_another_number_of_workers_are_added_up_and_never_leave_none(tmp_path: Path) -> None:
    with serve_process("--app", "app:server", workers=2, cwd=write_app(tmp_path)) as server, ExitStack() as stack:
        clients = members(server, stack)
        os.kill(server.pid, signal.SIGTTIN)
        wait_until(lambda: set(server.worker_pids()) == {0, 1, 2}, 20, "there is a worker more")
        wait_until(lambda: "the server has been scaled" in server.stderr(), 20, "it has its share")
        for client in clients:
            ask(client)
        for _ in range(4):
            os.kill(server.pid, signal.SIGTTOU)
            wait_until(lambda: "workers_more=-" in server.stderr(), 5, "it was heard")
        wait_until(lambda: set(server.worker_pids()) == {0}, 20, "one is left")
        for client in clients:
            ask(client)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_signal_for_the_end_to_the_whole_group_is_an_orderly_end(number: signal.Signals, tmp_path: Path) -> None:
    with serve_process("--app", "echo", workers=2) as server, connect(f"{server.url}?id=a") as client:
        if number != signal.SIGTERM:
            os.killpg(server.pid, number)
        else:
            server.terminate()
        with pytest.raises(ConnectionClosed) as caught:
            client.recv(timeout=10)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1001
        assert server.wait() == 0


SLOW_START = """
import time
from pathlib import Path
from wspulse import Server

server = Server(lambda request: ("lobby", ""))

@server.on_start
async def wait():
    import asyncio
    Path("starting").touch()
    while not Path("go").exists():
        await asyncio.sleep(0.01)
"""


def test_server_that_starts_is_reloaded_when_it_is_ready_and_ended_by_none_of_what_means_nothing(
    tmp_path: Path,
) -> None:
    (tmp_path / "app.py").write_text(SLOW_START)
    with start_process("--app", "app:server", "--port", "0", "--workers", "1", cwd=tmp_path) as server:
        wait_until((tmp_path / "starting").exists, 20, "the application starts")
        before = server.worker_pids()
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGALRM, signal.SIGRTMIN):
            os.killpg(server.pid, number)
        (tmp_path / "go").touch()
        server.await_ready()
        wait_until(lambda: "the server has been reloaded" in server.stderr(), 20, "the reload is done")
        assert server.worker_pids() != before


def test_server_that_starts_ends_with_the_first_quit(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(SLOW_START)
    with start_process("--app", "app:server", "--port", "0", "--workers", "1", cwd=tmp_path) as server:
        wait_until((tmp_path / "starting").exists, 20, "the application starts")
        server.signal(signal.SIGQUIT)
        assert server.wait(10) == 0


def test_server_outlives_its_terminal_and_goes_on_to_serve(tmp_path: Path) -> None:
    write_app(tmp_path)
    ours, theirs = os.openpty()

    def take_terminal() -> None:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    command = ["--app", "app:server", "--port", "0", "--workers", "2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "wspulse.supervisor", *command],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=tmp_path,
        preexec_fn=take_terminal,  # noqa: PLW1509 - this process has no other threads that matter
    )
    os.close(theirs)
    server = ServerProcess(process, tmp_path)
    try:
        text = ""
        while (match := READY_LINE.search(text)) is None:
            text += os.read(ours, 4096).decode()
        server.url = match["url"]
        before = server.worker_pids()
        os.close(ours)
        wait_until(lambda: len(server.worker_pids()) == 2 and not is_any(before, server), 20, "the workers are others")
        deadline = time.monotonic() + 20
        while True:
            try:
                with connect(f"{server.url}?id=a") as client:
                    assert ask(client) is None
                    break
            except (ConnectionClosed, InvalidStatus, OSError):  # 503 by a worker that is going
                assert time.monotonic() < deadline
        process.terminate()
        assert process.wait(15) == 0
    finally:
        process.kill()
        process.wait()
        server.wait_gone()


def is_any(before: dict[int, int], server: ServerProcess) -> bool:
    return bool(set(before.values()) & set(server.worker_pids().values()))
