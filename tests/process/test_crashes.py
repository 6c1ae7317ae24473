"""Whole servers as processes: what remains when a worker or the supervisor dies, or gets stuck."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
import time
from pathlib import Path

import psutil
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.support.processes.server_process import ServerProcess, run_to_end, serve_process, start_process, wait_until
from wspulse import Control
from wspulse.actors.mesh.placement import Placement

APP = """
import asyncio, os, sys, time
from wspulse import Server

async def connect(request):
    return "lobby", request.query.get("id", "")

server = Server(connect)

@server.on_message
def obey(connection, frame):
    if frame.event == "block":
        open("blocked", "w").close()
        time.sleep(frame.decode(float))
    elif frame.event == "exit":
        os._exit(frame.decode(int))
    elif frame.event == "fork":
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
        open("forked", "w").close()
    else:
        connection.send_nowait(frame)
"""


@pytest.fixture
def app(tmp_path: Path) -> Path:
    (tmp_path / "obedient.py").write_text(APP)
    return tmp_path


def id_on(shard: int, workers: int) -> str:
    return Placement(workers).new_id(shard)


def order(client: ClientConnection, event: str, payload: object = None) -> None:
    client.send(json.dumps({"event": event, "payload": payload}))


def answers(client: ClientConnection) -> bool:
    order(client, "echo")
    return bool(json.loads(client.recv(timeout=5))["event"] == "echo")


def await_replacement(server: ServerProcess, shard: int, old_pid: int, timeout_s: float = 2.0) -> int:
    """Wait until a session can live on that shard again; the new pid."""
    deadline = time.monotonic() + timeout_s
    workers = max(len(server.worker_pids()), shard + 1, 2)
    while True:
        pid = server.worker_pids().get(shard)
        if pid not in (None, old_pid):
            try:
                with connect(f"{server.url}?id={id_on(shard, workers)}") as client:
                    assert answers(client)
                    return int(pid or 0)
            except (OSError, ConnectionClosed):
                pass
        assert time.monotonic() < deadline, f"shard {shard} was not back in {timeout_s} s:\n{server.stderr()}"


def test_killed_worker_is_back_within_two_seconds_and_the_others_never_noticed(app: Path) -> None:
    with (
        serve_process("--app", "obedient:server", workers=2, cwd=app) as server,
        connect(f"{server.url}?id={id_on(0, 2)}") as survivor,
        connect(f"{server.url}?id={id_on(1, 2)}") as victim,
    ):
        old_pid = server.worker_pids()[1]
        os.kill(old_pid, signal.SIGKILL)
        with pytest.raises(ConnectionClosed):
            victim.recv(timeout=5)
        assert answers(survivor)
        await_replacement(server, 1, old_pid)
        assert answers(survivor)
        assert "a worker died (shard=1" in server.stderr()
        assert "end=was killed by SIGKILL" in server.stderr()
        server.terminate()
        assert server.wait() == 0


def test_connections_are_accepted_all_the_while_a_worker_is_replaced(app: Path) -> None:
    """Ids of the living shard: the dead one's listener must take nothing down with it."""
    with serve_process("--app", "obedient:server", workers=2, cwd=app) as server:
        old_pid = server.worker_pids()[1]
        os.kill(old_pid, signal.SIGKILL)
        while server.worker_pids().get(1) in (None, old_pid):
            with connect(f"{server.url}?id={id_on(0, 2)}") as client:
                assert answers(client)


def test_only_worker_of_a_server_is_replaced_too(app: Path) -> None:
    with serve_process("--app", "obedient:server", workers=1, cwd=app) as server:
        old_pid = server.worker_pids()[0]
        os.kill(old_pid, signal.SIGKILL)
        wait_until(lambda: server.worker_pids().get(0, old_pid) != old_pid, 2, "there is a new worker")
        with connect(server.url) as client:  # waits in the backlog until the new worker accepts
            assert answers(client)


def test_exit_code_of_a_worker_becomes_a_sentence(app: Path) -> None:
    with serve_process("--app", "obedient:server", workers=1, cwd=app) as server, connect(server.url) as client:
        order(client, "exit", 7)
        wait_until(lambda: "end=ended with exit code 7" in server.stderr(), 5, "the log says how the worker ended")


def test_terminated_worker_drains_and_is_replaced(app: Path) -> None:
    with (
        serve_process("--app", "obedient:server", workers=2, cwd=app) as server,
        connect(f"{server.url}?id={id_on(1, 2)}") as client,
    ):
        old_pid = server.worker_pids()[1]
        os.kill(old_pid, signal.SIGTERM)
        with pytest.raises(ConnectionClosed) as caught:
            client.recv(timeout=5)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1001
        await_replacement(server, 1, old_pid)


def test_worker_is_replaced_even_while_a_process_that_it_forked_lives(app: Path) -> None:
    """The fork holds copies of all descriptors: none of them may be what tells that the worker ended."""
    with serve_process("--app", "obedient:server", workers=1, cwd=app) as server:
        old_pid = server.worker_pids()[0]
        with connect(server.url, close_timeout=0.1) as client:
            order(client, "fork")
            wait_until((app / "forked").exists, 5, "the application has forked")
        forked = psutil.Process(old_pid).children()
        try:
            os.kill(old_pid, signal.SIGKILL)
            wait_until(lambda: server.worker_pids().get(0, old_pid) != old_pid, 2, "there is a new worker")
        finally:
            for process in forked:
                process.kill()


def test_stuck_worker_is_dumped_killed_and_replaced(app: Path) -> None:
    args = ("--app", "obedient:server", "--stall-timeout", "1")
    with (
        serve_process(*args, workers=2, cwd=app) as server,
        connect(f"{server.url}?id={id_on(0, 2)}") as survivor,
        connect(f"{server.url}?id={id_on(1, 2)}") as culprit,
    ):
        old_pid = server.worker_pids()[1]
        order(culprit, "block", 60)
        await_replacement(server, 1, old_pid, timeout_s=8)
        assert answers(survivor)
        log = server.stderr()
        assert "a worker is stuck; its stacks follow (shard=1" in log
        assert re.search(r'obedient\.py", line \d+ in obey', log)
        assert "end=was killed by SIGKILL" in log


def test_worker_that_is_busy_for_less_than_the_stall_timeout_is_left_alone(app: Path) -> None:
    args = ("--app", "obedient:server", "--stall-timeout", "3")
    with serve_process(*args, workers=1, cwd=app) as server, connect(server.url) as client:
        order(client, "block", 1.5)
        assert answers(client)
        assert "stuck" not in server.stderr()


def blocked_server(server: ServerProcess, app: Path, client: ClientConnection) -> None:
    order(client, "block", 60)
    wait_until((app / "blocked").exists, 5, "a worker's loop is stuck")


@pytest.mark.parametrize("stuck", [False, True], ids=["turning", "stuck"])
def test_death_of_the_supervisor_leaves_no_process_and_a_free_port(app: Path, stuck: bool) -> None:
    app.chmod(0o700)
    (app / "run").mkdir(mode=0o700)
    env = {"XDG_RUNTIME_DIR": str(app / "run")}
    args = ("--app", "obedient:server")
    with serve_process(*args, workers=2, cwd=app, env=env) as server:
        with connect(f"{server.url}?id={id_on(0, 2)}") as one, connect(f"{server.url}?id={id_on(1, 2)}") as two:
            if stuck:
                blocked_server(server, app, two)
            server.kill()
            killed_at = time.monotonic()
            with pytest.raises(ConnectionClosed) as caught:
                one.recv(timeout=6)
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 1001
        # A start at once, while the old workers may still be there, gets the port.
        with serve_process(*args, "--port", str(server.port), workers=2, cwd=app, env=env) as successor:
            assert successor.port == server.port
            server.wait_gone(max(0.1, 5.0 - (time.monotonic() - killed_at)))
            with connect(successor.url) as client:
                assert answers(client)
    assert list((app / "run" / "wspulse").iterdir()) == []


def test_death_of_the_supervisor_while_workers_still_import_leaves_no_process(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text('import time\nopen("importing", "w").close()\ntime.sleep(60)\n')
    tmp_path.chmod(0o700)
    env = {"XDG_RUNTIME_DIR": str(tmp_path)}
    with start_process("--port", "0", "--workers", "2", "--app", "slow:server", cwd=tmp_path, env=env) as server:
        wait_until((tmp_path / "importing").exists, 20, "the application is being imported")
        server.kill()
        server.wait_gone(5.0)
    # The next server on the port cleans up, even one that fails to start.
    [left] = (tmp_path / "wspulse").iterdir()
    assert run_to_end("--port", left.name, "--workers", "1", "--app", "nobody:server", env=env).returncode == 1
    assert not left.exists()


def test_supervisor_that_stood_still_kills_nobody(app: Path) -> None:
    """Stopped and continued (or its machine frozen), it must not take its own silence for theirs."""
    args = ("--app", "obedient:server", "--stall-timeout", "1")
    with serve_process(*args, workers=2, cwd=app) as server, Control(server.control) as control:
        pids = server.worker_pids()
        uptime_s = control.stats().uptime_s
        server.signal(signal.SIGSTOP)
        resumed = threading.Timer(4.0, server.signal, (signal.SIGCONT,))
        resumed.start()
        resumed.join()
        # Who is taken for stuck is dumped at the next look, a quarter of a second later, and killed half a second after that.
        wait_until(lambda: control.stats().uptime_s > uptime_s + 4.0 + 2.0, 10, "it has looked at its workers again")
        assert server.worker_pids() == pids
        with connect(server.url) as client:
            assert answers(client)
        server.terminate()
        assert server.wait() == 0
        assert "stuck" not in server.stderr()


def test_worker_that_was_stopped_before_its_supervisor_was_killed_does_not_keep_the_port(app: Path) -> None:
    app.chmod(0o700)
    (app / "run").mkdir(mode=0o700)
    env = {"XDG_RUNTIME_DIR": str(app / "run")}
    args = ("--app", "obedient:server")
    with serve_process(*args, workers=2, cwd=app, env=env) as server:
        stopped = server.worker_pids()[1]
        os.kill(stopped, signal.SIGSTOP)
        server.kill()
        server.wait()
        with serve_process(*args, "--port", str(server.port), workers=2, cwd=app, env=env) as successor:
            assert successor.port == server.port
            log = successor.stderr()
            assert f"a process of a killed server still held the port; it was killed too (pid={stopped}" in log
            assert "in use by another program" not in log
            with connect(successor.url) as client:
                assert answers(client)
            server.wait_gone(6.0)
