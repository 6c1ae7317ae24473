"""on_start and on_stop around the life of a shard."""

from __future__ import annotations

from collections.abc import Callable
from logging import getLogger
from typing import Any

import pytest

from wspulse.actors.runtime.hooks import Hooks

LOGGER = getLogger("wspulse.test")


def noting(log: list[str], name: str, error: Exception | None = None) -> Callable[[], Any]:
    async def run_later() -> None:
        log.append(name)
        if error is not None:
            raise error

    return run_later


async def test_stop_hooks_run_once_however_often_the_shard_is_stopped() -> None:
    log: list[str] = []
    hooks = Hooks([], [noting(log, "stop")], LOGGER)
    await hooks.start()
    await hooks.stop()
    await hooks.stop()
    assert log == ["stop"]


async def test_stop_hook_that_raises_is_logged_and_keeps_none_from_running(caplog: pytest.LogCaptureFixture) -> None:
    log: list[str] = []
    hooks = Hooks([], [noting(log, "first"), noting(log, "second", OSError("the disk is full"))], LOGGER)
    await hooks.start()
    await hooks.stop()
    assert log == ["second", "first"]
    assert "on_stop raised" in caplog.text
    assert "the disk is full" in caplog.text


async def test_start_hook_that_raises_keeps_those_behind_it_and_all_stop_hooks_from_running() -> None:
    log: list[str] = []
    start = [noting(log, "first", OSError("no database")), lambda: log.append("second")]
    hooks = Hooks(start, [noting(log, "stop")], LOGGER)
    with pytest.raises(OSError, match="no database"):
        await hooks.start()
    await hooks.stop()
    assert log == ["first"]
