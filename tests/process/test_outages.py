"""Whole servers as processes whose workers cannot start, or die again and again: who is served meanwhile, and when it ends."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.support.processes.server_process import ServerProcess, run_to_end, serve_process, wait_until
from wspulse import Control
from wspulse.actors.mesh.placement import Placement

APP = """
import os
from wspulse import Server

server = Server(lambda request: ("lobby", request.query.get("id", "")))

@server.on_start
async def pool():
    if os.path.exists("database-away"):
        raise ConnectionRefusedError("the database is away")

@server.on_message
async def echo(connection, frame):
    await connection.send(frame)
"""

ARGS = ("--app", "stateful:server")


@pytest.fixture
def app(tmp_path: Path) -> Path:
    (tmp_path / "stateful.py").write_text(APP)
    return tmp_path


def client_on(server: ServerProcess, shard: int, workers: int = 2) -> ClientConnection:
    return connect(f"{server.url}?id={Placement(workers).new_id(shard)}", open_timeout=8)


def answers(client: ClientConnection) -> bool:
    client.send(json.dumps({"event": "echo"}))
    return bool(json.loads(client.recv(timeout=5))["event"] == "echo")


def test_server_serves_on_while_the_starts_of_one_worker_fail_and_is_whole_soon_after_they_can_succeed(
    app: Path,
) -> None:
    with serve_process(*ARGS, cwd=app) as server, client_on(server, 0) as survivor, Control(server.control) as control:
        (app / "database-away").touch()
        os.kill(server.worker_pids()[1], signal.SIGKILL)
        wait_until(lambda: server.stderr().count("a worker could not start (shard=1") >= 4, 15, "it is started again")
        assert answers(survivor)
        log = server.stderr()
        assert log.count("reason=ConnectionRefusedError: the database is away, restart_in_s=") >= 4
        assert log.count("Traceback (most recent call last)") == 1, "as a whole only once"
        assert 'stateful.py", line 10, in pool' in log
        assert "the application failed to start" not in log
        (app / "database-away").unlink()
        returned_at = time.monotonic()
        with client_on(server, 1) as newcomer:  # waits for its shard
            assert answers(newcomer)
        assert time.monotonic() - returned_at < 6.0
        assert answers(survivor)
        assert [worker.state for worker in control.stats().workers] == ["ready", "ready"]
        server.terminate()
        assert server.wait() == 0


def test_server_of_which_no_worker_can_start_gives_up_with_one_and_the_reason(app: Path) -> None:
    # The first start counts too, and takes its time on a machine that is busy.
    with serve_process(*ARGS, "--give-up-after", "5", "--stall-timeout", "1", cwd=app) as server:
        (app / "database-away").touch()
        killed_at = time.monotonic()
        for pid in server.worker_pids().values():
            os.kill(pid, signal.SIGKILL)
        assert server.wait() == 1
        assert 4.0 < time.monotonic() - killed_at < 10.0
        log = server.stderr()
        assert "no worker has been ready for --give-up-after; the server stops (give_up_after_s=5" in log
        assert "last_failure=ConnectionRefusedError: the database is away" in log


def test_application_that_cannot_start_before_the_server_was_ready_ends_it_at_once(app: Path) -> None:
    (app / "database-away").touch()
    finished = run_to_end("--port", "0", "--workers", "2", *ARGS, cwd=app)
    assert finished.returncode == 1
    assert finished.stderr.count("the application failed to start") == 1
    assert finished.stderr.count("Traceback (most recent call last)") == 1
    assert "ConnectionRefusedError: the database is away" in finished.stderr


def test_workers_that_somebody_terminates_one_after_another_are_replaced_and_are_no_crashes(app: Path) -> None:
    with serve_process(*ARGS, workers=1, cwd=app) as server, Control(server.control) as control:
        terminated: set[int] = set()
        for _ in range(7):
            with connect(server.url, open_timeout=8) as client:
                assert answers(client)
                pid = server.worker_pids()[0]
                terminated.add(pid)
                os.kill(pid, signal.SIGTERM)
                with pytest.raises(ConnectionClosed) as caught:
                    client.recv(timeout=5)
                assert caught.value.rcvd is not None
                assert caught.value.rcvd.code == 1001
            wait_until(lambda: server.worker_pids().get(0) not in {None, *terminated}, 5, "it is replaced")
        assert len(terminated) == 7
        with connect(server.url, open_timeout=8) as client:
            assert answers(client)
        assert control.stats().workers[0].restarts == 0
        assert "a worker died" not in server.stderr()
        os.kill(server.worker_pids()[0], signal.SIGKILL)
        wait_until(lambda: "a worker died" in server.stderr(), 5, "kill -9 is a crash")
