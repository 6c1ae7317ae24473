"""What terminators are started with, and told: as the supervisor has it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.eventually import eventually
from tests.support.http.authority import Authority
from wspulse.supervisor.errors import StartError
from wspulse.supervisor.process.companions.presence import Presence
from wspulse.supervisor.process.restart.backoff import Backoff
from wspulse.supervisor.settings.layers import resolve
from wspulse.supervisor.tls import service
from wspulse.supervisor.tls.certificates.certificate import Certificate
from wspulse.supervisor.tls.orders import END, UP, Orders
from wspulse.supervisor.tls.service import TlsService
from wspulse.supervisor.tls.spec import TerminatorSpec


class Pretended:
    """In the place of a terminator's process. It ends when it is killed."""

    def __init__(
        self, _name: str, _main: object, arguments: tuple[TerminatorSpec], on_exit: Callable[[int], None]
    ) -> None:
        (self.spec,) = arguments
        self.channel = self.spec.channel.dup()
        self.channel.settimeout(5)
        self.pid = 4711
        self.started_at = 0.0
        self.is_running = True
        self.on_exit = on_exit

    def terminate(self) -> None:
        pytest.fail("SIGTERM means nothing to it")

    def kill(self) -> None:
        if self.is_running:
            self.is_running = False
            self.channel.close()
            self.on_exit(-9)


class Stage:
    """A service with files of a certificate, and what became of it."""

    def __init__(self, folder: Path, started: list[Pretended], **settings: str) -> None:
        self.folder = folder
        self.authority = Authority()
        self.certificate = Certificate(*map(str, self.authority.certificate(folder)))
        self.started = started
        self.told: list[Any] = []
        paths = {"tls_cert": self.certificate.certificate, "tls_key": self.certificate.key}
        presence = Presence(
            "no TLS terminator is running",
            lambda *told: self.told.append(told),
            lambda: self.told.append("up"),
            self.told.append,
        )
        self.service = TlsService(resolve({"app": "echo"} | paths | settings, {}), presence)
        self.service.check()

    def renew(self, expires: datetime | None = None) -> None:
        self.authority.certificate(self.folder, expires=expires)

    def write_nothing(self) -> None:
        Path(self.certificate.key).write_text("nothing")

    def remove(self) -> None:
        Path(self.certificate.key).unlink()

    def grow(self, size: int) -> None:
        """By what stands before the blocks."""
        path = Path(self.certificate.certificate)
        path.write_bytes(b"x" * size + b"\n" + path.read_bytes())


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Pretended]]:
    found: list[Pretended] = []

    def launch(*arguments: Any) -> Pretended:
        found.append(Pretended(*arguments))
        return found[-1]

    monkeypatch.setattr(service, "CompanionProcess", launch)
    monkeypatch.setattr(Backoff, "failed", lambda *_: 0.001)
    monkeypatch.setattr(service, "STOP_S", 0.01)
    yield found
    for each in found:
        each.channel.close()


@pytest.mark.parametrize(("settings", "handshake_s"), [({}, 10.0), ({"handshake_timeout": "3"}, 3.0)])
async def test_terminators_are_given_what_they_need_and_obey_the_handshake_timeout(
    tmp_path: Path, started: list[Pretended], settings: dict[str, str], handshake_s: float
) -> None:
    at = Stage(tmp_path, started, tls_terminators="2", **settings)
    at.service.start([])
    assert [each.spec.number for each in started] == [0, 1]
    assert {each.spec.handshake_s for each in started} == {handshake_s}
    assert {each.spec.pem for each in started} == {at.certificate.read()}
    for each in started:
        assert at.told == []
        each.channel.send(UP)
        if each is started[-1]:
            await eventually(lambda: at.told == ["up"], "all are up")
    at.service.end()
    assert [each.channel.recv(9) for each in started] == [END, END]
    await at.service.stop()
    assert [each.is_running for each in started] == [False, False]


async def test_terminator_that_says_nothing_any_more_is_killed_and_replaced(
    tmp_path: Path, started: list[Pretended]
) -> None:
    at = Stage(tmp_path, started, stall_timeout="0.5", tls_terminators="2")
    at.service.start([])
    silent, well = started
    assert silent.spec.alive_s == 0.125
    silent.channel.send(UP)
    living = asyncio.get_running_loop().create_task(_live(well))
    await eventually(lambda: len(started) == 3, "another is started")
    living.cancel()
    assert (silent.is_running, well.is_running, started[2].spec.number) == (False, True, 0)
    await at.service.stop()


async def _live(terminator: Pretended) -> None:
    while True:
        terminator.channel.send(UP)
        await asyncio.sleep(0.05)


async def test_one_that_is_started_again_shows_what_the_files_said_when_they_were_good(
    tmp_path: Path, started: list[Pretended]
) -> None:
    at = Stage(tmp_path, started)
    at.service.start([])
    at.renew()
    at.service.reread()
    good = at.certificate.read()
    assert list(Orders().take(started[0].channel.recv(65536))) == [good]
    for spoil in (at.write_nothing, at.remove):
        spoil()
        with pytest.raises(StartError):
            at.service.reread()
        started[-1].kill()
        await eventually(lambda: started[-1].is_running, "another is started")
        assert started[-1].spec.pem == good
    await at.service.stop()


async def test_expired_certificate_is_refused_unless_it_is_the_one_that_is_shown(
    tmp_path: Path, started: list[Pretended], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = Stage(tmp_path, started)
    at.service.start([])
    at.renew(expires=datetime.now(UTC) - timedelta(days=1))
    with pytest.raises(StartError, match="has expired"):
        at.service.reread()
    at.service._pem = at.certificate.read()
    at.service.reread()
    (said,) = caplog.records
    assert (said.levelname, said.message) == ("WARNING", "the certificate has not changed and stays in use")
    assert said.__dict__["reason"] == f"--tls-cert: the certificate in {at.certificate.certificate} has expired"
    started[0].channel.setblocking(False)
    with pytest.raises(BlockingIOError):
        started[0].channel.recv(1)
    await at.service.stop()


async def test_terminator_that_hears_nothing_for_a_while_gets_all_orders_in_the_end(
    tmp_path: Path, started: list[Pretended]
) -> None:
    at = Stage(tmp_path, started)
    at.service.start([])
    started[0].channel.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    shown = []
    for _ in range(8):
        at.grow(100_000)
        at.service.reread()
        shown.append(at.certificate.read())
    at.service.end()
    taken: list[object] = []
    orders = Orders()
    started[0].channel.setblocking(False)

    def all_are_there() -> bool:
        try:
            taken.extend(orders.take(started[0].channel.recv(1 << 20)))
        except BlockingIOError:
            pass
        return None in taken

    await eventually(all_are_there, "it has all")
    assert taken == [*shown, None]
    await at.service.stop()
