"""Whole servers as processes: what a worker inherits from whoever started the server, and what its own children do from it."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from websockets.sync.client import connect

from tests.support.processes.server_process import serve_process, start_process, wait_until
from wspulse.actors.mesh.placement import Placement

APP = """
import json, os, signal, subprocess, sys
from wspulse import Frame, Server

server = Server(lambda request: ("lobby", request.query["id"]))

LIST = '''
import json, os
found = {}
for name in os.listdir("/proc/self/fd"):
    try:
        found[name] = os.readlink("/proc/self/fd/" + name)
    except OSError:
        pass  # that of the listing itself
print(json.dumps(found))
'''

def blocked():
    return sorted(signal.pthread_sigmask(signal.SIG_BLOCK, []))

at_import = {"blocked": blocked(), "SIGCHLD": signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL}

@server.on_message
def answer(connection, frame):
    if frame.event == "descriptors":
        done = subprocess.run([sys.executable, "-c", LIST], close_fds=False, stdout=subprocess.PIPE, check=True)
        found = json.loads(done.stdout)
    elif frame.event == "signals":
        found = at_import
    elif frame.event == "exit code":
        found = subprocess.run([sys.executable, "-c", "raise SystemExit(3)"]).returncode
    connection.send_nowait(Frame("answer", found))
"""

IGNORING_CHILDREN = """
import signal, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
from wspulse.supervisor.cli import serve
sys.exit(serve())
"""
"""As some shells, cron jobs and container runtimes leave it."""


@pytest.fixture
def app(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(APP)
    return tmp_path


def asked(url: str, event: str) -> object:
    with connect(url) as client:
        client.send(json.dumps({"event": event}))
        return json.loads(client.recv(timeout=10))["payload"]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="the listing is Linux's")
def test_program_that_the_application_starts_inherits_no_descriptor_of_ours(app: Path) -> None:
    """One that lives on would keep the port, a client's connection or the channel to the supervisor open."""
    placement = Placement(2)
    with serve_process("--app", "app:server", "--control", f"ipc://{app}/c", workers=2, cwd=app) as server:
        for shard in range(2):
            for _ in range(8):  # so that some arrive at the other worker and are handed over
                found = asked(f"{server.url}?id={placement.new_id(shard)}", "descriptors")
                assert isinstance(found, dict)
                assert set(found) == {"0", "1", "2"}, found


@pytest.mark.parametrize("program", [("-m", "wspulse.supervisor"), ("-c", IGNORING_CHILDREN)], ids=["plain", "ignored"])
def test_worker_has_the_usual_signals_whatever_its_server_was_started_with(app: Path, program: tuple[str, ...]) -> None:
    args = ("--port", "0", "--workers", "1", "--app", "app:server")
    with start_process(*args, cwd=app, program=program) as server:
        server.await_ready()
        usual = {"blocked": [], "SIGCHLD": True}
        assert asked(f"{server.url}?id=ada", "signals") == usual
        assert asked(f"{server.url}?id=ada", "exit code") == 3, "an application may wait for its own programs"


def test_worker_that_dies_is_replaced_where_the_server_was_started_with_ended_children_ignored(app: Path) -> None:
    """The kernel would wait for our children in our place, and nobody learn how they ended."""
    args = ("--port", "0", "--workers", "1", "--app", "app:server")
    with start_process(*args, cwd=app, program=("-c", IGNORING_CHILDREN)) as server:
        server.await_ready()
        old_pid = server.worker_pids()[0]
        os.kill(old_pid, signal.SIGKILL)
        wait_until(lambda: server.worker_pids().get(0, old_pid) != old_pid, 5, "there is a new worker")
        assert "end=was killed by SIGKILL" in server.stderr()
