"""A server whose service manager is told of it, and whose workers know of none."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

from tests.support.processes.server_process import start_process, wait_until
from wspulse import Control

APP = """
import os, pathlib
from wspulse import Server

server = Server(lambda request: ("lobby", ""))

@server.on_start
async def note():
    pathlib.Path("environment").write_text(" ".join(os.environ))
"""


def test_server_tells_its_service_manager_of_start_reload_watchdog_and_end_and_its_workers_cannot(
    tmp_path: Path,
) -> None:
    (tmp_path / "telling.py").write_text(APP)
    said: list[str] = []

    def has_said(beginning: str, times: int = 1) -> bool:
        while True:
            try:
                said.append(notified.recv(4096).decode())
            except BlockingIOError:
                return sum(each.startswith(beginning) for each in said) >= times

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        notified.bind(str(tmp_path / "notify"))
        notified.setblocking(False)
        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "100000"}
        arguments = ("--port", "0", "--workers", "1", "--app", "telling:server")
        with start_process(*arguments, env=environment, cwd=tmp_path) as server:
            server.await_ready()
            wait_until(lambda: has_said("READY=1"), 5, "it is ready")
            assert f"READY=1\nMAINPID={server.pid}\nSTATUS={server.url}, 1 of 1 workers ready" in said
            wait_until(lambda: has_said("WATCHDOG=1", 2), 5, "its watchdog is fed")
            variables = (tmp_path / "environment").read_text().split()
            assert "XDG_RUNTIME_DIR" in variables
            assert not {"NOTIFY_SOCKET", "WATCHDOG_USEC"} & {*variables}
            server.signal(signal.SIGHUP)
            wait_until(lambda: has_said("READY=1", 2), 30, "it is ready again after SIGHUP")
            assert server.control is not None
            with Control(server.control) as control:
                control.reload()
            wait_until(lambda: has_said("READY=1", 3), 5, "it is ready again after the command")
            server.terminate()
            assert server.wait() == 0
            assert has_said("STOPPING=1")
    states = [first for each in said if (first := each.partition("\n")[0]) in ("READY=1", "RELOADING=1", "STOPPING=1")]
    assert states == ["READY=1", "RELOADING=1", "READY=1", "RELOADING=1", "READY=1", "STOPPING=1"]
