"""What is republished and does not come: it is read from the stream, also when it was the last."""

from __future__ import annotations

import asyncio
import logging
import zlib
from typing import cast

import pytest
from nats.aio.client import Client

from tests.support.cluster.feeds import hammer, losing, recorded_feed
from tests.support.eventually import eventually
from tests.support.processes.nats_servers import NatsServers
from wspulse.supervisor.cluster.feed import mending, watch
from wspulse.supervisor.cluster.feed.chain import Budget, Chain, Fate, Stored
from wspulse.supervisor.cluster.feed.mending import Mending
from wspulse.supervisor.cluster.feed.reading import Reader
from wspulse.supervisor.cluster.feed.state import FeedState

pytestmark = pytest.mark.usefixtures("often")


def lose_the_lost(client: Client) -> None:
    losing(client, lambda message: message.data.startswith(b"lost"))


async def test_hole_is_read_from_the_stream_before_what_follows_is_delivered(servers: NatsServers) -> None:
    async with recorded_feed(servers.urls, prepare=lose_the_lost) as feed:
        await feed.want_now(5)
        for number, data in enumerate((b"one", b"lost 1", b"lost 2", b"two")):
            await feed.publish(5, f"a.{number}", data)
        await feed.has(5, b"one", b"lost 1", b"lost 2", b"two")
        assert feed.feed.state.repaired >= 2
        assert feed.feed.state.lost == 0


async def test_lost_end_of_a_bucket_is_found(servers: NatsServers) -> None:
    async with recorded_feed(servers.urls, prepare=lose_the_lost) as feed:
        await feed.want_now(5, 21)
        await feed.publish(5, "a.1", b"one")
        await feed.publish(5, "a.2", b"lost 1")
        await feed.publish(5, "a.3", b"lost 2")
        await feed.publish(21, "a.4", b"lost too, the first of its bucket")
        await feed.has(5, b"one", b"lost 1", b"lost 2")
        await feed.has(21, b"lost too, the first of its bucket")
        await feed.publish(5, "a.5", b"two")
        await feed.has(5, b"one", b"lost 1", b"lost 2", b"two")
        assert feed.feed.state.repaired == 3


async def test_what_is_to_be_reached_is_delivered_though_it_was_lost(
    servers: NatsServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_LOOK_S", 60.0)  # nobody else finds it
    async with recorded_feed(servers.urls, prepare=lose_the_lost) as feed:
        await feed.want_now(5, 21)
        await feed.publish(5, "a.1", b"one")
        sequence = await feed.publish(5, "a.2", b"lost")
        assert [data for _, data in feed.got[5]] == [b"one"]
        await feed.feed.reach(5, sequence)
        assert [data for _, data in feed.got[5]] == [b"one", b"lost"]
        other = await feed.publish(21, "a.3", b"of the same partition")
        await feed.feed.reach(5, other)
        await feed.feed.reach(6, other)  # nobody wants that one
        assert feed.feed.state.repaired == 1


@pytest.mark.race
async def test_all_that_is_lost_at_random_comes_in_order(servers: NatsServers, race_rounds: int) -> None:
    def lose_a_third(client: Client) -> None:
        losing(client, lambda message: zlib.crc32(message.subject.encode() + message.data) % 3 == 0)

    async with recorded_feed(servers.urls, prepare=lose_a_third) as feed:
        buckets = range(20)
        await feed.want_now(*buckets)
        left = dict.fromkeys(buckets, 10 * race_rounds)

        def go_on(bucket: int) -> bool:
            left[bucket] -= 1
            return left[bucket] >= 0

        hammers = [hammer(feed, bucket, lambda bucket=bucket: go_on(bucket)) for bucket in buckets]  # type: ignore[misc]
        published = await asyncio.gather(*hammers)
        for bucket in buckets:
            await feed.has_all(bucket, published[bucket])
        assert feed.feed.state.lost == 0


class PretendedReader:
    """A stream's leader that has what it is told, and counts what it is asked."""

    def __init__(self) -> None:
        self.stream: list[Stored] = []
        self.asked = 0

    async def next(self, _bucket: int, after: int) -> Stored | None:
        self.asked += 1
        await asyncio.sleep(0)
        return next((each for each in self.stream if each.sequence > after), None)

    async def parts(self, _bucket: int, sequences: list[int]) -> dict[int, bytes]:
        return {each.sequence: each.data for each in self.stream if each.sequence in sequences}


class Stage:
    """A joined chain, and what mends it."""

    def __init__(self) -> None:
        self.reader = PretendedReader()
        self.state = FeedState()
        self.mending = Mending(cast("Reader", self.reader), self.state)
        self.got: list[int] = []
        self.chain = Chain(5, None, lambda _bucket, sequence, _data: self.got.append(sequence), Budget(1 << 20))
        self.chain.release()

    def take(self, sequence: int, previous: int) -> Fate:
        fate = self.chain.take(previous, Stored(sequence, b""))
        if fate is Fate.BROKEN:
            self.mending.mend(self.chain)
        return fate

    async def counted(self, count: int) -> int:
        """How often the leader was asked."""
        before = self.reader.asked
        self.mending.counted(self.chain, count)
        await eventually(lambda: not self.mending._running, "asked")
        return self.reader.asked - before


async def test_bucket_is_asked_when_it_has_other_numbers_than_came_and_is_silent() -> None:
    stage = Stage()
    assert await stage.counted(0) == 0
    stage.take(1, 0)
    assert await stage.counted(1) == 0
    assert await stage.counted(1) == 0
    assert await stage.counted(2) == 1  # one more than came
    assert await stage.counted(1) == 1  # one has grown old, and one may have been lost
    assert await stage.counted(1) == 0
    stage.take(2, 1)
    assert await stage.counted(3) == 0  # one is missing, but the bucket is busy
    assert await stage.counted(3) == 1


async def test_bucket_is_asked_now_and_then_although_its_numbers_are_right(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage()
    await stage.counted(0)
    stage.take(1, 0)
    assert await stage.counted(1) == 0
    monkeypatch.setattr(mending, "_EACH_S", 0.0)
    assert await stage.counted(1) == 1
    monkeypatch.setattr(mending, "_EACH_S", 1000.0)
    assert await stage.counted(1) == 0
    assert await stage.counted(0) == 0


async def test_found_end_is_delivered_in_order_with_what_comes_meanwhile() -> None:
    stage = Stage()
    stage.take(1, 0)
    stage.reader.stream = [Stored(1, b""), Stored(2, b""), Stored(3, b"")]
    stage.mending.suspect(stage.chain)
    await asyncio.sleep(0)
    stage.take(3, 2)
    stage.take(4, 3)
    await eventually(lambda: stage.got == [1, 2, 3, 4], "all in order")


async def test_leader_that_lacks_what_has_come_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mending, "_WAITS_S", (0.01, 1000.0))
    stage = Stage()
    stage.take(3, 2)
    await eventually(lambda: stage.reader.asked == 1, "asked")
    stage.reader.stream = [Stored(2, b""), Stored(3, b"")]
    await eventually(lambda: stage.got == [2, 3], "what the leader has now")
    assert stage.state.lost == 0


async def test_what_no_leader_has_is_counted_logged_and_passed_over(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(mending, "_WAITS_S", (0.01, 0.01))
    stage = Stage()
    with caplog.at_level(logging.WARNING):
        stage.take(3, 2)
        await eventually(lambda: stage.got == [3], "what came")
    assert stage.take(4, 3) is Fate.PASSED
    assert stage.state.lost == 1
    assert [record.message for record in caplog.records] == ["messages are lost: the stream no longer has them"]


async def test_bucket_that_is_no_longer_wanted_is_not_mended() -> None:
    stage = Stage()
    stage.take(3, 2)
    stage.chain.close()
    stage.mending.forget(stage.chain)
    stage.reader.stream = [Stored(2, b""), Stored(3, b"")]
    await eventually(lambda: not stage.mending._running, "no task")
    assert stage.got == []
