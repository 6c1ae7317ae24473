"""Order, proofs and whole messages, with one NATS server."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from tests.support.cluster.feeds import RecordedFeed, api, hammer, losing, recorded_feed
from tests.support.processes.nats_servers import NatsServers, nats_servers
from wspulse.supervisor.cluster.feed import feed as feed_module
from wspulse.supervisor.cluster.feed import publishing, streams
from wspulse.supervisor.cluster.feed.publishing import PublishError
from wspulse.supervisor.cluster.feed.reading import MissingError

BUCKETS = range(40)


async def test_all_feeds_get_all_messages_of_a_bucket_in_one_order(servers: NatsServers) -> None:
    async with (
        recorded_feed(servers.urls) as first,
        recorded_feed(servers.urls) as second,
        recorded_feed(servers.urls) as third,
    ):
        feeds = (first, second, third)
        for feed in feeds:
            await feed.want_now(*BUCKETS)

        async def publish(feed: int, bucket: int) -> list[int]:
            return [
                await feeds[feed].publish(bucket, f"{feed}.{bucket}.{number}", b"%d" % number) for number in range(10)
            ]

        published = await asyncio.gather(*(publish(feed, bucket) for feed in range(3) for bucket in BUCKETS))
        for bucket in BUCKETS:
            of_bucket = [published[feed * len(BUCKETS) + bucket] for feed in range(3)]
            last = max(itertools.chain(*of_bucket))
            for feed in feeds:
                await feed.has_come_to(bucket, last)
            assert first.sequences(bucket) == sorted(itertools.chain(*of_bucket))
            assert first.got[bucket] == second.got[bucket] == third.got[bucket]
        assert all(feed.feed.state.repaired == feed.feed.state.lost == 0 for feed in feeds)


async def test_publishers_own_order_is_kept(servers: NatsServers) -> None:
    async with recorded_feed(servers.urls) as feed:
        await feed.want_now(5)
        data = [b"%d" % number for number in range(50)]
        for number, each in enumerate(data):
            await feed.publish(5, f"a.{number}", each)
        await feed.has(5, *data)


async def test_message_that_is_published_again_under_its_id_is_stored_once(servers: NatsServers) -> None:
    async with recorded_feed(servers.urls) as feed:
        await feed.want_now(5)
        first = await feed.publish(5, "a.1", b"one")
        assert await feed.publish(5, "a.1", b"one") == first
        await feed.publish(5, "a.2", b"two")
        await feed.has(5, b"one", b"two")


async def test_message_whose_acknowledgement_is_lost_is_published_again_and_stored_once(
    servers: NatsServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "_UNANSWERED_S", 0.1)
    lost: set[str] = set()

    def is_lost(message: Msg) -> bool:
        is_new = b"WSPULSE_tests" in message.data and message.subject not in lost
        lost.add(message.subject)
        return is_new

    async with recorded_feed(servers.urls, prepare=lambda client: losing(client, is_lost, "_INBOX.")) as feed:
        await feed.want_now(5)
        sequence = await feed.publish(5, "a.1", b"one")
        assert lost
        await feed.publish(5, "a.2", b"two")
        await feed.has(5, b"one", b"two")
        assert feed.sequences(5)[0] == sequence


class Deaf:
    """A client that hears no acknowledgements while `is_deaf`; and streams that forget ids soon."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_deaf = True
        monkeypatch.setattr(streams, "DOUBLES_S", 1)
        monkeypatch.setattr(feed_module, "_FORGOTTEN_S", 0.0)

    def prepare(self, client: Client) -> None:
        losing(client, lambda _message: self.is_deaf, where="_INBOX.")

    async def publishes_unheard(self, feed: RecordedFeed) -> None:
        """A message with the id a.1, until the stream has forgotten that."""
        with pytest.raises(PublishError):
            await feed.publish(5, "a.1", b"one", within_s=0.3)
        canary = {"Nats-Msg-Id": "canary"}
        again = True
        async with asyncio.timeout(20):
            await feed.client.request("wspulse.tests.in.5.21", b"", headers=canary)
            while again:
                answer = await feed.client.request("wspulse.tests.in.5.21", b"", headers=canary)
                again = json.loads(answer.data).get("duplicate", False)
        self.is_deaf = False


async def test_message_that_was_stored_unheard_is_not_stored_again_after_its_id_is_forgotten(
    servers: NatsServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    deaf = Deaf(monkeypatch)
    async with recorded_feed(servers.urls, prepare=deaf.prepare) as feed:
        await feed.want_now(5)
        await deaf.publishes_unheard(feed)
        assert await feed.publish(5, "a.1", b"one") == feed.sequences(5)[0]
        await feed.publish(5, "a.2", b"two")
        await feed.has(5, b"one", b"two")
        await feed.publish(5, "a.1", b"one")  # nothing is remembered of what was found
        await feed.has(5, b"one", b"two", b"one")


async def test_message_of_which_nobody_knows_whether_it_was_stored_is_dropped(
    servers: NatsServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    deaf = Deaf(monkeypatch)
    async with recorded_feed(servers.urls, prepare=deaf.prepare) as feed:
        await feed.want_now(5)
        await deaf.publishes_unheard(feed)
        await feed.has(5, b"one")
        await api(feed.client, "STREAM.PURGE.WSPULSE_tests_5")
        with pytest.raises(ValueError, match="too long ago to know whether it was stored"):
            await feed.publish(5, "a.1", b"one")
        await feed.publish(5, "a.2", b"two")
        await feed.has(5, b"one", b"two")


async def test_message_that_was_stored_unheard_is_in_doubt_though_no_stream_takes_it_a_second_time(
    servers: NatsServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    deaf = Deaf(monkeypatch)
    monkeypatch.setattr(publishing, "_UNANSWERED_S", 0.05)
    async with recorded_feed(servers.urls, prepare=deaf.prepare) as feed:
        await feed.want_now(5)
        publish = feed.client.publish

        async def publish_to_nobody(subject: str, *arguments: Any, **options: Any) -> None:
            await publish(f"nobody.{subject}", *arguments, **options)

        async def publish_once(*arguments: Any, **options: Any) -> None:
            await publish(*arguments, **options)
            await feed.has(5, b"one")
            deaf.is_deaf = False
            monkeypatch.setattr(feed.client, "publish", publish_to_nobody)

        monkeypatch.setattr(feed.client, "publish", publish_once)
        with pytest.raises(PublishError, match="no stream takes it") as raised:
            await feed.publish(5, "a.1", b"one", within_s=0.5)
        assert raised.value.is_doubtful


async def test_message_that_was_never_sent_is_published_however_late(
    servers: NatsServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "_FORGOTTEN_S", 0.0)
    async with recorded_feed(servers.urls) as feed:
        await feed.want_now(5)
        servers.pause(0)
        monkeypatch.setattr(Client, "is_connected", False)
        with pytest.raises(PublishError):
            await feed.publish(5, "a.1", b"one", within_s=0.2)
        monkeypatch.undo()
        servers.go_on(0)
        await api(feed.client, "STREAM.PURGE.WSPULSE_tests_5")
        await feed.publish(5, "a.1", b"one")
        await feed.has(5, b"one")


async def test_bucket_begins_at_its_proof_and_ends_when_it_is_not_wanted(servers: NatsServers) -> None:
    async with recorded_feed(servers.urls) as feed:
        before = await feed.publish(5, "a.1", b"before")
        await feed.want_now(5, 21)
        assert feed.proven[5] > before
        assert feed.feed.positions[5] == max(feed.proven.values())  # of one partition
        during = await feed.publish(5, "a.2", b"during")
        await feed.has(5, b"during")
        assert feed.feed.positions[5] == during

        feed.feed.unwant(5)
        await feed.publish(5, "a.3", b"after")
        await feed.publish(21, "a.4", b"of another bucket, behind it in the stream")
        await feed.has(21, b"of another bucket, behind it in the stream")
        await feed.has(5, b"during")
        feed.feed.unwant(5)  # again


async def test_bucket_that_is_wanted_twice_is_refused(servers: NatsServers) -> None:
    async with recorded_feed(servers.urls) as feed:
        feed.want(5)
        with pytest.raises(ValueError, match="wanted already"):
            feed.want(5)
        with pytest.raises(ValueError, match="or is none"):
            feed.want(4096)


async def test_bucket_that_is_no_longer_wanted_before_its_proof_is_not_proven(servers: NatsServers) -> None:
    async with recorded_feed(servers.urls) as feed:
        feed.want(5)
        feed.feed.unwant(5)
        await feed.want_now(21)
        assert 5 not in feed.proven


async def test_bucket_that_is_no_longer_wanted_while_it_is_replayed_is_left_alone(servers: NatsServers) -> None:
    async with recorded_feed(servers.urls) as feed:
        first = await feed.publish(5, "a.1", b"one")
        await feed.publish(5, "a.2", b"two")
        feed.got[21] = []
        deliver = feed.feed._deliver

        def unwant(bucket: int, sequence: int, data: bytes) -> None:
            deliver(bucket, sequence, data)
            feed.feed.unwant(bucket)

        feed.feed._deliver = unwant
        feed.want(5, after=first - 1)
        await feed.has(5, b"one")
        await feed.want_now(21)
        assert 5 not in feed.proven
        assert feed.got[5] == [(first, b"one")]


async def test_with_a_position_what_the_stream_has_behind_it_comes_first(servers: NatsServers) -> None:
    async with recorded_feed(servers.urls) as feed:
        positions = [await feed.publish(5, f"a.{number}", b"%d" % number) for number in range(10)]
        await feed.publish(21, "other", b"other bucket, same partition")
        await feed.want_now(5, after=positions[3])
        assert feed.got[5] == [(positions[number], b"%d" % number) for number in range(4, 10)]
        assert feed.proven[5] > positions[-1]
        await feed.publish(5, "a.10", b"10")
        await feed.has(5, *(b"%d" % number for number in range(4, 11)))
        assert feed.feed.state.lost == 0


async def test_position_under_load_neither_doubles_nor_loses(servers: NatsServers) -> None:
    async with recorded_feed(servers.urls) as publisher, recorded_feed(servers.urls) as feed:
        positions = [await publisher.publish(5, f"a.{number}", b"%d" % number) for number in range(20)]
        is_done = False
        hammering = asyncio.create_task(hammer(publisher, 5, lambda: not is_done))
        for _ in range(5):
            feed.got[5] = []
            feed.proven.clear()
            await feed.want_now(5, after=positions[-1])
            upto = await publisher.publish(5, f"marker.{len(positions)}", b"marker")
            positions.append(upto)
            await feed.has_come_to(5, upto)
            feed.feed.unwant(5)
            numbers = [int(data) for _, data in feed.got[5] if data != b"marker"]
            assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
            assert feed.sequences(5) == sorted(set(feed.sequences(5)))
        is_done = True
        await hammering
        assert feed.feed.state.lost == 0


async def test_fetch_gives_a_range_and_says_when_the_stream_begins_later(servers: NatsServers) -> None:
    async with recorded_feed(servers.urls) as feed:
        positions = [await feed.publish(5, f"a.{number}", b"%d" % number) for number in range(6)]
        wanted = [(positions[number], b"%d" % number) for number in (2, 3)]
        assert await feed.feed.fetch(5, positions[1], positions[3]) == wanted
        assert await feed.feed.fetch(5, positions[3], positions[3]) == []
        assert await feed.feed.fetch(21, positions[0], positions[-1]) == []

        await api(feed.client, "STREAM.PURGE.WSPULSE_tests_5", {"seq": positions[2]})
        assert await feed.feed.fetch(5, positions[1], positions[3]) == wanted
        with pytest.raises(MissingError) as raised:
            await feed.feed.fetch(5, positions[0], positions[3])
        assert raised.value.first == positions[2]


async def test_large_message_travels_in_parts(tmp_path: Path) -> None:
    with nats_servers(tmp_path, options="max_payload: 4096") as servers:
        async with recorded_feed(servers.urls) as feed, recorded_feed(servers.urls) as late:
            await feed.want_now(5)
            large = bytes(range(256)) * 100
            before = await feed.publish(5, "a.1", b"small")
            last = await feed.publish(5, "a.2", large)
            await feed.publish(5, "a.3", b"small too")
            await feed.has(5, b"small", large, b"small too")
            assert feed.sequences(5)[1] == last
            assert feed.feed.state.repaired == 0

            await late.want_now(5, after=before)
            assert [data for _, data in late.got[5]] == [large, b"small too"]
            assert await feed.feed.fetch(5, before, last) == [(last, large)]
            await api(feed.client, "STREAM.PURGE.WSPULSE_tests_5", {"seq": last})
            with pytest.raises(MissingError) as raised:  # the last part alone is no message
                await feed.feed.fetch(5, last - 1, last)
            assert raised.value.first == last + 1
            assert await feed.feed.fetch(5, last, last + 1) == [(last + 1, b"small too")]


async def test_message_that_is_too_large_is_refused_at_once(servers: NatsServers) -> None:
    async with recorded_feed(servers.urls) as feed:
        with pytest.raises(ValueError, match="too large for a cluster"):
            await feed.publish(5, "a.1", bytes(8 * 1024 * 1024 + 1))
        assert await feed.publish(5, "a.2", bytes(8 * 1024 * 1024)) > 0


async def test_parts_that_came_before_the_bucket_was_wanted_are_read_from_the_stream(tmp_path: Path) -> None:
    with nats_servers(tmp_path, options="max_payload: 4096") as servers:
        async with recorded_feed(servers.urls) as feed:
            first = await feed.client.jetstream().publish(
                "wspulse.tests.in.5.5", b"one ", headers={"Wspulse-Part": "1"}
            )
            await feed.want_now(5)
            await feed.client.jetstream().publish(
                "wspulse.tests.in.5.5", b"two", headers={"Wspulse-Parts": str(first.seq)}
            )
            await feed.has(5, b"one two")


async def test_publish_fails_at_its_deadline_and_says_why(servers: NatsServers) -> None:
    async with recorded_feed(servers.urls) as feed:
        await api(feed.client, "STREAM.PURGE.WSPULSE_tests_5", {})
        servers.kill(0)
        begun = time.monotonic()
        with pytest.raises(PublishError, match=r"NATS is not connected|no stream has acknowledged it"):
            await feed.publish(5, "a.1", b"one", within_s=0.5)
        assert 0.4 < time.monotonic() - begun < 2.0


async def test_closed_feed_delivers_no_more(servers: NatsServers) -> None:
    async with recorded_feed(servers.urls) as feed, recorded_feed(servers.urls) as other:
        await feed.want_now(5)
        await other.want_now(5)
        await feed.feed.close()
        await other.publish(5, "a.1", b"one")
        await other.has(5, b"one")
        assert feed.got[5] == []


async def test_closed_feed_fails_its_publishers(servers: NatsServers) -> None:
    async with recorded_feed(servers.urls) as feed:
        servers.kill(0)
        publishing = asyncio.create_task(feed.publish(5, "a.1", b"one"))
        await asyncio.sleep(0)
        await feed.feed.close()
        with pytest.raises(PublishError, match="closed"):
            await publishing


async def test_what_cannot_be_read_harms_nobody(servers: NatsServers) -> None:
    async with recorded_feed(servers.urls) as feed:
        await feed.want_now(5)
        await feed.client.publish("wspulse.tests.out.5.5", b"no headers")
        await feed.publish(5, "a.1", b"one")
        await feed.has(5, b"one")


@pytest.mark.parametrize("parts", ["abc", "-1", "7,", str(2**70), ",".join(["1"] * 100)])
async def test_message_of_others_with_parts_that_are_none_does_not_hold_up_its_bucket(
    servers: NatsServers, parts: str
) -> None:
    async with recorded_feed(servers.urls) as feed:
        await feed.want_now(5)
        await feed.client.request("wspulse.tests.in.5.5", b"foreign", headers={"Wspulse-Parts": parts})
        await feed.publish(5, "a.1", b"one")
        await feed.has(5, b"foreign", b"one")
