"""One started worker as the supervisor sees it, with a real process."""

from __future__ import annotations

import errno
import os
import signal
import socket
from pathlib import Path

import psutil
import pytest

from tests.support.eventually import eventually
from tests.support.supervision.started_worker import StartedWorker, started_worker
from wspulse.actors.mesh.lifecycle import Alive, Drain, Drained, Exit, Ready
from wspulse.supervisor.process.watching.end_watch import exit_sentence


def lives(worker: StartedWorker) -> list[Alive]:
    return [message for message in worker.said if isinstance(message, Alive)]


async def test_worker_says_that_it_is_ready_and_alive_and_ends_when_it_is_told(
    capfd: pytest.CaptureFixture[str],
) -> None:
    async with started_worker() as worker:
        await worker.says(Ready)
        assert Ready(0, 7) in worker.said
        count = len(lives(worker))
        await eventually(lambda: len(lives(worker)) > count + 1, "it says so again and again")
        assert lives(worker)[-1].connections == 0
        assert lives(worker)[-1].counters.items() >= {"frames_in": 0, "upgrades": 0}.items()
        worker.process.tell(Drain())
        await worker.says(Drained)
        assert worker.codes == [], "it stays: others may still ask it"
        worker.process.tell(Exit())
        await worker.ended()
        assert worker.codes == [0]
        assert not worker.process.is_running
        assert not psutil.pid_exists(worker.process.pid), "it was waited for"
        worker.process.tell(Exit())
        worker.process.kill()
        worker.process.dump()
    assert worker.codes == [0], "its end is told once"
    assert capfd.readouterr().err == ""


async def test_worker_that_is_killed_while_it_starts_ends_with_its_signal() -> None:
    async with started_worker() as worker:
        worker.process.kill()
        await worker.ended()
        assert worker.codes == [-signal.SIGKILL]
        assert worker.said == []


async def test_dump_writes_the_stacks_of_all_threads_and_ends_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    async with started_worker() as worker:
        await worker.says(Ready)
        worker.process.dump()
        count = len(worker.said)
        await eventually(lambda: len(worker.said) > count + 1, "it lives on")
        dumped = capfd.readouterr().err
        assert dumped.count("most recent call first") >= 2
        assert "main.py" in dumped


async def test_worker_ignores_the_interrupt_of_a_terminal_and_takes_a_termination_for_a_drain() -> None:
    async with started_worker() as worker:
        await worker.says(Ready)
        os.kill(worker.process.pid, signal.SIGINT)
        os.kill(worker.process.pid, signal.SIGTERM)
        await worker.says(Drained)
        assert worker.codes == []


async def test_start_that_fails_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no more processes")

    monkeypatch.setattr("multiprocessing.context.SpawnProcess.start", refuse)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(OSError, match="no more processes"):
        StartedWorker(listener)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == mask, "signals come in again"


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENOMEM])
async def test_worker_whose_end_cannot_be_watched_is_ended_and_counts_as_not_started(
    monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    pids: list[int] = []

    def refuse(pid: int) -> int:
        pids.append(pid)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "pidfd_open", refuse)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        with pytest.raises(OSError, match=os.strerror(number)):
            StartedWorker(listener)
    assert len(pids) == 1
    assert not psutil.pid_exists(pids[0]), "it runs beside its replacement"


async def test_worker_whose_end_the_system_does_not_tell_is_looked_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As the seccomp filters of old container runtimes have it, and kernels before 5.3."""
    caplog.set_level("INFO")

    def refuse(_pid: int) -> int:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "pidfd_open", refuse)
    monkeypatch.setattr("wspulse.supervisor.process.watching.end_watch._told", set())
    for _ in range(2):
        async with started_worker() as worker:
            await worker.says(Ready)
            worker.process.tell(Exit())
            await worker.ended()
            assert worker.codes == [0]
            assert not worker.process.is_running
    assert sum("pidfd_open" in record.message for record in caplog.records) == 1


async def test_worker_whose_exit_code_somebody_else_has_taken_has_ended_all_the_same() -> None:
    async with started_worker() as worker:
        await worker.says(Ready)
        os.kill(worker.process.pid, signal.SIGKILL)
        os.waitid(os.P_PID, worker.process.pid, os.WEXITED)  # noqa: ASYNC222 - before the loop runs
        await worker.ended()
        assert worker.codes == [255]
        assert not worker.process.is_running


async def test_worker_that_cannot_be_executed_says_so_by_its_end(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The folder of its Python was replaced by a deployment."""
    monkeypatch.setattr("multiprocessing.spawn._python_exe", os.fsencode(tmp_path / "python"))
    async with started_worker() as worker:
        await worker.ended()
        assert [exit_sentence(code) for code in worker.codes] == [
            f"ended with exit code 255: {tmp_path}/python cannot be executed (No such file or directory)"
        ]
