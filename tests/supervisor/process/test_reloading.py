"""Reloads that SIGHUP asks for: when, how many, and what becomes of one that fails."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.eventually import eventually
from wspulse.actors.values.errors import ServerClosedError, ShardUnavailableError
from wspulse.supervisor.process.reloading import Reloading


class Stage:
    """Its reloads begin and wait for `done`."""

    def __init__(self) -> None:
        self.begun = 0
        self.running = 0
        self.done = asyncio.Semaphore(0)
        self.error: Exception | None = None
        self.reloading = Reloading(self.reload)

    async def reload(self) -> None:
        assert self.running == 0
        self.begun += 1
        self.running += 1
        try:
            await self.done.acquire()
            if self.error is not None:
                raise self.error
        finally:
            self.running -= 1


async def test_reload_asked_for_before_the_server_is_ready_is_done_when_it_is() -> None:
    stage = Stage()
    stage.reloading.request()
    await asyncio.sleep(0)
    assert stage.begun == 0
    stage.reloading.allow()
    await eventually(lambda: stage.begun == 1, "it has begun")
    await stage.reloading.stop()
    assert stage.running == 0


async def test_server_that_becomes_ready_unasked_reloads_nothing() -> None:
    stage = Stage()
    stage.reloading.allow()
    await asyncio.sleep(0)
    assert stage.begun == 0


async def test_reloads_asked_for_during_one_are_one_more_after_it() -> None:
    stage = Stage()
    stage.reloading.allow()
    stage.reloading.request()
    await eventually(lambda: stage.begun == 1, "it has begun")
    for _ in range(3):
        stage.reloading.request()
    stage.done.release()
    await eventually(lambda: stage.begun == 2, "the second has begun")
    stage.done.release()
    await eventually(lambda: stage.running == 0, "it is done")
    await asyncio.sleep(0)
    assert stage.begun == 2
    stage.reloading.request()
    await eventually(lambda: stage.begun == 3, "a later one begins")
    await stage.reloading.stop()


async def test_reload_that_fails_is_logged_and_keeps_no_later_one_from_being_done(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stage = Stage()
    stage.reloading.allow()
    stage.error = ShardUnavailableError("wspulse: away")
    stage.reloading.request()
    stage.done.release()
    await eventually(lambda: caplog.records, "it was logged")
    assert caplog.records[0].message == "the reload failed"
    stage.reloading.request()
    await eventually(lambda: stage.begun == 2, "the next one has begun")
    await stage.reloading.stop()


async def test_reload_of_a_server_that_ends_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage()
    stage.reloading.allow()
    stage.error = ServerClosedError()
    stage.reloading.request()
    stage.done.release()
    await eventually(lambda: stage.begun == 1 and stage.running == 0, "it is over")
    await stage.reloading.stop()
    assert caplog.records == []


async def test_nothing_is_reloaded_after_the_stop() -> None:
    stage = Stage()
    stage.reloading.allow()
    await stage.reloading.stop()
    stage.reloading.request()
    await asyncio.sleep(0)
    assert stage.begun == 0
