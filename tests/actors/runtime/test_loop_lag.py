"""What a worker says of its own loop."""

from __future__ import annotations

import time

import pytest

from tests.support.eventually import eventually
from wspulse import Server
from wspulse.actors.values.timing.standstill import BUSY, IDLE

BLOCKED_S = 1.8
"""So long that a look, of which there is one each half second, is over a second late."""


def compute() -> None:
    until = time.thread_time() + BLOCKED_S
    while time.thread_time() < until:
        pass


def block() -> None:
    time.sleep(BLOCKED_S)  # as a driver does that knows nothing of the loop


def hold_up() -> None:
    time.sleep(0.7)


@pytest.mark.parametrize(("how", "sentence"), [(compute, BUSY), (block, IDLE)])
async def test_loop_that_was_blocked_says_so_once_and_how(
    how: object, sentence: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with Server(lambda _: ("room", "ada")).serve():
        assert callable(how)
        how()
        await eventually(lambda: caplog.records, "it is said", 2)
        (said,) = caplog.records
        assert (said.levelname, said.getMessage()) == ("WARNING", sentence)
        assert 1.0 < said.__dict__["stood_still_s"] < 20


async def test_lag_of_the_loop_is_measured_at_each_look() -> None:
    server = Server(lambda _: ("room", "ada"))
    async with server.serve():
        histograms = server._in_process.running().shard.metrics.histograms

        def looks() -> dict[str, int]:
            return histograms.told()["wspulse_loop_lag_seconds"][""]

        assert looks() == {"sum_us": 0}
        hold_up()
        await eventually(lambda: looks()["sum_us"], "a look that was late is measured", 2)
        assert looks()["sum_us"] > 100_000
        assert sum(count for bucket, count in looks().items() if bucket.isdigit()) >= 1


async def test_time_that_on_start_takes_is_nothing_to_tell(caplog: pytest.LogCaptureFixture) -> None:
    server = Server(lambda _: ("room", "ada"))
    server.on_start(block)
    async with server.serve() as running:
        lag = server._in_process.running()._lag
        await eventually(lambda: lag.worst_s > 1, "the look that was late has come")
        assert running.port
        assert caplog.records == []
