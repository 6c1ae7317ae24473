"""on_start and on_stop around the life of a shard."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from logging import getLogger
from typing import Any

import pytest

from wspulse.actors.runtime.hooks import Hooks

LOGGER = getLogger("wspulse.test")


def ignore(_error: BaseException) -> None:
    """What on_stop raises goes nowhere but to the log."""


def noting(log: list[str], name: str, error: Exception | None = None) -> Callable[[], Any]:
    async def run_later() -> None:
        log.append(name)
        if error is not None:
            raise error

    return run_later


async def test_stop_hooks_run_once_however_often_the_shard_is_stopped() -> None:
    log: list[str] = []
    hooks = Hooks([], [noting(log, "stop")], LOGGER, ignore)
    await hooks.start()
    await hooks.stop()
    await hooks.stop()
    assert log == ["stop"]


async def test_stop_hook_that_raises_is_logged_and_keeps_none_from_running(caplog: pytest.LogCaptureFixture) -> None:
    log: list[str] = []
    hooks = Hooks([], [noting(log, "first"), noting(log, "second", OSError("the disk is full"))], LOGGER, ignore)
    await hooks.start()
    await hooks.stop()
    assert log == ["second", "first"]
    assert "on_stop raised" in caplog.text
    assert "the disk is full" in caplog.text


async def test_start_hook_that_raises_keeps_those_behind_it_and_all_stop_hooks_from_running() -> None:
    log: list[str] = []
    start = [noting(log, "first", OSError("no database")), lambda: log.append("second")]
    hooks = Hooks(start, [noting(log, "stop")], LOGGER, ignore)
    with pytest.raises(OSError, match="no database"):
        await hooks.start()
    await hooks.stop()
    assert log == ["first"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError])
@pytest.mark.parametrize("is_async", [True, False], ids=["async", "sync"])
async def test_stop_hook_that_raises_anything_keeps_none_from_running(
    error: type[BaseException], is_async: bool, caplog: pytest.LogCaptureFixture
) -> None:
    log: list[str] = []
    passed_on: list[BaseException] = []

    async def fail_later() -> None:
        raise error

    def fail() -> None:
        raise error

    hooks = Hooks([], [noting(log, "first"), fail_later if is_async else fail], LOGGER, passed_on.append)
    await hooks.start()
    await hooks.stop()
    assert log == ["first"]
    assert "on_stop raised" in caplog.text
    assert [type(each) for each in passed_on] == [error]


async def test_stop_that_is_cancelled_runs_the_other_hooks_and_stays_cancelled(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log: list[str] = []
    stuck = asyncio.Event()

    async def wait() -> None:
        stuck.set()
        await asyncio.get_running_loop().create_future()

    hooks = Hooks([], [noting(log, "first"), wait], LOGGER, ignore)
    await hooks.start()
    stopping = asyncio.create_task(hooks.stop())
    await stuck.wait()
    stopping.cancel()
    await asyncio.wait([stopping])
    assert stopping.cancelled()
    assert log == ["first"]
    assert "on_stop raised" not in caplog.text
