"""Whose orphan a process is: with real ones, of which each holds a socket as a worker does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.support.processes.server_process import wait_until
from wspulse.supervisor.premises.orphans import Orphans, find_orphans

SUPERVISOR = """
import socket, subprocess, sys
folder, program = sys.argv[1:]
listener = socket.socket(socket.AF_UNIX)
listener.bind(folder + "/mailbox-0-0.sock")
listener.listen()
worker = subprocess.Popen([sys.executable, "-c", program], pass_fds=[listener.fileno()])
print(worker.pid, flush=True)
sys.stdin.read()
"""

WORKER = "import time; time.sleep(60)"


@contextmanager
def family(folder: Path) -> Iterator[tuple[subprocess.Popen[str], psutil.Process]]:
    """A pretended supervisor, and its worker; both end with the block."""
    with subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, str(folder), WORKER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as supervisor:
        try:
            assert supervisor.stdout is not None
            worker = psutil.Process(int(supervisor.stdout.readline()))
            yield supervisor, worker
        finally:
            supervisor.kill()
            if worker.is_running():
                worker.kill()


def is_over(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "8000").mkdir()
    return tmp_path / "8000"


def end(supervisor: subprocess.Popen[str]) -> None:
    supervisor.kill()
    supervisor.wait()


def test_worker_of_a_living_supervisor_is_no_orphan_and_that_of_a_dead_one_is(folder: Path) -> None:
    with family(folder) as (supervisor, worker):
        (folder / "mailbox-0-0.sock").unlink()
        assert find_orphans(folder) == [], "also where somebody has removed the folder of a living server"
        assert not Orphans(folder).end(only_stopped=False)
        end(supervisor)
        assert [(orphan.pid, orphan.is_stopped) for orphan in find_orphans(folder)] == [(worker.pid, False)]
        assert find_orphans(folder.parent / "800") == [], "another port's"
        assert find_orphans(folder.parent) == []


def test_orphan_that_can_end_by_itself_is_given_time_and_a_stopped_one_is_not(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with family(folder) as (supervisor, worker):
        end(supervisor)
        orphans = Orphans(folder)
        assert not orphans.end(only_stopped=True)
        os.kill(worker.pid, signal.SIGSTOP)
        wait_until(lambda: worker.status() == psutil.STATUS_STOPPED, 5, "it is stopped")
        assert [orphan.is_stopped for orphan in find_orphans(folder)] == [True]
        assert orphans.end(only_stopped=True)
        wait_until(lambda: is_over(worker), 5, "it was killed")
        assert not orphans.end(only_stopped=False)
    (record,) = caplog.records
    assert record.__dict__["pid"] == worker.pid


def test_orphan_that_does_not_end_in_time_is_killed_once(folder: Path) -> None:
    with family(folder) as (supervisor, worker):
        end(supervisor)
        orphans = Orphans(folder)
        assert orphans.end(only_stopped=False)
        assert not orphans.end(only_stopped=False)
        wait_until(lambda: is_over(worker), 5, "it was killed")


def test_system_that_cannot_be_looked_into_has_no_orphans(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with family(folder) as (supervisor, _):
        end(supervisor)
        monkeypatch.setattr("wspulse.supervisor.premises.orphans.PROC", folder / "nowhere")
        assert find_orphans(folder) == []
