"""The admin address as a part of the server: whose it is, and that its process is there whenever it can be."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.eventually import eventually
from wspulse.supervisor.admin import service
from wspulse.supervisor.admin.service import AdminService
from wspulse.supervisor.admin.spec import AdminSpec
from wspulse.supervisor.errors import StartError
from wspulse.supervisor.process.restart.backoff import Backoff
from wspulse.supervisor.protocol.address import Address
from wspulse.supervisor.settings.layers import resolve

STEERED: Any = SimpleNamespace(control=SimpleNamespace(own_address=lambda: Address("ipc:///nowhere")))


class PretendedProcess:
    """Ends when it is told to; a stubborn one only when it is killed."""

    def __init__(self, spec: AdminSpec, on_exit: Callable[[int], None], *, is_stubborn: bool = False) -> None:
        self.spec = spec
        self.started_at = 0.0
        self.is_running = True
        self.is_killed = False
        self._on_exit = on_exit
        self._is_stubborn = is_stubborn

    def ends(self, code: int) -> None:
        self.is_running = False
        self._on_exit(code)

    def terminate(self) -> None:
        if not self._is_stubborn:
            asyncio.get_running_loop().call_soon(self.ends, 0)

    def kill(self) -> None:
        if self.is_running:
            self.is_killed = True
            asyncio.get_running_loop().call_soon(self.ends, -9)


@pytest.fixture
def started() -> list[PretendedProcess]:
    return []


def made(started: list[PretendedProcess], *, is_stubborn: bool = False, **settings: str) -> AdminService:
    def launch(spec: AdminSpec, on_exit: Callable[[int], None]) -> PretendedProcess:
        started.append(PretendedProcess(spec, on_exit, is_stubborn=is_stubborn))
        return started[-1]

    return AdminService(resolve({"admin": "127.0.0.1:0"} | settings, {}), STEERED, launch)


async def test_process_is_given_the_address_that_the_log_tells(
    started: list[PretendedProcess], caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level("INFO")
    (tmp_path / "token").write_text("a-token-0123456789")
    admin = made(started, admin_token_file=str(tmp_path / "token"))
    await admin.start()
    (process,) = started
    assert process.spec.listener.getsockname() == ("127.0.0.1", admin.port)
    assert process.spec.control == Address("ipc:///nowhere")
    assert process.spec.token is not None
    assert process.spec.token.matches("a-token-0123456789")
    (told,) = [record.__dict__ for record in caplog.records if record.message == "the admin address is open"]
    assert told["url"] == f"http://127.0.0.1:{admin.port}/"
    await admin.stop()
    assert not process.is_running
    assert not process.is_killed
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", admin.port))


async def test_server_without_an_admin_address_starts_nothing(started: list[PretendedProcess]) -> None:
    admin = AdminService(resolve({}, {}), STEERED, lambda *_: pytest.fail("nobody wants it"))
    await admin.start()
    await admin.stop()


async def test_process_that_dies_is_started_again_on_the_same_address(
    started: list[PretendedProcess], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    delays = iter((0.001, 0.002, 60.0))
    monkeypatch.setattr(Backoff, "failed", lambda *_: next(delays))
    admin = made(started)
    await admin.start()
    started[0].ends(-9)
    await eventually(lambda: len(started) == 2, "it is started again")
    started[1].ends(1)
    await eventually(lambda: len(started) == 3, "it is started again")
    assert started[2].spec.listener is started[0].spec.listener
    ends = [record.__dict__["end"] for record in caplog.records]
    assert ends == ["was killed by SIGKILL", "ended with exit code 1"]
    started[2].ends(1)
    await admin.stop()
    assert len(started) == 3, "it ends while it waits for the next start"


async def test_process_that_cannot_be_started_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Backoff, "failed", lambda *_: 0.001)
    started: list[PretendedProcess] = []
    failures = [OSError("no more processes"), OSError("no more memory")]

    def launch(spec: AdminSpec, on_exit: Callable[[int], None]) -> PretendedProcess:
        if failures:
            raise failures.pop(0)
        started.append(PretendedProcess(spec, on_exit))
        return started[-1]

    admin = AdminService(resolve({"admin": "127.0.0.1:0"}, {}), STEERED, launch)
    await admin.start()
    await eventually(lambda: started, "it is started after all")
    assert [record.__dict__["reason"] for record in caplog.records] == ["no more processes", "no more memory"]
    await admin.stop()


async def test_process_that_does_not_end_is_killed(
    started: list[PretendedProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "STOP_S", 0.01)
    admin = made(started, is_stubborn=True)
    await admin.start()
    await admin.stop()
    assert started[0].is_killed


async def test_address_that_is_taken_is_an_error(
    started: list[PretendedProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "TAKEN_S", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        admin = made(started, admin=f"127.0.0.1:{port}")
        with pytest.raises(StartError, match=f"^wspulse: --admin: 127.0.0.1:{port} is in use .* choose another port$"):
            await admin.start()
        await admin.stop()
    assert started == []


async def test_address_that_a_dying_process_still_has_is_waited_for(started: list[PretendedProcess]) -> None:
    """That of a server that was killed."""
    other = socket.create_server(("127.0.0.1", 0))
    admin = made(started, admin=f"127.0.0.1:{other.getsockname()[1]}")
    asyncio.get_running_loop().call_later(0.1, other.close)
    await admin.start()
    assert len(started) == 1
    await admin.stop()


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("203.0.113.1:9", "203.0.113.1 is not an address of this machine; choose another address"),
        ("no.such.host.invalid:9", "the host 'no.such.host.invalid' cannot be resolved .* give a name or an address"),
    ],
)
async def test_address_that_cannot_be_had_is_an_error(
    started: list[PretendedProcess], tmp_path: Path, address: str, problem: str
) -> None:
    (tmp_path / "token").write_text("a-token-0123456789")
    admin = made(started, admin=address, admin_token_file=str(tmp_path / "token"))
    with pytest.raises(StartError, match=f"^wspulse: --admin: {problem}"):
        await admin.start()


async def test_missing_extra_is_an_error_that_names_it(
    started: list[PretendedProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "find_spec", lambda name: None if name == "prometheus_client" else object())
    with pytest.raises(StartError, match=r"--admin needs prometheus_client; install: pip install 'wspulse\[admin"):
        await made(started).start()
    assert started == []
