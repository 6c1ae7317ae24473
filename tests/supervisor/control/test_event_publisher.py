"""The numbers of events, and what workers are told to publish."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zmq

from tests.support.eventually import eventually
from wspulse.supervisor.control import event_publisher
from wspulse.supervisor.control.event_publisher import EventPublisher

Context = zmq.Context[zmq.Socket[bytes]]


class Stage:
    """A publisher and its subscribers."""

    def __init__(self, context: Context, endpoint: str) -> None:
        self._context = context
        self.endpoint = endpoint
        self.watched: list[list[bytes]] = []
        socket = context.socket(zmq.XPUB)
        EventPublisher.prepare(socket)
        socket.bind(endpoint)
        self._told = asyncio.Event()
        self.publisher = EventPublisher(socket, endpoint, self._watch)
        self.publisher.open()

    def _watch(self, prefixes: list[bytes]) -> None:
        self.watched.append(prefixes)
        self._told.set()

    def prepare(self, *, receive_most: int = 0) -> zmq.Socket[bytes]:
        """A subscriber that is not connected yet."""
        socket = self._context.socket(zmq.SUB)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RCVHWM, receive_most)
        return socket

    def subscribe_only(self, *topics: bytes) -> zmq.Socket[bytes]:
        socket = self.prepare()
        for topic in topics:
            socket.setsockopt(zmq.SUBSCRIBE, topic)
        socket.connect(self.endpoint)
        return socket

    async def subscribe(self, *topics: bytes) -> zmq.Socket[bytes]:
        """Wait, too, until workers are told of it."""
        socket = self.subscribe_only(*topics)
        await self.until_told()
        return socket

    async def until_told(self) -> None:
        self._told.clear()
        async with asyncio.timeout(5):
            await self._told.wait()

    def publish(self, topic: bytes) -> None:
        self.publisher.publish(topic, msgspec.msgpack.encode({"kind": topic.decode(), "time": 0.0}))


@asynccontextmanager
async def stage(folder: Path) -> AsyncIterator[Stage]:
    context: Context = zmq.Context()
    try:
        made = Stage(context, f"ipc://{folder}/events")
        yield made
        made.publisher.close()
    finally:
        context.destroy(linger=0)


def received(socket: zmq.Socket[bytes]) -> list[Any]:
    found = []
    while socket.poll(100):
        topic, data = socket.recv_multipart()
        found.append((topic, msgspec.msgpack.decode(data)))
    return found


async def test_numbers_go_through_all_events_and_prev_through_each_topic(tmp_path: Path) -> None:
    async with stage(tmp_path) as made:
        everything = await made.subscribe(b"")
        for topic in (b"a", b"b", b"a", b"a"):
            made.publish(topic)
        assert [(topic, event["seq"], event["prev"]) for topic, event in received(everything)] == [
            (b"a", 1, 0),
            (b"b", 2, 0),
            (b"a", 3, 1),
            (b"a", 4, 3),
        ]
        made.publisher.skip(10)
        made.publish(b"a")
        assert [(event["seq"], event["prev"]) for _, event in received(everything)] == [(15, 0)]
        everything.close()


async def test_what_is_wanted_is_told_once_per_change(tmp_path: Path) -> None:
    async with stage(tmp_path) as made:
        one = await made.subscribe(b"connect.", b"ping.mine")
        assert made.watched[-1] == [b"connect."]
        everything = await made.subscribe(b"")
        assert made.watched[-1] == [b""]
        everything.close()
        await made.until_told()
        assert made.watched[-1] == [b"connect."]
        one.close()
        await made.until_told()
        assert made.watched[-1] == []


async def test_who_comes_back_to_a_topic_sees_that_something_may_be_missing(tmp_path: Path) -> None:
    async with stage(tmp_path) as made:
        other = await made.subscribe(b"b")
        first = await made.subscribe(b"a")
        made.publish(b"a")
        made.publish(b"b")
        assert [event["seq"] for _, event in received(first)] == [1]
        first.close()
        await made.until_told()
        second = await made.subscribe(b"a")
        made.publish(b"a")
        made.publish(b"b")
        assert [event["prev"] for _, event in received(second)] == [0]
        assert [(event["seq"], event["prev"]) for _, event in received(other)] == [(2, 0), (5, 2)], "nothing of theirs"
        second.close()
        other.close()


async def test_subscriber_of_very_many_topics_that_leaves_costs_moments(tmp_path: Path) -> None:
    async with stage(tmp_path) as made:
        many = made.prepare()
        many.setsockopt(zmq.SNDHWM, 0)
        for number in range(30_000):
            many.setsockopt(zmq.SUBSCRIBE, b"message.%d" % number)
        many.connect(made.endpoint)
        await eventually(lambda: len(made.publisher._topics) == 30_000, "all are known")
        many.close()
        async with asyncio.timeout(5):  # a look at all for each of them takes 20 s
            while made.publisher._topics:
                await made.until_told()
        assert made.watched[-1] == []


async def test_probe_has_no_number_and_workers_are_told_of_none(tmp_path: Path) -> None:
    async with stage(tmp_path) as made:
        everything = await made.subscribe(b"a", b"ping.")
        assert made.watched == [[b"a"]]
        made.publish(b"a")
        made.publisher.publish_probe("mine")
        made.publish(b"a")
        assert [(topic, event["seq"], event["prev"]) for topic, event in received(everything)] == [
            (b"a", 1, 0),
            (b"ping.mine", 0, 0),
            (b"a", 2, 1),
        ]
        everything.close()


async def test_event_of_the_supervisor_says_what_when_and_of_whom(tmp_path: Path) -> None:
    async with stage(tmp_path) as made:
        workers = await made.subscribe(b"worker.")
        before = time.time()
        made.publisher.publish_own("worker.died", {"shard": 1, "pid": 77})
        ((topic, event),) = received(workers)
        assert topic == b"worker.died"
        assert before <= event.pop("time") <= time.time()
        assert event == {"kind": "worker.died", "shard": 1, "pid": 77, "seq": 1, "prev": 0}
        workers.close()


async def test_more_than_a_hundred_wanted_prefixes_are_everything(tmp_path: Path) -> None:
    async with stage(tmp_path) as made:
        hundred = await made.subscribe(*(b"topic-%03d" % number for number in range(100)))
        await eventually(lambda: len(made.watched[-1]) == 100, "all are known")
        assert made.watched[-1] == sorted(made.watched[-1])
        one_more = await made.subscribe(b"more")
        assert made.watched[-1] == [b""]
        one_more.close()
        await made.until_told()
        assert len(made.watched[-1]) == 100
        hundred.close()


async def test_subscription_that_is_too_long_is_not_taken_and_harms_no_other(tmp_path: Path) -> None:
    """A peer must not be able to fill the supervisor's memory with what it subscribes to."""
    async with stage(tmp_path) as made:
        well = await made.subscribe(b"a")
        hostile = made.subscribe_only(b"x" * 2000)
        longest = await made.subscribe(b"y" * 1000)
        made.publish(b"a")
        assert len(received(well)) == 1
        assert made.watched[-1] == [b"a", b"y" * 1000]
        for socket in (well, hostile, longest):
            socket.close()


async def test_subscriber_that_does_not_read_loses_events_sees_it_and_delays_nobody(tmp_path: Path) -> None:
    count = 30_000
    async with stage(tmp_path) as made:
        deaf = made.prepare(receive_most=1)
        deaf.setsockopt(zmq.SUBSCRIBE, b"a")
        deaf.connect(made.endpoint)
        await made.until_told()
        for _ in range(count):
            made.publish(b"a")
        kept = [event for _, event in received(deaf)]
        assert 0 < len(kept) < count
        made.publish(b"a")
        ((_, event),) = received(deaf)
        assert event["seq"] == count + 1
        assert event["prev"] == count != kept[-1]["seq"]
        deaf.close()


async def test_topics_beyond_a_hundred_thousand_make_earlier_numbers_unknown(tmp_path: Path) -> None:
    async with stage(tmp_path) as made:
        for number in range(100_000):
            made.publish(b"%d" % number)
        some = await made.subscribe(b"17")
        made.publish(b"new")
        made.publish(b"17")
        assert [event["prev"] for topic, event in received(some) if topic == b"17"] == [0]
        some.close()


async def test_closed_publisher_publishes_nothing_more(tmp_path: Path) -> None:
    async with stage(tmp_path) as made:
        some = await made.subscribe(b"")
        made.publisher.close()
        made.publisher.close()
        made.publish(b"a")
        made.publisher.publish_own("worker.died", {})
        made.publisher.publish_probe("mine")
        assert received(some) == []
        some.close()


async def test_subscriptions_that_come_at_once_are_taken_a_bounded_number_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_publisher, "DRAIN_BUDGET", 1)
    async with stage(tmp_path) as made:
        socket = made.subscribe_only(b"a", b"b", b"c")
        await eventually(lambda: made.watched[-1:] == [[b"a", b"b", b"c"]], "all are known in the end")
        assert len(made.watched) == 3
        socket.close()
