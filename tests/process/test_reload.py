"""Whole servers that are told to load their application anew, where that goes wrong, and where it goes well: there no client
notices."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.support.processes.server_process import ServerProcess, serve_process, wait_until
from wspulse import Control, ControlError
from wspulse.actors.mesh.placement import Placement

APP = """
import asyncio
import os
from wspulse import Server, Frame

server = Server(lambda request: ("lobby", request.query.get("id", "")))

@server.on_start
async def note():
    with open("starts", "a") as file:
        print("VERSION", server.shard, file=file)

@server.on_message
async def tell(connection, frame):
    await connection.send(Frame("VERSION"))
"""

BROKEN = {
    "syntax": ("def nothing(:\n", "SyntaxError: "),
    "import": ("import there_is_no_such_module\n", "ModuleNotFoundError: No module named 'there_is_no_such_module'"),
    "attribute": ("del server\n", "wspulse: app: versions has no attribute 'server'"),
    "on_start": (
        "@server.on_start\nasync def pool():\n    raise ConnectionRefusedError('the database is away')\n",
        "ConnectionRefusedError: the database is away",
    ),
    "death": ("os._exit(7)\n", "ended with exit code 7"),
}


@pytest.fixture
def app(tmp_path: Path) -> Path:
    write(tmp_path, "first")
    return tmp_path


def write(folder: Path, version: str, more: str = "") -> None:
    """The application's next version. Two that are written within a second and are of one length would be taken for one."""
    (folder / "versions.py").write_text(APP.replace("VERSION", version) + more)


def client_on(server: ServerProcess, shard: int) -> ClientConnection:
    return connect(f"{server.url}?id={Placement(2).new_id(shard)}", open_timeout=8)


def version(client: ClientConnection) -> str:
    client.send("{}")
    return str(json.loads(client.recv(timeout=5))["event"])


@pytest.mark.parametrize("how", BROKEN)
def test_reload_of_code_that_cannot_start_says_why_and_cuts_nobody_off(app: Path, how: str) -> None:
    more, reason = BROKEN[how]
    with (
        serve_process("--app", "versions:server", cwd=app, env={"PYTHONDONTWRITEBYTECODE": "1"}) as server,
        client_on(server, 0) as one,
        client_on(server, 1) as other,
        Control(server.control) as control,
    ):
        pids = server.worker_pids()
        write(app, "second", more)
        with pytest.raises(ControlError) as caught:
            control.reload()
        assert caught.value.error_code == "start_failed"
        assert str(caught.value).startswith("wspulse: the new worker 0 could not start; the old one keeps serving: ")
        assert reason in str(caught.value)
        assert [version(one), version(other)] == ["first", "first"]
        wait_until(lambda: server.worker_pids() == pids, 5, "the workers are those that were there, and no others")
        assert [worker.restarts for worker in control.stats().workers] == [0, 0]
        assert "the replacement of a worker could not start (shard=0" in server.stderr()

        write(app, "third")
        assert [(each.shard, each.moved, each.drained) for each in control.reload()] == [(0, 1, 0), (1, 1, 0)]
        assert [version(one), version(other)] == ["third", "third"], "their sessions go on in the new code"
        for shard in (0, 1):
            with client_on(server, shard) as newcomer:
                assert version(newcomer) == "third"
        stats = control.stats()
        assert (stats.totals.restarts, stats.totals.connections) == (0, 2)
        server.terminate()
        assert server.wait() == 0


def test_reload_command_ends_with_one_and_the_last_line_of_the_traceback(app: Path) -> None:
    with serve_process("--app", "versions:server", workers=1, cwd=app) as server:
        write(app, "second", BROKEN["import"][0])
        run = "from wspulse.supervisor.cli import main; raise SystemExit(main())"
        words = [sys.executable, "-c", run, "reload", "--control", str(server.control)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == (
            "wspulse: the new worker 0 could not start; the old one keeps serving: ModuleNotFoundError: No module named "
            "'there_is_no_such_module'\n"
        )
        with connect(server.url) as client:
            assert version(client) == "first"


def test_worker_serves_while_its_replacement_loads(app: Path) -> None:
    """Its on_start does not end before it is let go, by the test: then the old worker has still answered."""
    os.mkfifo(app / "gate")
    waits = "@server.on_start\nasync def wait():\n    import asyncio\n    await asyncio.to_thread(open('gate').read)\n"
    waits = waits.replace("open('gate').read", "lambda: open('gate').read()")
    with (
        serve_process("--app", "versions:server", workers=1, cwd=app) as server,
        connect(server.url) as client,
        Control(server.control) as control,
    ):
        write(app, "second", waits)
        run = "from wspulse.supervisor.cli import main; raise SystemExit(main())"
        reloading = subprocess.Popen([sys.executable, "-c", run, "reload", "--control", str(server.control)])
        try:
            wait_until(lambda: "second" in (app / "starts").read_text(), 10, "the replacement's on_start runs")
            assert version(client) == "first"
            with connect(server.url) as newcomer:
                assert version(newcomer) == "first"
            assert [worker.state for worker in control.stats().workers] == ["ready"]
            (app / "gate").write_text("go")
            assert reloading.wait(10) == 0
        finally:
            reloading.kill()
            reloading.wait()
        assert version(client) == "second"
        with connect(server.url) as newcomer:
            assert version(newcomer) == "second"
        assert (app / "starts").read_text().split() == ["first", "0", "second", "0"]


def test_replacement_that_somebody_terminates_while_it_loads_leaves_the_old_worker_serving(app: Path) -> None:
    with (
        serve_process("--app", "versions:server", cwd=app, env={"PYTHONDONTWRITEBYTECODE": "1"}) as server,
        client_on(server, 0) as client,
        Control(server.control) as control,
    ):
        before = server.pids()
        write(app, "second", "@server.on_start\nasync def wait():\n    await asyncio.sleep(60)\n")
        os.kill(server.pid, signal.SIGHUP)
        wait_until(lambda: "second" in (app / "starts").read_text(), 10, "the replacement's on_start runs")
        (standby,) = server.pids() - before
        os.kill(standby, signal.SIGTERM)
        wait_until(lambda: "the reload failed" in server.stderr(), 5, "the reload has an answer")
        assert "it was terminated (SIGTERM)" in server.stderr()
        assert version(client) == "first"
        wait_until(lambda: server.pids() == before, 8, "it has gone")
        write(app, "third")
        control.reload()
        assert version(client) == "third"


@pytest.mark.parametrize("workers", [1, 2])
def test_reload_that_drains_tells_the_clients_to_come_back(app: Path, workers: int) -> None:
    with (
        serve_process("--app", "versions:server", workers=workers, cwd=app) as server,
        connect(server.url) as client,
        Control(server.control) as control,
    ):
        moved = control.reload(drain=True)
        assert (sum(each.moved for each in moved), sum(each.drained for each in moved)) == (0, 1)
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(timeout=5)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012
        assert closed.value.rcvd.reason.startswith("service restart; retry=")


def test_reload_that_ends_with_the_server_is_answered(app: Path) -> None:
    with serve_process("--app", "versions:server", cwd=app) as server, Control(server.control) as control:
        write(app, "second", "@server.on_start\nasync def wait():\n    await asyncio.sleep(60)\n")
        with ThreadPoolExecutor() as threads:
            reloading = threads.submit(control.reload)
            wait_until(lambda: "second" in (app / "starts").read_text(), 10, "the replacement's on_start runs")
            server.terminate()
            with pytest.raises(ControlError):
                reloading.result(timeout=15)
        assert server.wait() == 0


def test_reload_takes_the_options_of_the_file_as_it_is_then_and_a_wrong_file_changes_nothing(app: Path) -> None:
    file = app / "settings.toml"
    file.write_text("max_message_size = 100\n")
    with (
        serve_process("--app", "versions:server", "--config", "settings.toml", workers=1, cwd=app) as server,
        connect(server.url, max_size=None) as client,
        Control(server.control) as control,
    ):
        write(app, "second", "")
        file.write_text("max_message_size = many\n")
        with pytest.raises(ControlError, match=r"settings\.toml"):
            control.reload()
        assert version(client) == "first"
        file.write_text("max_message_size = 10000\n")
        assert [shard.moved for shard in control.reload()] == [1]
        client.send(json.dumps({"event": "x" * 5000}))
        assert json.loads(client.recv(timeout=10))["event"] == "second"
