"""A process beside the workers: there whenever it can be, and gone when the server is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic

import pytest

from tests.support.eventually import eventually
from wspulse.supervisor.process.companions import companion
from wspulse.supervisor.process.companions.companion import Companion
from wspulse.supervisor.process.restart.backoff import Backoff


class Pretended:
    """Ends when it is told to; a stubborn one only when it is killed."""

    def __init__(self, on_exit: Callable[[int], None], *, is_stubborn: bool = False) -> None:
        self.started_at = monotonic()
        self.is_running = True
        self.is_stubborn = is_stubborn
        self.told: list[str] = []
        self._on_exit = on_exit

    def ends(self, code: int) -> None:
        if self.is_running:
            self.is_running = False
            self._on_exit(code)

    def terminate(self) -> None:
        self.told.append("end")
        if not self.is_stubborn:
            asyncio.get_running_loop().call_soon(self.ends, 0)

    def kill(self) -> None:
        if self.is_running:
            self.told.append("kill")
            asyncio.get_running_loop().call_soon(self.ends, -9)


class Stage:
    """A companion, what was launched for it, and what it told."""

    def __init__(self, *refusals: OSError) -> None:
        self.launched: list[Pretended] = []
        self.failures: list[str] = []
        self.refusals = list(refusals)
        self.companion = Companion("of a test", self._launch, self.failures.append)

    def _launch(self, on_exit: Callable[[int], None]) -> Pretended:
        if self.refusals:
            raise self.refusals.pop(0)
        self.launched.append(Pretended(on_exit))
        return self.launched[-1]


def delays(caplog: pytest.LogCaptureFixture) -> list[float]:
    return [record.__dict__["restart_in_s"] for record in caplog.records]


async def test_one_that_dies_young_again_and_again_waits_longer_and_one_that_ran_well_does_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    at = Stage()
    for ran_for_s in (0.0, 9.0, 0.0, 10.0, 0.0):
        at.companion.start()
        at.launched[-1].started_at -= ran_for_s
        at.launched[-1].ends(1)
        at.companion.end()  # the timer of the next start
        at.companion._is_ending = False
    assert delays(caplog) == [0.1, 0.2, 0.4, 0.1, 0.2]
    assert at.failures == ["ended with exit code 1"] * 5
    assert {record.__dict__["companion"] for record in caplog.records} == {"of a test"}


async def test_one_that_cannot_be_started_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Backoff, "failed", lambda *_: 0.001)
    at = Stage(OSError("no more processes"), OSError("no more memory"))
    at.companion.start()
    await eventually(lambda: at.launched, "it is started after all")
    assert at.failures == ["no more processes", "no more memory"]
    assert [record.__dict__["reason"] for record in caplog.records] == at.failures
    await at.companion.stop(5.0)
    assert at.launched[0].told == ["end"]


async def test_one_that_waits_for_its_next_start_is_not_started_after_the_end() -> None:
    at = Stage(OSError("no more processes"))
    at.companion.start()
    await at.companion.stop(5.0)
    assert at.companion._timer is not None
    assert at.companion._timer.cancelled()
    assert at.launched == []


async def test_one_that_ends_by_order_has_not_failed(caplog: pytest.LogCaptureFixture) -> None:
    at = Stage()
    at.companion.start()
    at.companion.end()
    await eventually(lambda: not at.launched[0].is_running, "it has ended")
    await at.companion.stop(5.0)
    assert (at.failures, caplog.records, len(at.launched)) == ([], [], 1)


async def test_one_that_does_not_end_is_killed_and_one_that_cannot_be_killed_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(companion, "KILLED_S", 0.01)
    at = Stage()
    at.companion.start()
    at.launched[0].is_stubborn = True
    await at.companion.stop(0.01)
    assert at.launched[0].told == ["end", "kill"]
    immortal = Stage()
    immortal.companion.start()
    monkeypatch.setattr(immortal.launched[0], "ends", lambda _code: None)
    await immortal.companion.stop(0.01)
    assert immortal.launched[0].is_running
