"""Three NATS servers with three replicas, and a feed at each: joins, leaders that step down, a leader that is killed.

`--race-rounds 30` joins 180 buckets, has each of three streams step down 10 times, and restarts all servers at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from tests.supervisor.cluster.feed.test_joining import join_under_a_hammer
from tests.support.cluster.feeds import RecordedFeed, api, hammer, losing, recorded_feed
from tests.support.eventually import eventually
from tests.support.processes.nats_servers import NatsServers, nats_servers
from wspulse.supervisor.cluster.feed.mending import Mending
from wspulse.supervisor.cluster.feed.names import PARTITIONS

LEADERLESS_S = 30.0
"""An election takes some 4 s, and longer on a busy machine."""

BUCKETS = [partition + PARTITIONS * number for partition in (0, 1, 2) for number in range(8)]


@pytest.fixture(scope="module")
def trio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServers]:
    """Not in the session's own folder, where each test is to leave no file behind."""
    with nats_servers(tmp_path_factory.mktemp("nats"), 3) as running:
        yield running


@asynccontextmanager
async def feed_at_each(trio: NatsServers) -> AsyncIterator[list[RecordedFeed]]:
    async with AsyncExitStack() as stack:
        feeds = [stack.enter_async_context(recorded_feed([url], replicas=None)) for url in trio.urls]
        entered = list(await asyncio.gather(*feeds))
        assert [each.feed.replicas for each in entered] == [3, 3, 3]
        yield entered


async def leader(feed: RecordedFeed, partition: int) -> int:
    """The number of the server that leads a stream."""
    info = await api(feed.client, f"STREAM.INFO.WSPULSE_tests_{partition}")
    return int(info["cluster"]["leader"].removeprefix("n"))


class Load:
    """One feed publishes to all buckets, each message when the one before it in its bucket is acknowledged."""

    def __init__(self, feeds: list[RecordedFeed], name: str) -> None:
        self._feeds = feeds
        self._is_done = False
        self._counts = dict.fromkeys(BUCKETS, 0)
        self._hammers = [
            asyncio.create_task(hammer(feeds[0], bucket, self._counter(bucket), name)) for bucket in BUCKETS
        ]

    async def goes_on(self) -> None:
        """Until each bucket has got five more."""
        before = dict(self._counts)
        await eventually(
            lambda: all(self._counts[bucket] >= before[bucket] + 5 for bucket in BUCKETS), "acknowledged", LEADERLESS_S
        )

    async def end(self) -> None:
        """And see that all feeds have got all, in order, each once."""
        for bucket, published in await self.published():
            for feed in self._feeds:
                await feed.has_all(bucket, published)
        assert [feed.feed.state.lost for feed in self._feeds] == [0, 0, 0]

    async def published(self) -> list[tuple[int, list[tuple[int, bytes]]]]:
        """End, and say what was acknowledged: by bucket, in order."""
        self._is_done = True
        published = await asyncio.gather(*self._hammers)
        assert [list(each) for each in published] == [sorted(each) for each in published]
        return list(zip(BUCKETS, published, strict=True))

    def _counter(self, bucket: int) -> Callable[[], bool]:
        def go_on() -> bool:
            self._counts[bucket] += 1
            return not self._is_done

        return go_on


@pytest.mark.race
async def test_nothing_behind_a_proof_is_missed(trio: NatsServers, race_rounds: int) -> None:
    async with feed_at_each(trio) as (publisher, feed, other):
        await join_under_a_hammer(publisher, feed, range(3 * race_rounds), 1)
        await join_under_a_hammer(publisher, other, range(1000, 1000 + 3 * race_rounds), 5)


@pytest.mark.race
async def test_order_is_kept_and_nothing_is_lost_when_leaders_step_down(trio: NatsServers, race_rounds: int) -> None:
    async with feed_at_each(trio) as feeds:
        for feed in feeds:
            await feed.want_now(*BUCKETS)
        load = Load(feeds, f"steps{feeds[0].proven[0]}")
        for _ in range(max(1, race_rounds // 3)):
            await load.goes_on()
            for partition in (0, 1, 2):
                await api(feeds[0].client, f"STREAM.LEADER.STEPDOWN.WSPULSE_tests_{partition}")
        await load.goes_on()
        await load.end()


async def test_ends_are_looked_for_under_a_new_leader_whatever_the_numbers_say(
    trio: NatsServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Mending, "counted", lambda *_arguments: None)
    lose = lambda client: losing(client, lambda _message: True)  # noqa: E731
    async with recorded_feed(trio.urls, replicas=3, prepare=lose) as feed:
        await feed.want_now(5)
        await eventually(lambda: 5 in feed.feed._watch._leaders, "a look at the stream", LEADERLESS_S)
        await feed.publish(5, f"lost{feed.proven[5]}", b"lost")
        await api(feed.client, "STREAM.LEADER.STEPDOWN.WSPULSE_tests_5")
        await eventually(lambda: [data for _, data in feed.got[5]] == [b"lost"], "what was lost", LEADERLESS_S)


async def test_order_is_kept_and_nothing_is_lost_when_a_leader_is_killed(trio: NatsServers) -> None:
    async with feed_at_each(trio) as feeds:
        for feed in feeds:
            await feed.want_now(*BUCKETS)
        load = Load(feeds, f"kill{feeds[0].proven[0]}")
        await load.goes_on()
        killed = await leader(feeds[0], 0)
        trio.kill(killed)
        await load.goes_on()
        trio.start(killed)
        await load.goes_on()
        await load.end()
        await eventually(lambda: all(feed.feed.state.connected for feed in feeds), "up", LEADERLESS_S)
    trio.kill(killed)  # which this test has started


@pytest.mark.race
async def test_what_is_acknowledged_is_delivered_though_all_servers_lose_their_memory(
    tmp_path: Path, race_rounds: int
) -> None:
    """A message whose acknowledgement was lost with the memory may come twice, with two sequences."""
    if race_rounds < 30:
        pytest.skip("some 15 s: with --race-rounds 30")
    with nats_servers(tmp_path, 3) as servers:
        async with feed_at_each(servers) as feeds:
            for feed in feeds:
                await feed.want_now(*BUCKETS)
            load = Load(feeds, "memory")
            await load.goes_on()
            for number in range(3):
                servers.kill(number)
            for number in range(3):
                servers.start(number)
            await load.goes_on()
            for bucket, published in await load.published():
                for feed in feeds:
                    await feed.has_come_to(bucket, published[-1][0])
                    assert [each for each in feed.got[bucket] if each in published] == published
                    assert feed.sequences(bucket) == sorted(set(feed.sequences(bucket)))
            assert all(feed.feed.state.reconnects for feed in feeds)
