"""NATS goes away and comes back, with and without what it had in its memory."""

from __future__ import annotations

import asyncio
import logging
import time

import pytest
from nats.aio.msg import Msg

from tests.support.cluster.feeds import RecordedFeed, api, hammer, losing, recorded_feed
from tests.support.eventually import eventually
from tests.support.processes.nats_servers import NatsServers
from wspulse.supervisor.cluster.feed import publishing
from wspulse.supervisor.cluster.feed.mending import Mending
from wspulse.supervisor.cluster.feed.publishing import PublishError
from wspulse.supervisor.cluster.feed.watch import Watch

pytestmark = pytest.mark.usefixtures("often")


@pytest.mark.race
async def test_what_is_missed_while_a_feed_reconnects_comes_in_order(servers: NatsServers, race_rounds: int) -> None:
    async with recorded_feed(servers.urls) as publisher, recorded_feed(servers.urls) as feed:
        buckets = (5, 21, 6)
        await feed.want_now(*buckets)
        is_done = False
        hammers = [asyncio.create_task(hammer(publisher, bucket, lambda: not is_done)) for bucket in buckets]
        for reconnects in range(1, max(2, race_rounds // 2) + 1):
            await feed.client.force_reconnect()
            await eventually(lambda: feed.feed.state.reconnects == reconnects, "reconnected")  # noqa: B023
            before = feed.feed.state.received
            await eventually(lambda: feed.feed.state.received > before + 20, "more messages")  # noqa: B023
        is_done = True
        published = await asyncio.gather(*hammers)
        for bucket, wanted in zip(buckets, published, strict=True):
            await feed.has_all(bucket, wanted)
        assert feed.feed.state.lost == 0


async def test_ends_are_looked_for_after_a_reconnect_whatever_the_numbers_say(
    servers: NatsServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Mending, "counted", lambda *_arguments: None)
    async with recorded_feed(servers.urls, prepare=lambda client: losing(client, lambda _message: True)) as feed:
        await feed.want_now(5)
        await eventually(lambda: feed.feed._watch._leaders, "a look at the streams")
        await feed.publish(5, "a.1", b"lost")
        await feed.client.force_reconnect()
        await feed.has(5, b"lost")


async def test_restart_of_the_only_server_begins_anew_with_higher_sequences(
    servers: NatsServers, caplog: pytest.LogCaptureFixture
) -> None:
    async with recorded_feed(servers.urls) as publisher, recorded_feed(servers.urls) as feed:
        await feed.want_now(5, 21)
        before = await publisher.publish(5, "a.1", b"one")
        await feed.has(5, b"one")
        await eventually(lambda: feed.feed.state.connected, "up")
        with caplog.at_level(logging.WARNING):
            servers.kill(0)
            publishing = asyncio.create_task(publisher.publish(5, "a.2", b"two"))
            await eventually(lambda: feed.ups[-1:] == [False], "down")
            servers.start(0)
            assert await publishing > before
            await eventually(lambda: feed.ups == [True, False, True], "up again")
            await feed.has(5, b"one", b"two")
            await eventually(lambda: feed.feed.state.lost == 1, "what was lost is counted")
        await publisher.publish(21, "a.3", b"three")
        await feed.has(21, b"three")
        assert "streams in NATS began anew: what they held is lost" in {record.message for record in caplog.records}
        assert feed.feed.state.doubles == 0


async def test_stream_that_is_removed_is_made_anew(servers: NatsServers) -> None:
    async with recorded_feed(servers.urls) as feed:
        await feed.want_now(5)
        before = await feed.publish(5, "a.1", b"one")
        await eventually(lambda: feed.feed._watch._created, "a look at the streams")
        await api(feed.client, "STREAM.DELETE.WSPULSE_tests_5")
        assert await feed.publish(5, "a.2", b"two") > before
        await feed.has(5, b"one", b"two")
        await eventually(lambda: feed.feed.state.lost == 1, "what was lost is counted")


async def begin_below(feed: RecordedFeed) -> None:
    """What a server of several does with its streams when its memory was lost: the same settings, from the same sequence on."""
    config = (await api(feed.client, "STREAM.INFO.WSPULSE_tests_5"))["config"]
    await api(feed.client, "STREAM.DELETE.WSPULSE_tests_5")
    await api(feed.client, "STREAM.CREATE.WSPULSE_tests_5", {**config, "first_seq": 1})


async def test_what_is_published_into_a_stream_that_began_anew_below_is_stored_above(servers: NatsServers) -> None:
    async with recorded_feed(servers.urls) as feed, recorded_feed(servers.urls) as other:
        await feed.want_now(5, 21)
        await other.want_now(5)
        before = await feed.publish(5, "a.1", b"one")
        await other.has(5, b"one")
        await begin_below(feed)
        assert min(await asyncio.gather(feed.publish(5, "a.2", b"two"), feed.publish(21, "a.3", b"three"))) > before
        await feed.has(5, b"one", b"two")
        await feed.has(21, b"three")
        await other.has(5, b"one", b"two")
        assert feed.feed.state.lost >= 1


@pytest.mark.parametrize("who_lifts", ["the watch", "the publisher", "another host"])
async def test_what_is_stored_unheard_in_a_stream_that_began_anew_below_is_stored_above_too(
    servers: NatsServers, monkeypatch: pytest.MonkeyPatch, who_lifts: str
) -> None:
    monkeypatch.setattr(publishing, "_UNANSWERED_S", 0.05)
    if who_lifts != "the watch":
        monkeypatch.setattr(Watch, "_look_at_all", lambda _watch: asyncio.sleep(0))
    unheard: list[bytes] = []

    def is_lost(message: Msg) -> bool:
        is_first = is_deaf and not unheard and b"WSPULSE_tests_5" in message.data
        unheard.extend([message.data] * is_first)
        return is_first

    is_deaf = False
    async with recorded_feed(servers.urls, prepare=lambda client: losing(client, is_lost, "_INBOX.")) as feed:
        await feed.want_now(5)
        before = await feed.publish(5, "a.1", b"one")
        await feed.has(5, b"one")
        await begin_below(feed)
        is_deaf = True
        publishing_two = asyncio.create_task(feed.publish(5, "a.2", b"two"))
        await eventually(lambda: unheard, "it is stored, and the answer is lost")
        if who_lifts == "another host":
            await api(feed.client, "STREAM.PURGE.WSPULSE_tests_5", {"seq": before + 10**9})
        assert await publishing_two > before
        await feed.has(5, b"one", b"two")


async def test_stream_that_began_anew_below_is_lifted_by_those_who_only_listen(servers: NatsServers) -> None:
    async with recorded_feed(servers.urls) as feed:
        await feed.want_now(5)
        before = await feed.publish(5, "a.1", b"one")
        await feed.has(5, b"one")
        await begin_below(feed)
        await eventually(lambda: feed.feed._watch._lifted[5] >= before, "lifted")
        jetstream = feed.client.jetstream()
        assert (await jetstream.publish("wspulse.tests.in.5.5", b"two")).seq > before
        await feed.has(5, b"one", b"two")


async def test_stream_that_began_anew_below_a_position_of_an_earlier_feed_is_lifted(servers: NatsServers) -> None:
    async with recorded_feed(servers.urls) as earlier:
        before = await earlier.publish(5, "a.1", b"one")
        await begin_below(earlier)
    async with recorded_feed(servers.urls) as feed:
        await feed.want_now(5, after=before)
        await feed.publish(5, "a.2", b"two")
        await feed.has(5, b"two")


async def test_publishers_wait_while_nats_is_away(servers: NatsServers) -> None:
    async with recorded_feed(servers.urls) as feed:
        await feed.want_now(5)
        servers.kill(0)
        await eventually(lambda: not feed.feed.state.connected, "down")
        publishing = [asyncio.create_task(feed.publish(5, f"a.{number}", b"one")) for number in range(3)]
        begun = time.monotonic()
        servers.start(0)
        assert len(set(await asyncio.gather(*publishing))) == 3
        assert time.monotonic() - begun < 10
        await eventually(lambda: len(feed.got[5]) == 3, "delivered")


async def test_deadlines_are_kept_with_a_server_that_stands_still_and_more_than_it_can_be_sent(
    servers: NatsServers,
) -> None:
    async with recorded_feed(servers.urls) as feed:
        await feed.want_now(5)
        servers.pause(0)
        begun = time.monotonic()
        publishing = [feed.publish(5, f"a.{number}", bytes(500_000), within_s=0.5) for number in range(60)]
        failed = await asyncio.gather(*publishing, return_exceptions=True)
        assert {type(error) for error in failed} == {PublishError}
        assert time.monotonic() - begun < 5.0
        servers.go_on(0)
        await feed.publish(5, "b.1", b"one")
        await eventually(lambda: feed.got[5] and feed.got[5][-1][1] == b"one", "what was published later")


async def test_bucket_that_is_wanted_while_nats_is_away_is_proven_when_it_is_back(servers: NatsServers) -> None:
    async with recorded_feed(servers.urls) as feed:
        servers.kill(0)
        await eventually(lambda: not feed.feed.state.connected, "down")
        feed.want(5)
        servers.start(0)
        await eventually(lambda: 5 in feed.proven, "proven")
        await feed.publish(5, "a.1", b"one")
        await feed.has(5, b"one")
