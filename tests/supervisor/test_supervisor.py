"""The supervisor in the test's own loop: starts that fail, ends that come early, and what is left of them, which is nothing.

The fixtures of every test look for descriptors, child processes and files.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.support.eventually import eventually
from tests.support.supervision.child_stage import FakeWorker
from wspulse.actors.mesh.lifecycle import Alive, BootFailed, Exit, Ready
from wspulse.actors.mesh.message import Message
from wspulse.supervisor.errors import SettingError, StartError
from wspulse.supervisor.process.child import ChildState
from wspulse.supervisor.process.worker_process import WorkerProcess
from wspulse.supervisor.settings.layers import resolve
from wspulse.supervisor.supervisor import Supervisor
from wspulse.supervisor.worker.child_spec import Place


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Its runtime directory; empty again at the end."""
    (tmp_path / "run").mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    before = [signal.signal(signal.SIGTERM, signal.SIG_DFL), signal.signal(signal.SIGINT, signal.default_int_handler)]
    yield tmp_path / "run"
    left = [
        signal.signal(number, handler) for number, handler in zip((signal.SIGTERM, signal.SIGINT), before, strict=True)
    ]
    assert left == [signal.SIG_DFL, signal.default_int_handler]
    base = tmp_path / "run" / "wspulse"
    assert not base.exists() or list(base.iterdir()) == []


def supervisor(**settings: Any) -> Supervisor:
    return Supervisor(resolve({"app": "echo", "port": "0", "workers": "2"} | settings, {}))


@asynccontextmanager
async def running(made: Supervisor) -> AsyncIterator[asyncio.Task[int]]:
    """Its `run`, which has ended on the way out, whatever the test found."""
    task = asyncio.create_task(made.run())
    try:
        yield task
    finally:
        if not task.done():
            made.request_shutdown("the test is over")
            async with asyncio.timeout(15):
                await asyncio.wait([task])


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


async def test_server_ends_in_order_when_it_is_asked_to(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    made = supervisor()
    async with running(made) as ending:
        await eventually(lambda: made.is_ready, "it is ready", 30)
        assert accepts(made.port)
        told = capfd.readouterr().out
        assert told.startswith(f"wspulse: ready on ws://127.0.0.1:{made.port}/ws (2 workers, control ipc://")
        assert told.count("\n") == 1
        caplog.set_level("INFO")
        made.request_shutdown("the first reason")
        made.request_shutdown("another one")
        assert made.is_ending
        assert await ending == 0
        assert [child.state for child in made.children] == [ChildState.STOPPED] * 2
        assert not accepts(made.port)
        (said,) = [record for record in caplog.records if record.message == "the server is stopping"]
        assert said.__dict__["reason"] == "the first reason"


async def test_server_that_is_told_to_end_while_its_workers_start_ends_at_once(
    capfd: pytest.CaptureFixture[str],
) -> None:
    made = supervisor()
    async with running(made) as ending:
        await eventually(lambda: made.children, "its workers are started", 30)
        made.request_shutdown("not now")
        async with asyncio.timeout(5):
            assert await ending == 0
        assert not made.is_ready
        assert capfd.readouterr().out == ""


class PretendedProcess(FakeWorker):
    """In the place of a worker's process: it ends when it is killed."""

    def __init__(self, _spec: object, place: Place, **calls: Any) -> None:
        super().__init__(place.incarnation, **calls)
        self.shard = place.seat
        self.soon(self.says, Alive(0))

    def soon(self, call: Callable[[Any], None], value: object) -> None:
        asyncio.get_running_loop().call_soon(call, value)

    def kill(self) -> None:
        super().kill()
        if self.kills == 1:
            self.soon(self.ends, -signal.SIGKILL)


class StubbornWorker(PretendedProcess):
    """Ready at once; told to drain, it never says that it has."""

    def __init__(self, *arguments: Any, **calls: Any) -> None:
        super().__init__(*arguments, **calls)
        self.soon(self.says, Ready(self.shard, self.incarnation))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_second_signal_kills_and_is_the_exit_code(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wspulse.supervisor.process.workers.WorkerProcess", StubbornWorker)
    made = supervisor()
    async with running(made) as ending:
        await eventually(lambda: made.is_ready, "it is ready")
        os.kill(os.getpid(), signal.SIGTERM)
        await eventually(lambda: made.children[1].state is ChildState.DRAINING, "the first signal drains")
        os.kill(os.getpid(), number)
        async with asyncio.timeout(5):
            assert await ending == 128 + number


async def test_first_signal_waits_for_the_drain_and_ends_with_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wspulse.supervisor.process.workers.WorkerProcess", StubbornWorker)
    made = supervisor(shutdown_timeout="1")
    async with running(made) as ending:
        await eventually(lambda: made.is_ready, "it is ready")
        began = asyncio.get_running_loop().time()
        os.kill(os.getpid(), signal.SIGINT)
        assert await ending == 0
        assert 0.8 < asyncio.get_running_loop().time() - began < 2, "killed shortly before its time was over"


class Crashing(StubbornWorker):
    """Ready, and gone in the next moment; behind the first ones it does not even get ready."""

    ready: ClassVar[int]

    def __init__(self, *arguments: Any, **calls: Any) -> None:
        if Crashing.ready:
            Crashing.ready -= 1
            super().__init__(*arguments, **calls)
        else:
            PretendedProcess.__init__(self, *arguments, **calls)
        self.soon(self.ends, 7)


async def test_server_that_has_no_worker_for_as_long_as_it_may_ends_with_one_and_says_why(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    Crashing.ready = 8
    monkeypatch.setattr("wspulse.supervisor.process.workers.WorkerProcess", Crashing)
    for name in ("FIRST_DELAY_S", "LAST_DELAY_S"):
        monkeypatch.setattr(f"wspulse.supervisor.process.restart.backoff.{name}", 0.05)
    async with asyncio.timeout(10):
        assert await supervisor(workers="1", give_up_after="1", stall_timeout="0.5").run() == 1
    (said,) = [record for record in caplog.records if record.levelname == "CRITICAL"]
    assert said.__dict__["last_failure"] == "ended with exit code 7"
    assert said.__dict__["give_up_after_s"] == 1.0
    assert sum(record.message == "a worker died" for record in caplog.records) > 8


class FailsLater(StubbornWorker):
    """The first ones become ready; those that come later cannot start."""

    starts: ClassVar[int]

    def __init__(self, *arguments: Any, **calls: Any) -> None:
        FailsLater.starts += 1
        if FailsLater.starts <= 2:
            super().__init__(*arguments, **calls)
        else:
            PretendedProcess.__init__(self, *arguments, **calls)
            self.soon(self.says, BootFailed("Traceback\nOSError: database"))

    def tell(self, message: Message) -> None:
        super().tell(message)
        if isinstance(message, Exit):
            self.soon(self.ends, 1)


async def test_start_that_fails_once_the_server_was_ready_ends_nothing(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    FailsLater.starts = 0
    monkeypatch.setattr("wspulse.supervisor.process.workers.WorkerProcess", FailsLater)
    made = supervisor()
    async with running(made) as ending:
        await eventually(lambda: made.is_ready, "it is ready")
        made.children[0].kill()
        await eventually(lambda: FailsLater.starts > 4, "it is tried again and again", 5)
        assert not ending.done()
        assert made.children[1].state is ChildState.READY
        assert made.children[0].restarts >= 2
        made.request_shutdown("the test is over")
        for child in made.children:
            child.kill()
        assert await ending == 0


@pytest.mark.parametrize(("is_usage", "code"), [(True, 2), (False, 1)])
async def test_application_that_cannot_be_loaded_ends_the_server_and_is_told_of_once(
    is_usage: bool,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Failing(PretendedProcess):
        def __init__(self, *arguments: Any, **calls: Any) -> None:
            super().__init__(*arguments, **calls)
            self.soon(self.says, BootFailed("wspulse: pong_wait: too small", is_usage))

        def tell(self, message: Message) -> None:
            super().tell(message)
            if isinstance(message, Exit):
                self.soon(self.ends, 1)

    monkeypatch.setattr("wspulse.supervisor.process.workers.WorkerProcess", Failing)
    assert await supervisor(workers="3", pong_wait="20").run() == code
    told = capfd.readouterr().err
    failures = [record for record in caplog.records if record.message == "the application failed to start"]
    if is_usage:
        assert told == "wspulse: --pong-wait: too small\n"
        assert failures == []
    else:
        assert [record.__dict__["traceback"] for record in failures] == ["wspulse: pong_wait: too small"]


async def test_port_that_is_taken_ends_the_start() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as other,
        pytest.raises(StartError, match="is in use by another program"),
    ):
        await supervisor(port=str(other.getsockname()[1])).run()


async def test_later_part_that_cannot_start_gives_back_what_the_earlier_ones_took(folder: Path) -> None:
    (folder / "c").write_text("precious")
    made = supervisor(control=f"ipc://{folder}/c")
    with pytest.raises(StartError, match=f"{folder}/c exists and is not a socket"):
        await made.run()
    assert not accepts(made.port)
    assert set(os.listdir(folder)) <= {"c", "wspulse"}  # noqa: PTH208
    with pytest.raises(SettingError, match="requires CURVE keys"):
        await supervisor(control="tcp://0.0.0.0:0").run()


async def test_worker_that_cannot_be_started_ends_the_start_and_those_that_were(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    starts: list[int] = []

    def limited(*args: Any, **options: Any) -> WorkerProcess:
        starts.append(args[1].shard)
        if len(starts) == 2:
            raise OSError("no more processes")
        return WorkerProcess(*args, **options)

    monkeypatch.setattr("wspulse.supervisor.process.workers.WorkerProcess", limited)
    made = supervisor()
    with pytest.raises(StartError, match="worker 1 cannot be started: no more processes"):
        await made.run()
    assert starts == [0, 1]
    assert made.children[0].state is ChildState.STOPPED
    assert not accepts(made.port)


async def test_more_workers_than_descriptors_are_refused_with_what_would_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wspulse.supervisor.host.descriptor_limit.raise_descriptor_limit", lambda: 100)
    with pytest.raises(StartError, match=r"20 workers need more descriptors .* use at most --workers 7"):
        await supervisor(workers="20").run()


async def test_one_worker_has_no_bus(folder: Path) -> None:
    made = supervisor(workers="1")
    async with running(made) as ending:
        await eventually(lambda: made.is_ready, "it is ready", 30)
        (runtime_dir,) = (folder / "wspulse").iterdir()
        names = sorted(path.name for path in runtime_dir.iterdir())
        assert names == ["control.sock", "events-0.sock", "lock", "mailbox-0-0.sock"]
        made.request_shutdown("the test is over")
        assert await ending == 0


async def test_incarnations_begin_above_those_of_a_run_that_crashed(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    crashed = folder / "wspulse" / str(port)
    crashed.mkdir(mode=0o700, parents=True)
    (folder / "wspulse").chmod(0o700)
    (crashed / "lock").write_text("99999 4\n")
    made = supervisor(port=str(port), workers="1")
    async with running(made) as ending:
        await eventually(lambda: made.is_ready, "it is ready", 30)
        incarnation = made.children[0].incarnation
        assert incarnation is not None
        assert incarnation > 4_999_999
        assert all("-5.sock" in path for path in made.mailbox_paths.values())
        made.request_shutdown("the test is over")
        assert await ending == 0
