"""Whole servers as processes: start, orderly end, and what a person reads when they do not start."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from tests.support.processes.server_process import ServerProcess, run_to_end, serve_process, start_process, wait_until


def close_code_of(client: ClientConnection) -> int:
    """Read until the end; the code that the server closed with."""
    with pytest.raises(ConnectionClosed) as caught:  # noqa: PT012
        while True:
            client.recv(timeout=10)
    received = caught.value.rcvd
    assert received is not None, "the socket ended without a close frame"
    return received.code


@contextmanager
def connected(server: ServerProcess, count: int) -> Iterator[list[ClientConnection]]:
    with ExitStack() as stack:
        yield [stack.enter_context(connect(f"{server.url}?id=c{n}")) for n in range(count)]


def echoed(url: str, text: str) -> None:
    frame = {"event": "say", "payload": text}
    with connect(url) as client:
        client.send(json.dumps(frame))
        assert json.loads(client.recv(timeout=10)) == frame


def write_app(folder: Path, text: str) -> Path:
    (folder / "app.py").write_text(
        f"""
import os, sys, time, asyncio, threading
from pathlib import Path
from wspulse import Server

async def connect(request):
    return "lobby", request.query.get("id", "")

server = Server(connect)
{text}
"""
    )
    return folder


# Ready, and the end.


@pytest.mark.parametrize("workers", [1, 3])
def test_ready_line_is_all_that_stands_on_stdout(workers: int) -> None:
    with serve_process("--app", "echo", workers=workers) as server:
        where = f"ws://127.0.0.1:{server.port}/ws"
        counted = "1 worker" if workers == 1 else f"{workers} workers"
        assert server.stdout() == f"wspulse: ready on {where} ({counted}, control {server.control})\n"
        assert set(server.worker_pids()) == set(range(workers))
        echoed(server.url, "hello")
        server.terminate()
        assert server.wait() == 0
        assert server.stdout().count("\n") == 1


def test_ready_line_brackets_ipv6() -> None:
    with serve_process("--app", "echo", "--host", "::1", "--path", "/chat", workers=1) as server:
        assert server.url == f"ws://[::1]:{server.port}/chat"
        echoed(server.url, "hello")


def test_prints_of_an_application_do_not_reach_stdout(tmp_path: Path) -> None:
    app = write_app(tmp_path, 'print("hello from the application")')
    with serve_process("--app", "app:server", workers=1, cwd=app) as server:
        wait_until(lambda: "hello from the application" in server.stderr(), 5, "it is in the log")
        assert server.stdout().count("\n") == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_closes_clients_with_1001_and_ends_with_zero(number: signal.Signals, tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    env = {"XDG_RUNTIME_DIR": str(tmp_path)}
    with serve_process("--app", "echo", workers=2, env=env) as server, connected(server, 8) as clients:
        runtime_dir = tmp_path / "wspulse" / str(server.port)
        assert (runtime_dir / "lock").exists()
        server.signal(number)
        assert [close_code_of(client) for client in clients] == [1001] * 8
        assert server.wait() == 0
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", server.port), timeout=5)
        assert not runtime_dir.exists()


def test_interrupt_of_the_terminal_reaches_all_processes_and_is_still_orderly() -> None:
    with serve_process("--app", "echo", workers=2) as server, connect(server.url) as client:
        os.killpg(server.pid, signal.SIGINT)
        assert close_code_of(client) == 1001
        assert server.wait() == 0
        assert "Traceback" not in server.stderr()
        assert "died" not in server.stderr()


def test_termination_of_the_whole_group_is_still_orderly() -> None:
    """Service managers send SIGTERM to every process of a service."""
    with serve_process("--app", "echo", workers=2) as server, connect(server.url) as client:
        os.killpg(server.pid, signal.SIGTERM)
        assert close_code_of(client) == 1001
        assert server.wait() == 0
        assert "died" not in server.stderr()


def test_disconnect_handlers_run_before_the_end(tmp_path: Path) -> None:
    app = write_app(
        tmp_path,
        """
@server.on_disconnect
async def gone(connection, error):
    await asyncio.sleep(0.3)
    with open("gone", "a") as file:
        file.write(f"{connection.id} {type(error).__name__}\\n")

@server.on_stop
async def stop():
    with open("stopped", "a") as file:
        file.write(f"{server.shard}\\n")
""",
    )
    with serve_process("--app", "app:server", workers=2, cwd=app) as server, connected(server, 4) as clients:
        server.terminate()
        assert [close_code_of(client) for client in clients] == [1001] * 4
        assert server.wait() == 0
    assert sorted((app / "gone").read_text().split("\n")) == ["", *(f"c{n} ServerClosedError" for n in range(4))]
    assert sorted((app / "stopped").read_text().split()) == ["0", "1"]


def test_workers_that_do_not_end_are_killed_within_the_shutdown_timeout(tmp_path: Path) -> None:
    app = write_app(
        tmp_path,
        """
@server.on_disconnect
async def gone(connection, error):
    await asyncio.sleep(60)
""",
    )
    with (
        serve_process("--app", "app:server", "--shutdown-timeout", "5", workers=2, cwd=app) as server,
        connect(server.url),
    ):
        began = time.monotonic()
        server.terminate()
        assert server.wait() == 0
        assert time.monotonic() - began < 5
        assert "a worker did not end in time and is killed" in server.stderr()


def test_second_signal_kills_at_once(tmp_path: Path) -> None:
    app = write_app(
        tmp_path,
        """
@server.on_disconnect
async def gone(connection, error):
    open("draining", "w").close()
    await asyncio.sleep(60)
""",
    )
    with serve_process("--app", "app:server", workers=2, cwd=app) as server, connect(server.url):
        server.terminate()
        wait_until((app / "draining").exists, 5, "the first signal has begun to drain")
        began = time.monotonic()
        server.terminate()
        assert server.wait() == 128 + signal.SIGTERM
        assert time.monotonic() - began < 1.0


def test_signal_during_a_slow_import_ends_at_once(tmp_path: Path) -> None:
    app = write_app(tmp_path, 'open(f"importing", "w").close()\ntime.sleep(60)')
    with start_process("--port", "0", "--workers", "2", "--app", "app:server", cwd=app) as server:
        wait_until((app / "importing").exists, 20, "the application is being imported")
        server.terminate()
        assert server.wait(2) == 0


def test_application_can_close_the_whole_server(tmp_path: Path) -> None:
    app = write_app(
        tmp_path,
        """
@server.on_message
async def end(connection, frame):
    await server.close()
""",
    )
    with serve_process("--app", "app:server", workers=2, cwd=app) as server, connected(server, 4) as clients:
        clients[0].send(json.dumps({"event": "end"}))
        assert [close_code_of(client) for client in clients] == [1001] * 4
        assert server.wait() == 0
        assert "the application closed the server" in server.stderr()


def test_settings_of_every_layer_reach_the_workers(tmp_path: Path) -> None:
    (tmp_path / "server.toml").write_text('codec = "raw"\nallow_origin = ["https://good.example"]\n')
    args = ("--app", "echo", "--config", "server.toml", "--max-message-size", "100", "--subprotocol", "v1")
    with serve_process(*args, workers=1, cwd=tmp_path, env={"WSPULSE_PATH": "/chat"}) as server:
        assert server.url.endswith("/chat")
        with connect(server.url, subprotocols=[Subprotocol("v1")], origin=Origin("https://good.example")) as client:
            assert client.subprotocol == "v1"
            client.send("no frame at all")
            assert client.recv(timeout=10) == "no frame at all"
            client.send("x" * 101)
            assert close_code_of(client) == 1009
        with (
            pytest.raises(InvalidStatus, match="HTTP 403"),
            connect(server.url, origin=Origin("https://evil.example")),
        ):
            pass


def test_command_serves_as_the_module_does_with_the_current_folder_first(tmp_path: Path) -> None:
    """The `wspulse` command's own folder is first on sys.path of a script, not the current one."""
    app = write_app(tmp_path, "")
    program = "import sys; sys.path.pop(0); from wspulse.supervisor.cli import main; sys.exit(main())"
    with start_process(
        "--workers", "1", "--port", "0", "--app", "app:server", cwd=app, program=("-c", program, "serve")
    ) as server:
        server.await_ready()
        with connect(server.url):
            pass


def test_closed_standard_streams_harm_nothing() -> None:
    """Daemon starters close them; a socket must not get their numbers."""
    program = "import os, sys; os.close(0); os.close(2); from wspulse.supervisor.cli import serve; sys.exit(serve())"
    with start_process("--workers", "2", "--port", "0", "--app", "echo", program=("-c", program)) as server:
        server.await_ready()
        echoed(server.url, "hello")
        server.terminate()
        assert server.wait() == 0


# What does not start.


def one_line(text: str) -> str:
    assert text.endswith("\n")
    assert text.count("\n") == 1, text
    return text[:-1]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--port", "x"], "wspulse: --port: 'x' is not an integer; allowed: 0 … 65535"),
        (["--port"], "wspulse: --port: expected one argument"),
        (["--prot", "1"], "wspulse: there is no option --prot; did you mean --port? (see wspulse serve --help)"),
        (["--port", "0", "--app", "nothing"], "wspulse: app: 'nothing' is not a built-in application"),
        (["--port", "0", "--pong-wait", "5"], "wspulse: --pong-wait: 5 must be above ping_period (10)"),
        (["--config", "none.toml"], "wspulse: none.toml: cannot be read: No such file or directory"),
    ],
)
def test_wrong_usage_ends_with_two_and_one_line(args: list[str], said: str) -> None:
    finished = run_to_end("--workers", "2", *args)
    assert finished.returncode == 2
    assert one_line(finished.stderr).startswith(said)
    assert finished.stdout == ""


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("app:missing", "", "wspulse: app: app has no attribute 'missing'; its servers are server"),
        ("app:connect", "", "wspulse: app: app:connect is of type function, not a wspulse.Server"),
        ("app:bare", "bare = Server()", "wspulse: connect: required"),
    ],
)
def test_application_that_is_no_server_ends_with_two_and_one_line(
    tmp_path: Path, name: str, text: str, said: str
) -> None:
    finished = run_to_end("--port", "0", "--workers", "2", "--app", name, cwd=write_app(tmp_path, text))
    assert finished.returncode == 2
    assert one_line(finished.stderr).startswith(said)


def test_variable_that_a_worker_refuses_is_named() -> None:
    finished = run_to_end("--port", "0", "--workers", "1", env={"WSPULSE_PONG_WAIT": "5"})
    assert one_line(finished.stderr) == "wspulse: WSPULSE_PONG_WAIT: 5 must be above ping_period (10)"
    assert finished.returncode == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("raise LookupError('at import')", "LookupError: at import"),
        ("import nothing_of_this_name", "ModuleNotFoundError: No module named 'nothing_of_this_name'"),
        ("sys.exit(3)", "SystemExit: 3"),
        ("def broken(:", "SyntaxError: "),
        ("@server.on_start\nasync def start():\n    raise LookupError('at start')", "LookupError: at start"),
        ("@server.on_start\nasync def start():\n    raise SystemExit('at start')", "SystemExit: at start"),
    ],
)
@pytest.mark.parametrize("style", ["text", "json"])
def test_application_that_raises_ends_with_one_and_its_traceback_once(
    tmp_path: Path, text: str, said: str, style: str
) -> None:
    app = write_app(tmp_path, text)
    finished = run_to_end("--port", "0", "--workers", "3", "--app", "app:server", "--log-format", style, cwd=app)
    assert finished.returncode == 1
    assert finished.stdout == ""
    assert finished.stderr.count("Traceback (most recent call last)") == 1
    assert finished.stderr.count(said) == 1
    assert "died" not in finished.stderr
    if style == "json":
        assert said in json.loads(one_line(finished.stderr))["exception"]


def test_module_that_is_not_there_ends_with_one_and_its_traceback() -> None:
    finished = run_to_end("--port", "0", "--workers", "2", "--app", "not_there:server")
    assert finished.returncode == 1
    assert "ModuleNotFoundError: No module named 'not_there'" in finished.stderr


def test_taken_port_ends_with_one_and_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        began = time.monotonic()
        finished = run_to_end("--port", str(port))
        assert time.monotonic() - began < 5, "it is not tried again: there was no crash"
    assert finished.returncode == 1
    assert re.match(rf"wspulse: 127\.0\.0\.1:{port} is in use by another program", one_line(finished.stderr))


def test_second_server_on_the_port_of_a_live_one_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    env = {"XDG_RUNTIME_DIR": str(tmp_path)}
    with serve_process("--app", "echo", workers=1, env=env) as server:
        finished = run_to_end("--port", str(server.port), env=env)
        assert finished.returncode == 1
        assert f"another wspulse server (pid {server.pid}) uses port {server.port}" in one_line(finished.stderr)
        echoed(server.url, "still there")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_runtime_directory_of_somebody_else_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    (tmp_path / "wspulse").mkdir(mode=0o700)
    os.chown(tmp_path / "wspulse", 12345, -1)
    finished = run_to_end("--port", "0", env={"XDG_RUNTIME_DIR": str(tmp_path)})
    assert finished.returncode == 1
    assert "belongs to user 12345" in one_line(finished.stderr)


def test_unknown_variable_is_warned_of() -> None:
    with serve_process(workers=1, env={"WSPULSE_PROT": "1"}) as server:
        assert "unknown WSPULSE_* variables (names=WSPULSE_PROT)" in server.stderr()


@pytest.mark.parametrize("program", [["-m", "wspulse.supervisor"], ["-m", "wspulse.supervisor.cli"]])
def test_help_and_version_are_printed(program: list[str]) -> None:
    if program[1].endswith("cli"):
        program = ["-c", "import sys; from wspulse.supervisor.cli import main; sys.exit(main())"]
    for flag, said in (("--help", "usage: wspulse"), ("--version", "wspulse ")):
        done = subprocess.run([sys.executable, *program, flag], capture_output=True, text=True, timeout=30, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert said in done.stdout
