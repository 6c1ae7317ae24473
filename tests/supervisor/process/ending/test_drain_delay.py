"""The time in which a server says that it drains, and serves on."""

from __future__ import annotations

import asyncio

import pytest

from wspulse.supervisor.process.ending.drain_delay import DrainDelay


class Told:
    """What was said, in its order."""

    def __init__(self, delay_s: float) -> None:
        self.said: list[object] = []
        self.ended = asyncio.Event()
        self.delay = DrainDelay(delay_s, lambda reason, is_so: self.said.append((reason, is_so)), self._end)

    def _end(self, reason: str) -> None:
        self.said.append(reason)
        self.ended.set()


async def test_server_says_that_it_drains_and_ends_when_the_delay_is_over() -> None:
    told = Told(0.02)
    told.delay.begin("SIGTERM", serves=True)
    told.delay.begin("SIGINT", serves=True)
    assert told.said == [("draining", True)]
    await asyncio.wait_for(told.ended.wait(), 10)
    assert told.said == [("draining", True), "SIGTERM"]
    told.delay.stop()


@pytest.mark.parametrize(("delay_s", "serves"), [(0.0, True), (300.0, False)])
async def test_server_without_a_delay_or_that_serves_nobody_yet_ends_at_once(delay_s: float, serves: bool) -> None:
    told = Told(delay_s)
    told.delay.begin("SIGTERM", serves=serves)
    assert told.said == ["SIGTERM"]


async def test_nothing_is_left_of_a_delay_when_the_server_ends_for_another_reason() -> None:
    told, later = Told(0.01), Told(0.02)
    for each in (told, later):
        each.delay.begin("SIGTERM", serves=True)
    told.delay.stop()
    await asyncio.wait_for(later.ended.wait(), 10)  # the other would have ended before
    assert told.said == [("draining", True)]
    later.delay.stop()
