"""What a test must not leave behind, and how it is found.

A coroutine test runs in a loop that knows its timers (`run_coroutine`); descriptors, child processes and files are
compared with those before the test (`Belongings`). So that other programs of the machine change nothing in that
comparison, the test session has folders of its own (`own_folders`), which every process that it starts inherits.
"""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from contextvars import Context
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any, NamedTuple, TypeVarTuple
from weakref import WeakKeyDictionary

import psutil
import pytest
import uvloop

__all__ = ["Belongings", "own_folders", "run_coroutine"]

_Args = TypeVarTuple("_Args")

LEAK_DEADLINE_S = 3.0
"""ZeroMQ's reaper and a child's last breath take a moment; what is still there after this stays."""

LONGEST_FOLDER_BYTES = 40
"""A server's Unix sockets in a temporary folder take up to 56 bytes more; 103 are possible."""

FINISHING_TURNS = 20
"""Loop turns in which cancelled tasks and closed transports may finish after the test's last line."""


class TimedLoop(uvloop.Loop):
    """uvloop's loop, and what its timers are to call."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting: WeakKeyDictionary[asyncio.TimerHandle, Callable[..., object]] = WeakKeyDictionary()
        """The loop itself holds the handles of the timers that wait."""

    def call_later(
        self, delay: float, callback: Callable[[*_Args], object], *args: *_Args, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """`call_at` comes here too."""

        def fire() -> None:
            self._waiting.pop(handle, None)
            callback(*args)

        handle = super().call_later(delay, fire, context=context)
        self._waiting[handle] = callback
        return handle

    def waiting_timers(self) -> list[Callable[..., object]]:
        """What will be called by a timer that has neither fired nor been cancelled."""
        return [callback for handle, callback in self._waiting.items() if not handle.cancelled()]


def run_coroutine(
    function: Callable[..., Coroutine[Any, Any, None]], arguments: dict[str, Any], limit_s: float
) -> None:
    """Run a test in a loop of its own. AssertionError when it leaves a task or a timer, or when the loop reported an
    exception that nobody took."""
    with asyncio.Runner(loop_factory=TimedLoop) as runner:
        runner.run(_run_and_check(function, arguments, limit_s))


async def _run_and_check(
    function: Callable[..., Coroutine[Any, Any, None]], arguments: dict[str, Any], limit_s: float
) -> None:
    reports: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    assert isinstance(loop, TimedLoop)
    loop.set_exception_handler(lambda _loop, context: reports.append(context))
    try:
        async with asyncio.timeout(limit_s):
            await function(**arguments)
    except BaseException:
        await _abort_transports()
        raise
    this = asyncio.current_task()
    for _ in range(FINISHING_TURNS):
        await asyncio.sleep(0)
    pending = [task for task in asyncio.all_tasks() if task is not this]
    assert not pending, f"tasks are still pending: {pending}"
    timers = loop.waiting_timers()
    assert not timers, f"timers are left: {timers}"
    gc.collect(0)  # a task that failed unseen reports when it is collected
    for report in reports:
        error = report.get("exception")
        raise AssertionError(f"the loop reported: {report['message']}: {error!r} ({report})") from error


async def _abort_transports() -> None:
    """Cut what a failed test left open: uvloop waits for it for ever when it closes, and the failure would not be told."""
    for thing in gc.get_objects():
        if str(type(thing)).startswith("<class 'uvloop.") and callable(abort := getattr(thing, "abort", None)):
            with suppress(NotImplementedError):  # pipes have none that does it
                abort()
    for _ in range(FINISHING_TURNS):
        await asyncio.sleep(0)


@contextmanager
def own_folders() -> Iterator[tuple[Path, Path]]:
    """Give this process and those it starts a temporary folder and a runtime directory that nobody else uses.

    They are yielded, and removed on the way out.
    """
    parent = tempfile.gettempdir()
    if len(os.fsencode(parent)) > LONGEST_FOLDER_BYTES - len("/wst-12345678/tmp"):
        parent = "/tmp"  # Unix socket paths are short
    home = Path(tempfile.mkdtemp(prefix="wst-", dir=parent))
    temporary, runtime = home / "tmp", home / "run"
    temporary.mkdir()
    # The runtime directory's parent is made once and stays, as it does under /run/user.
    (runtime / "wspulse").mkdir(mode=0o700, parents=True)
    tempdir = tempfile.tempdir
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TMPDIR", str(temporary))
            patch.setenv("XDG_RUNTIME_DIR", str(runtime))
            patch.setattr(tempfile, "tempdir", None)  # found anew
            yield temporary, runtime
    finally:
        tempfile.tempdir = tempdir
        shutil.rmtree(home)


class Belongings(NamedTuple):
    """What this process has at one moment."""

    descriptors: dict[int, str]
    """Number → what it points to."""
    children: set[int]
    """Pids."""
    files: set[Path]
    """And folders."""

    @classmethod
    def now(cls, *folders: Path) -> Belongings:
        """Files are looked for in `folders`, at any depth."""
        return cls(_open_descriptors(), _children(), {file for folder in folders for file in _files(folder)})

    def assert_no_more(self, *folders: Path) -> None:
        """AssertionError when there is more now, and still is after LEAK_DEADLINE_S."""
        deadline = time.monotonic() + LEAK_DEADLINE_S
        while (left := self._left(Belongings.now(*folders))) is not None:
            assert time.monotonic() < deadline, left
            gc.collect()
            time.sleep(0.02)

    def _left(self, now: Belongings) -> str | None:
        """What there is more now."""
        if children := now.children - self.children:
            return f"child processes are left: {[_describe(pid) for pid in children]}"
        # Their number counts: one that was closed and opened anew, as pytest's capture does, is no leak.
        if len(now.descriptors) > len(self.descriptors):
            return f"descriptors are left: {sorted(now.descriptors.items() - self.descriptors.items())}"
        if files := now.files - self.files:
            return f"files are left: {sorted(map(str, files))}"
        return None


def _open_descriptors() -> dict[int, str]:
    """The resource tracker's pipe, which multiprocessing keeps for good, is left out."""
    tracker = getattr(resource_tracker._resource_tracker, "_fd", None)
    found = {}
    for name in os.listdir("/proc/self/fd" if Path("/proc/self/fd").exists() else "/dev/fd"):  # noqa: PTH208
        try:
            target = os.readlink(f"/proc/self/fd/{name}") if Path("/proc").exists() else ""  # noqa: PTH115
        except OSError:
            continue  # the listing's own descriptor
        if int(name) != tracker:
            found[int(name)] = target
    return found


def _children() -> set[int]:
    """Children that still run, zombies included: a test waits for what it starts."""
    tracker = getattr(resource_tracker._resource_tracker, "_pid", None)
    tasks = Path("/proc/self/task")
    if tasks.exists():
        found = set()
        for task in tasks.iterdir():
            try:
                found |= {int(pid) for pid in (task / "children").read_text().split()}
            except FileNotFoundError:
                continue  # a thread that has just ended
    else:
        found = {child.pid for child in psutil.Process().children()}
    return found - {tracker}


def _files(folder: Path) -> Iterator[Path]:
    # os.walk takes it when a folder vanishes meanwhile.
    for parent, folders, files in os.walk(folder):
        yield from (Path(parent, name) for name in (*folders, *files))
        # A NATS server that a module's tests share makes and removes files in it whenever it likes.
        folders[:] = [name for name in folders if name != "jetstream"]


def _describe(pid: int) -> str:
    try:
        return f"{pid} {' '.join(psutil.Process(pid).cmdline())}"
    except psutil.Error:
        return f"{pid} (gone)"
