"""How many are accepted in a second; others wait in the queue, and nobody is refused."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest
import uvloop
from websockets.asyncio.client import connect

from tests.support.shards.shards import serve_shards
from wspulse import Server
from wspulse.actors.limits.accept_rate import AcceptRate


class NotedListening:
    def __init__(self) -> None:
        self.taken: list[asyncio.BaseTransport] = []
        self.rests: list[float] = []

    def took(self, client: asyncio.BaseTransport) -> None:
        self.taken.append(client)

    def rest(self, seconds: float) -> None:
        self.rests.append(seconds)


class Stage:
    def __init__(self, per_second: float) -> None:
        self.now = 100.0
        self.per_second = per_second
        self.listening = NotedListening()
        self.limited = 0
        self.rate = AcceptRate(self.listening, lambda: self.per_second, self._limit, lambda: self.now)

    def _limit(self) -> None:
        self.limited += 1

    def take(self, count: int) -> list[float]:
        """The rests that so many connections bring about."""
        before = len(self.listening.rests)
        for _ in range(count):
            self.rate.took(asyncio.BaseTransport())
        return self.listening.rests[before:]


def test_worker_rests_when_its_share_of_a_second_is_used_up_and_until_there_is_more() -> None:
    stage = Stage(5)
    assert stage.take(4) == []
    assert stage.take(1) == [pytest.approx(0.2)]
    stage.now += 0.2
    assert stage.take(1) == [pytest.approx(0.2)]
    stage.now += 60
    assert stage.take(4) == []
    assert (len(stage.listening.taken), stage.limited) == (10, 2)


def test_rest_of_a_high_rate_is_not_shorter_than_it_is_worth() -> None:
    stage = Stage(1000)
    assert stage.take(999) == []
    assert stage.take(1) == [0.1]


def test_share_of_less_than_one_per_second_lets_one_in_after_the_other() -> None:
    stage = Stage(0.5)
    assert stage.take(1) == [pytest.approx(2)]
    stage.now += 2
    assert stage.take(1) == [pytest.approx(2)]


def test_share_is_another_as_soon_as_there_are_other_workers() -> None:
    stage = Stage(8)
    stage.take(1)
    stage.per_second = 2
    assert stage.take(1) == []
    assert stage.take(1) == [pytest.approx(0.5)]


@pytest.mark.parametrize(("count", "make_loop"), [(1, asyncio.new_event_loop), (4, uvloop.new_event_loop)])
def test_all_come_in_no_faster_than_they_may(count: int, make_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    rate, clients = 40, 80

    async def run() -> None:
        server = lambda: Server(lambda request: ("room", request.query["id"]), accept_rate=rate)  # noqa: E731
        async with serve_shards(server, count) as shards:
            began = time.monotonic()
            found = await asyncio.gather(
                *(connect(f"{shards.url}?id={number}", proxy=None, open_timeout=30) for number in range(clients))
            )
            took_s = time.monotonic() - began
            metrics = [runtime.shard.metrics for runtime in shards.runtimes]
            # A second's worth at once, a few that the loops had accepted already when it was used up, then so many per second.
            assert took_s >= (clients - rate - 16) / rate
            assert sum(each.upgrades for each in metrics) == clients
            assert sum(each.upgrades_refused for each in metrics) == 0
            assert sum(each.limited_accept_rate for each in metrics) >= 1
            for client in found:
                await client.close()

    with asyncio.Runner(loop_factory=make_loop) as runner:
        runner.run(run())
