"""A server whose supervisor adopts what its applications leave behind, as it does where it is process 1 of a container."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import psutil
from websockets.sync.client import connect

from tests.support.processes.server_process import start_process, wait_until

APP = """
import os, subprocess
from wspulse import Server, Frame

server = Server(lambda request: ("lobby", ""))

@server.on_message
async def leave(connection, frame):
    # A daemon, as programs start them: its parent ends at once.
    lines = subprocess.run(["sh", "-c", "sleep 600 >/dev/null 2>&1 & echo $!"], capture_output=True, text=True).stdout
    await connection.send(Frame("left", int(lines)))
"""

ADOPTER = """
import ctypes, sys
assert ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0  # PR_SET_CHILD_SUBREAPER
from wspulse.supervisor.cli import serve
sys.exit(serve())
"""


def test_processes_that_an_application_left_behind_do_not_stay_zombies_and_crashes_are_told_with_their_ends(
    tmp_path: Path,
) -> None:
    (tmp_path / "leaving.py").write_text(APP)
    args = ("--port", "0", "--workers", "1", "--app", "leaving:server")
    with start_process(*args, cwd=tmp_path, program=("-c", ADOPTER)) as server:
        server.await_ready()
        with connect(server.url) as client:
            client.send("{}")
            left = psutil.Process(json.loads(client.recv(timeout=5))["payload"])
        wait_until(lambda: left.ppid() == server.pid, 5, "the supervisor has adopted it")
        left.kill()
        wait_until(lambda: not left.is_running(), 5, "it was waited for")
        os.kill(server.worker_pids()[0], signal.SIGKILL)
        wait_until(lambda: "end=was killed by SIGKILL" in server.stderr(), 5, "a worker's end is still known")
