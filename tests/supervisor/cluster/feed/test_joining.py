"""Open means joined: nothing that is stored behind a proof is missed, and nothing of it needs a repair."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.cluster.feeds import RecordedFeed, hammer, recorded_feed
from tests.support.processes.nats_servers import NatsServers

__all__ = ["join_under_a_hammer"]


async def join_under_a_hammer(publisher: RecordedFeed, feed: RecordedFeed, buckets: range, at_once: int) -> None:
    """Join buckets, some at a time, to which numbered messages are published all the while."""
    waiting = list(buckets)

    async def join_some() -> None:
        while waiting:
            bucket = waiting.pop()
            behind = 0

            def go_on(bucket: int = bucket) -> bool:
                nonlocal behind
                behind += bucket in feed.proven
                return behind < 4

            hammering = asyncio.create_task(hammer(publisher, bucket, go_on))
            feed.want(bucket)
            published = await hammering
            wanted = [each for each in published if each[0] > feed.proven[bucket]]
            assert len(wanted) >= 3
            await feed.has_all(bucket, wanted)

    await asyncio.gather(*(join_some() for _ in range(at_once)))
    assert feed.feed.state.repaired == 0, "the proof came too early"
    assert feed.feed.state.lost == 0


@pytest.mark.race
@pytest.mark.parametrize("at_once", [1, 10])
async def test_nothing_behind_a_proof_is_missed(servers: NatsServers, race_rounds: int, at_once: int) -> None:
    async with recorded_feed(servers.urls) as publisher, recorded_feed(servers.urls) as feed:
        await join_under_a_hammer(publisher, feed, range(30 * race_rounds), at_once)


async def test_all_buckets_are_joined_by_few_probes(servers: NatsServers) -> None:
    async with recorded_feed(servers.urls) as feed:
        await feed.want_now(*range(4096))
        await feed.publish(4095, "a.1", b"one")
        await feed.has(4095, b"one")
