"""`BusWatch`: what a worker says, counts and answers while the bus stands still. Time is a number, and the bus is pretended."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.simulation.loop import SimLoop
from wspulse.actors.bus.watch import STALLED, BusWatch
from wspulse.actors.values.health import Health
from wspulse.actors.values.metrics import Metrics


class Stage:
    """A worker whose echoes come back in the same moment, unless `stands`."""

    def __init__(self, *, stands: bool = False, waits: bool = False) -> None:
        self.loop = SimLoop(1)  # type: ignore[abstract]  # no sockets, no signals
        self.health = Health()
        self.metrics = Metrics()
        self.stands = stands
        self.published = 0
        self.kept: list[bytes] = []
        self.echoed: Callable[[bytes], None] = lambda _data: None
        with self.loop:
            self.watch = BusWatch(
                self,
                shard=2,
                incarnation=7,
                health=self.health,
                metrics=self.metrics,
                clock=self.loop.time,
                waits=waits,
            )
        self.watch.begin()

    def publish_echo(self, data: bytes) -> None:
        self.published += 1
        if self.stands:
            self.kept.append(data)
        else:
            self.echoed(data)

    def move(self) -> None:
        """What the bus kept comes."""
        self.stands = False
        kept, self.kept = self.kept, []
        for data in kept:
            self.echoed(data)

    def pass_time(self, seconds: float) -> None:
        self.loop.pass_time(seconds)

    def be_stopped(self, seconds: float) -> None:
        """The process does not run; then the loop's timers come before what has arrived is read."""
        self.loop.now += seconds
        self.loop.turn()


def said(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str, object]]:
    return [
        (
            record.levelname,
            record.getMessage().partition(":")[0],
            record.__dict__.get("silent_s", record.__dict__.get("stood_still_s")),
        )
        for record in caplog.records
    ]


def test_stalled_bus_is_said_once_counted_and_unwell_until_it_moves_again(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage()
    stage.pass_time(10.2)
    assert (stage.health.ok, stage.metrics.bus_stalls, said(caplog)) == (True, 0, [])
    stage.stands = True
    stage.pass_time(3.5)
    assert stage.health.ok
    stage.pass_time(9)
    assert (stage.health.reasons, stage.metrics.bus_stalls) == ((STALLED,), 1)
    assert len(caplog.records) == 1
    stage.move()
    assert stage.health.ok
    stage.pass_time(60)
    (stalled, _, silent_s), (moves, _, stood_still_s) = said(caplog)
    assert (stalled, silent_s) == ("ERROR", pytest.approx(3.0, abs=0.1))
    assert (moves, stood_still_s) == ("WARNING", pytest.approx(11.7, abs=0.1))
    assert stage.metrics.bus_stalls == 1


def test_worker_that_was_stopped_itself_judges_nobody(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage()
    for _ in range(5):
        stage.pass_time(3.05)
        stage.stands = True  # what comes back is not read while the process is stopped
        stage.pass_time(1.0)
        stage.be_stopped(60)
        stage.move()
    assert (stage.health.ok, stage.metrics.bus_stalls, said(caplog)) == (True, 0, [])


def test_bus_that_goes_on_to_bring_what_others_send_does_not_stand_still() -> None:
    stage = Stage()
    stage.pass_time(5)
    stage.stands = True
    for _ in range(20):
        stage.metrics.bus_messages_in += 1
        stage.pass_time(1)
    assert stage.health.ok
    stage.pass_time(4)
    assert not stage.health.ok


def test_one_echo_goes_out_each_second_also_while_none_comes_back() -> None:
    stage = Stage()
    stage.pass_time(9.5)
    assert stage.published == 10
    stage.stands = True
    stage.pass_time(10)
    assert stage.published == 20


def test_watch_that_was_stopped_sends_nothing_and_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage()
    stage.stands = True
    stage.pass_time(1.5)
    stage.watch.stop()
    stage.pass_time(60)
    assert (stage.published, stage.health.ok, said(caplog)) == (2, True, [])


def lags(stage: Stage) -> dict[str, int]:
    return stage.metrics.histograms.told()["wspulse_bus_lag_seconds"][""]


def test_lag_of_the_bus_is_measured_by_each_echo_that_comes_back() -> None:
    stage = Stage()
    stage.pass_time(3.5)
    assert lags(stage) == {"sum_us": 0, "0": 4}
    stage.stands = True
    stage.pass_time(2.5)
    del stage.kept[0]  # it never comes
    stage.pass_time(0.25)
    stage.move()
    assert lags(stage) == {"sum_us": 1_500_000, "0": 4, "7": 1, "10": 1}, "of 1.25 s and of 0.25 s"


def test_bus_that_may_come_later_is_stalled_only_after_it_was_there(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage(stands=True, waits=True)
    stage.pass_time(60)
    assert (stage.health.ok, said(caplog)) == (True, [])
    stage.move()
    stage.stands = True
    stage.pass_time(5)
    assert stage.health.reasons == (STALLED,)
