"""The supervisor's own start and end, without workers: its parts, when one of them fails."""

from __future__ import annotations

import asyncio
import logging
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.support.eventually import eventually
from wspulse.actors.mesh.lifecycle import BootFailed
from wspulse.supervisor.control.event_publisher import EventPublisher
from wspulse.supervisor.control.plane import ControlPlane
from wspulse.supervisor.control.server import ControlServer
from wspulse.supervisor.errors import StartError
from wspulse.supervisor.process.workers import Workers
from wspulse.supervisor.settings.layers import resolve
from wspulse.supervisor.supervisor import Supervisor

SAID = "a part of the server did not stop cleanly"


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    tmp_path.chmod(0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(Workers, "start", lambda *_: None)
    return tmp_path


def new_supervisor() -> Supervisor:
    return Supervisor(resolve({"app": "echo", "port": "0", "workers": "1"}, {}))


async def started(supervisor: Supervisor) -> asyncio.Task[int]:
    running = asyncio.create_task(supervisor.run())
    await eventually(lambda: running.done() or supervisor.__dict__.get("_control"), "the control plane is started")
    return running


def left_in(place: Path) -> list[Path]:
    """Files and sockets. The folder of all servers of a user stays."""
    return [path for path in place.rglob("*") if not path.is_dir()]


def plant_failure(monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> None:
    """It does what it does, and then fails."""
    real = getattr(owner, name)

    async def fail(self: Any) -> None:
        result = real(self)
        if asyncio.iscoroutine(result):
            await result
        raise RuntimeError(f"planted in {owner.__name__}")

    monkeypatch.setattr(owner, name, fail)


def failed_parts(caplog: pytest.LogCaptureFixture) -> list[str]:
    records = [record for record in caplog.records if record.getMessage() == SAID]
    assert all(record.levelno == logging.ERROR and record.exc_info for record in records)
    return [record.__dict__["part"] for record in records]


async def test_server_whose_parts_stop_ends_with_zero(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    supervisor = new_supervisor()
    running = await started(supervisor)
    supervisor.request_shutdown("the test is over")
    assert await running == 0
    assert failed_parts(caplog) == []
    assert left_in(place) == []


async def test_parts_that_fail_to_stop_are_logged_and_the_others_stopped_all_the_same(
    place: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant_failure(monkeypatch, Workers, "stop")
    plant_failure(monkeypatch, ControlPlane, "stop")
    supervisor = new_supervisor()
    running = await started(supervisor)
    supervisor.request_shutdown("the test is over")
    assert await running == 1
    assert failed_parts(caplog) == ["workers", "control"]
    assert left_in(place) == [], "the runtime directory is released behind them"
    with socket.socket() as newcomer:
        newcomer.bind(("127.0.0.1", supervisor.port))


async def test_exit_code_that_tells_of_something_else_stays(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plant_failure(monkeypatch, ControlPlane, "stop")
    supervisor = new_supervisor()
    running = await started(supervisor)
    supervisor.on_boot_failed(None, BootFailed("wspulse: path: is wrong", True))  # type: ignore[arg-type]
    assert await running == 2
    assert "is wrong" in capsys.readouterr().err


async def test_start_error_is_told_though_a_part_fails_to_stop(
    place: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise StartError("planted at the start")

    monkeypatch.setattr(Workers, "start", refuse)
    plant_failure(monkeypatch, ControlPlane, "stop")
    with pytest.raises(StartError, match="planted at the start"):
        await new_supervisor().run()
    assert failed_parts(caplog) == ["control"]
    assert left_in(place) == []


async def test_part_of_the_control_plane_that_fails_to_stop_keeps_none_of_its_others_from_it(
    place: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail_at_once(server: ControlServer) -> None:
        server._control_socket._lookout.close()
        raise RuntimeError("planted: its socket stays open")

    monkeypatch.setattr(ControlServer, "close", fail_at_once)
    plant_failure(monkeypatch, EventPublisher, "close")
    supervisor = new_supervisor()
    running = await started(supervisor)
    supervisor.request_shutdown("the test is over")
    assert await running == 1
    assert failed_parts(caplog) == ["control"]
    (record,) = [record for record in caplog.records if record.getMessage() == SAID]
    assert record.exc_info is not None
    group = record.exc_info[1]
    assert isinstance(group, ExceptionGroup)
    assert [str(error) for error in group.exceptions] == [
        "planted: its socket stays open",
        "planted in EventPublisher",
    ]
    assert left_in(place) == []
