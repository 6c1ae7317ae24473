"""A server that is process 1, as in a container without an init: it ends on SIGTERM, however early, and leaves no zombies."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from websockets.exceptions import ConnectionClosedOK
from websockets.sync.client import connect

from tests.support.processes.server_process import ServerProcess, start_process, wait_until

UNSHARE = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child")

APP = """
import subprocess
from wspulse import Server, Frame

server = Server(lambda request: ("lobby", ""))

@server.on_message
async def leave(connection, frame):
    # A daemon, as programs start them: its parent ends at once.
    subprocess.run(["sh", "-c", "exec 2>&1 >/dev/null; sleep 600 &"])
    await connection.send(Frame("left"))
"""

EARLY = """
import os, signal, sys

class Stopping:
    def find_spec(self, name, *_):
        if name == "wspulse.supervisor.supervisor":
            os.kill(os.getpid(), signal.SIGTERM)

sys.meta_path.insert(0, Stopping())
from wspulse.supervisor.cli import serve
sys.exit(serve())
"""


def has_namespaces() -> bool:
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*UNSHARE, "true"], capture_output=True, timeout=10, check=False).returncode == 0


pytestmark = pytest.mark.skipif(not has_namespaces(), reason="this system gives no process namespaces (unshare)")


@contextmanager
def process_one(program: tuple[str, ...], *arguments: str, cwd: Path) -> Iterator[tuple[ServerProcess, psutil.Process]]:
    """What runs, and the process that is process 1 in its own namespace, which ends with the block."""
    execute = f"import os, sys; os.execvp('unshare', {[*UNSHARE, sys.executable, *program]} + sys.argv[1:])"
    with start_process(*arguments, cwd=cwd, program=("-c", execute)) as outer:
        (inner,) = wait_until(psutil.Process(outer.pid).children, 20, "it runs")
        try:
            yield outer, inner
        finally:
            if outer.is_running():
                inner.kill()
                outer.wait()


def test_server_that_is_process_one_reaps_what_is_left_to_it_and_ends_in_order_on_sigterm(tmp_path: Path) -> None:
    (tmp_path / "leaving.py").write_text(APP)
    arguments = ("--port", "0", "--workers", "1", "--app", "leaving:server")
    with process_one(("-m", "wspulse.supervisor"), *arguments, cwd=tmp_path) as (server, inner):
        server.await_ready()
        with connect(server.url) as client:
            client.send("{}")
            assert json.loads(client.recv(timeout=20)) == {"event": "left"}
            (left,) = wait_until(
                lambda: [child for child in inner.children() if child.name() == "sleep"], 20, "it is left"
            )
            left.kill()
            wait_until(lambda: not left.is_running(), 20, "it was waited for")
            inner.send_signal(signal.SIGTERM)
            with pytest.raises(ConnectionClosedOK, match="server shutting down"):
                client.recv(timeout=20)
        assert server.wait() == 0


def test_sigterm_that_comes_while_process_one_is_still_loading_ends_it(tmp_path: Path) -> None:
    with process_one(("-c", EARLY), "--port", "0", "--workers", "1", "--app", "echo", cwd=tmp_path) as (server, _):
        assert server.wait() == 128 + signal.SIGTERM
        assert "ready" not in server.stdout()
