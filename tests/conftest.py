"""What holds for every test: coroutines run in a fresh uvloop, and nothing is left behind.

A test may be `async def`; it then runs in an event loop of its own, and fails when a task is still pending at its end
or when the loop reported an exception that nobody took. After every test the descriptors and the child processes are
compared with those before it. Tests marked `race` take the fixture `race_rounds`, set by `--race-rounds`.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import time
from collections.abc import Callable, Coroutine, Iterator
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

import psutil
import pytest
import uvloop

LEAK_DEADLINE_S = 3.0
"""ZeroMQ's reaper and a child's last breath take a moment; what is still there after this stays."""

FINISHING_TURNS = 20
"""Loop turns in which cancelled tasks and closed transports may finish after the test's last line."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--race-rounds", type=int, default=5, metavar="N", help="how often tests marked `race` run their race"
    )


def pytest_sessionstart() -> None:
    """Opens what libuv opens once per process and keeps, lest it count as the first test's leak."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.sleep(0))


@pytest.fixture
def race_rounds(request: pytest.FixtureRequest) -> int:
    """How often a test marked `race` repeats its race."""
    rounds: int = request.config.getoption("--race-rounds")
    return rounds


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    function = pyfuncitem.obj
    if not inspect.iscoroutinefunction(function):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    arguments = {name: pyfuncitem.funcargs[name] for name in names}
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run_and_check(function, arguments, _limit_s(pyfuncitem)))
    return True


def _limit_s(item: pytest.Function) -> float:
    """How long a coroutine test may take: a little less than pytest-timeout allows, whose exception uvloop would swallow."""
    marker = item.get_closest_marker("timeout")
    limit = marker.args[0] if marker else item.config.getoption("timeout") or item.config.getini("timeout")
    return 0.9 * float(limit)


async def _run_and_check(
    function: Callable[..., Coroutine[Any, Any, None]], arguments: dict[str, Any], limit_s: float
) -> None:
    reports: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
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
    gc.collect(0)  # a task that failed unseen reports when it is collected
    for report in reports:
        error = report.get("exception")
        raise AssertionError(f"the loop reported: {report['message']}: {error!r} ({report})") from error


async def _abort_transports() -> None:
    """Cut what a failed test left open: uvloop waits for it for ever when it closes, and the failure would not be told."""
    for thing in gc.get_objects():
        if str(type(thing)).startswith("<class 'uvloop.") and callable(abort := getattr(thing, "abort", None)):
            abort()
    for _ in range(FINISHING_TURNS):
        await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Fails a test that leaves descriptors or child processes behind."""
    descriptors, children = _open_descriptors(), _children()
    yield
    deadline = time.monotonic() + LEAK_DEADLINE_S
    while True:
        # Their number counts: one that was closed and opened anew, as pytest's capture does, is no leak.
        descriptors_now = _open_descriptors()
        new_children = _children() - children
        if len(descriptors_now) <= len(descriptors) and not new_children:
            return
        if time.monotonic() > deadline:
            break
        gc.collect()
        time.sleep(0.02)
    assert not new_children, f"child processes are left: {[_describe(pid) for pid in new_children]}"
    new_descriptors = sorted(descriptors_now.items() - descriptors.items())
    raise AssertionError(f"descriptors are left: {new_descriptors}")


def _open_descriptors() -> dict[int, str]:
    """Number → what it points to. The resource tracker's pipe, which multiprocessing keeps for good, is left out."""
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
    """Pids of this process's children that still run, zombies included: a test waits for what it starts."""
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


def _describe(pid: int) -> str:
    try:
        return f"{pid} {' '.join(psutil.Process(pid).cmdline())}"
    except psutil.Error:
        return f"{pid} (gone)"
