"""What a service manager hears, over a real datagram socket: when, in which words, and that nobody waits for it."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.eventually import eventually
from wspulse.supervisor.premises import service_manager
from wspulse.supervisor.premises.service_manager import ServiceManager


class Stage:
    """A service manager's socket, and a server with as many workers as the test says."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.setblocking(False)
        self.environ = {"NOTIFY_SOCKET": address.replace("\0", "@"), "KEPT": "1"}
        self.readiness = (0, 2)

    def made(self, **variables: str) -> ServiceManager:
        self.environ |= variables
        return ServiceManager(lambda: self.readiness, self.environ)

    def heard(self) -> list[str]:
        """The messages since the last time."""
        messages = []
        while True:
            try:
                messages.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return messages

    async def next(self, what: str) -> str:
        """One message, which may yet have to come."""
        heard: list[str] = await eventually(self.heard, what)
        return heard[0]


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(str(tmp_path / "notify"))
    yield made
    made.socket.close()


@contextmanager
def started(manager: ServiceManager) -> Iterator[ServiceManager]:
    manager.start()
    try:
        yield manager
    finally:
        manager.stop()


async def test_service_manager_hears_of_a_server_from_its_start_to_its_end(stage: Stage) -> None:
    with started(stage.made()) as manager:
        assert stage.heard() == ["STATUS=starting, 0 of 2 workers ready"]
        stage.readiness = (2, 2)
        manager.ready("ws://127.0.0.1:8000/ws")
        (said,) = stage.heard()
        assert said == f"READY=1\nMAINPID={os.getpid()}\nSTATUS=ws://127.0.0.1:8000/ws, 2 of 2 workers ready"
    assert stage.heard() == ["STOPPING=1\nSTATUS=stopping"]


async def test_reload_is_framed_by_reloading_with_its_time_and_ready(stage: Stage) -> None:
    stage.readiness = (2, 2)
    with started(stage.made()) as manager:
        manager.ready("ws://x/ws")
        stage.heard()
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        with manager.reloading():
            reloading, clock, status = stage.heard()[0].split("\n")
            assert reloading == "RELOADING=1"
            assert clock.startswith("MONOTONIC_USEC=")
            after = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
            assert before <= int(clock.removeprefix("MONOTONIC_USEC=")) <= after
            assert status == "STATUS=reloading, 2 of 2 workers ready"
        assert stage.heard() == ["READY=1\nSTATUS=ws://x/ws, 2 of 2 workers ready"]


async def test_failed_reload_is_ready_again_and_its_error_stands_in_the_status_until_the_next(stage: Stage) -> None:
    stage.readiness = (2, 2)
    with started(stage.made()) as manager:
        manager.ready("ws://x/ws")
        with pytest.raises(OSError, match="first"), manager.reloading():
            raise OSError("first line\nsecond=1")
        assert stage.heard()[-1] == (
            "READY=1\nSTATUS=ws://x/ws, 2 of 2 workers ready; the last reload failed: first line second=1"
        )
        with manager.reloading():
            pass
        assert stage.heard()[-1] == "READY=1\nSTATUS=ws://x/ws, 2 of 2 workers ready"


async def test_reloads_at_once_are_ready_when_the_last_is(stage: Stage) -> None:
    with started(stage.made()) as manager:
        manager.ready("ws://x/ws")
        with manager.reloading():
            with manager.reloading():
                stage.heard()
            assert stage.heard() == []
        assert [said.partition("\n")[0] for said in stage.heard()] == ["READY=1"]


async def test_reload_before_the_server_is_ready_says_nothing_of_it(stage: Stage) -> None:
    with started(stage.made()) as manager:
        stage.heard()
        with manager.reloading():
            pass
        assert stage.heard() == []


async def test_reload_that_the_end_comes_into_is_not_followed_by_ready(stage: Stage) -> None:
    manager = stage.made()
    with started(manager):
        manager.ready("ws://x/ws")
        reload = manager.reloading()
        reload.__enter__()
    stage.heard()
    reload.__exit__(None, None, None)
    assert stage.heard() == []


async def test_number_of_ready_workers_is_told_when_it_changes(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_manager, "LOOK_S", 0.01)
    with started(stage.made()) as manager:
        stage.readiness = (2, 2)
        manager.ready("ws://x/ws")
        stage.heard()
        stage.readiness = (1, 2)
        assert await stage.next("a worker has died") == "STATUS=ws://x/ws, 1 of 2 workers ready"
        manager.look()
        assert stage.heard() == [], "nothing has changed"


async def test_watchdog_is_fed_at_half_its_time_while_a_worker_is_ready(stage: Stage) -> None:
    with started(stage.made(WATCHDOG_USEC="20000", WATCHDOG_PID=str(os.getpid()))) as manager:
        assert manager._feed_s == 0.01
        for _ in range(3):
            assert "WATCHDOG=1" not in stage.heard()
            manager._timers.pop(manager._feed).cancel()
            manager._feed()
        assert "WATCHDOG=1" not in stage.heard(), "no worker serves"
        stage.readiness = (1, 2)
        for _ in range(3):
            assert await stage.next("it is fed") == "WATCHDOG=1"


@pytest.mark.parametrize("variables", [{}, {"WATCHDOG_USEC": "20000", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "soon"}])
async def test_watchdog_of_another_process_or_of_none_is_not_fed(stage: Stage, variables: dict[str, str]) -> None:
    stage.readiness = (1, 2)
    with started(stage.made(**variables)) as manager:
        assert manager._feed not in manager._timers
        assert "WATCHDOG=1" not in stage.heard()


async def test_abstract_socket_is_reached() -> None:
    stage = Stage(f"\0wspulse-test-{os.getpid()}-{time.monotonic_ns()}")
    with stage.socket, started(stage.made()):
        assert stage.heard() == ["STATUS=starting, 0 of 2 workers ready"]


async def test_variables_are_taken_out_of_the_environment(stage: Stage) -> None:
    stage.made(WATCHDOG_USEC="1", WATCHDOG_PID="1")
    assert stage.environ == {"KEPT": "1"}


async def test_server_without_a_service_manager_opens_and_asks_nothing() -> None:
    def readiness() -> tuple[int, int]:
        raise AssertionError("nobody wants to know")

    with started(ServiceManager(readiness, {"WATCHDOG_USEC": "1"})) as manager:
        assert (manager._socket, manager._timers) == (None, {})


async def test_what_a_busy_service_manager_does_not_take_waits_in_order(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_manager, "LOOK_S", 0.01)
    with started(stage.made()) as manager:
        fill = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        fill.setblocking(False)
        with fill, contextlib.suppress(BlockingIOError):
            while True:
                fill.sendto(b"filled", stage.socket.getsockname())
        manager.ready("ws://x/ws")
        with manager.reloading():
            pass
        assert all(said in ("filled", "STATUS=starting, 0 of 2 workers ready") for said in stage.heard())
        said = await eventually(stage.heard, "what waited has come")
        assert [each.partition("\n")[0] for each in said] == ["READY=1", "RELOADING=1", "READY=1"]


@pytest.mark.parametrize("gone", ["file", "listener"])
async def test_service_manager_that_is_gone_is_told_of_once_and_harms_nothing(
    stage: Stage, gone: str, caplog: pytest.LogCaptureFixture
) -> None:
    manager = stage.made()
    path = str(stage.socket.getsockname())
    stage.socket.close()
    if gone == "file":
        os.unlink(path)  # noqa: PTH108
    with started(manager):
        manager.ready("ws://x/ws")
        with manager.reloading():
            pass
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "NOTIFY_SOCKET" in record.message


@pytest.mark.parametrize("address", ["notify.sock", "@", "vsock:2:1234"])
async def test_address_that_is_none_is_told_of_and_not_used(address: str, caplog: pytest.LogCaptureFixture) -> None:
    with started(ServiceManager(lambda: (0, 1), {"NOTIFY_SOCKET": address})) as manager:
        manager.ready("ws://x/ws")
    (record,) = caplog.records
    assert "NOTIFY_SOCKET" in record.message
    assert record.__dict__["value"] == address
