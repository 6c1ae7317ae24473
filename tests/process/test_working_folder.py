"""Deployments under a running server: the release that `current` leads to is what the next worker runs."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from websockets.sync.client import connect

from tests.support.processes.server_process import serve_process, start_process, wait_until
from wspulse import Control, ControlError

APP = """
from release import NUMBER

from wspulse import Frame, Server

server = Server(lambda request: ("lobby", ""))

@server.on_connect
async def on_connect(connection):
    await connection.send(Frame("release", NUMBER))
"""


@pytest.fixture
def releases(tmp_path: Path) -> Path:
    for number in (1, 2):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "app.py").write_text(APP)
        (tmp_path / str(number) / "release.py").write_text(f"NUMBER = {number}\n")
    (tmp_path / "current").symlink_to("1")
    return tmp_path


def release_at(url: str) -> str:
    with connect(url, open_timeout=10) as client:
        return str(client.recv(timeout=5))


def test_reload_after_the_symlink_was_switched_runs_the_release_that_it_leads_to(releases: Path) -> None:
    current = releases / "current"
    with serve_process("--app", "app:server", workers=1, cwd=current, env={"PWD": str(current)}) as server:
        assert release_at(server.url) == '{"event":"release","payload":1}'
        (releases / "next").symlink_to("2")
        (releases / "next").replace(current)
        for file in (releases / "1").glob("**/*.py"):
            file.unlink()
        with Control(server.control) as control:
            control.reload()
        assert release_at(server.url) == '{"event":"release","payload":2}'


def test_worker_that_dies_while_the_folder_is_gone_comes_back_when_it_is_there_again(releases: Path) -> None:
    (releases / "2").rename(releases / "only")
    with serve_process("--app", "app:server", workers=2, cwd=releases / "only") as server:
        (releases / "only").rename(releases / "away")
        first = server.worker_pids()
        os.kill(first[0], signal.SIGKILL)
        told = f"the working directory {releases}/only cannot be entered: No such file or directory"
        wait_until(lambda: told in server.stderr(), 5, "it is told why there is no start")
        assert server.worker_pids() == {1: first[1]}, "the other one serves on"
        (releases / "away").rename(releases / "only")
        wait_until(lambda: len(server.worker_pids()) == 2, 8, "the worker is back")
        wait_until(lambda: "a worker is ready" in server.stderr(), 8, "it is ready")


def test_reload_while_the_folder_is_gone_is_refused_and_harms_nobody(releases: Path) -> None:
    (releases / "2").rename(releases / "only")
    with (
        serve_process("--app", "app:server", workers=2, cwd=releases / "only") as server,
        Control(server.control) as control,
    ):
        (releases / "only").rename(releases / "away")
        before = server.worker_pids()
        with pytest.raises(
            ControlError, match=f"the working directory {releases}/only cannot be entered: No such file"
        ):
            control.reload()
        assert server.worker_pids() == before
        (releases / "away").rename(releases / "only")
        control.reload()
        assert not set(server.worker_pids().values()) & set(before.values())


def test_start_in_a_folder_that_is_gone_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    program = "import os, sys; os.rmdir(os.getcwd()); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    with start_process(
        "-m", "wspulse.supervisor", "--port", "0", cwd=tmp_path / "gone", program=("-c", program)
    ) as server:
        assert server.wait(20) == 1
        assert server.stderr() == "wspulse: the working directory has been removed; start the server in another one\n"
