"""The numbers of events, and what workers are told to publish."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import zmq

from wspulse.supervisor.control.event_publisher import EventPublisher

Context = zmq.Context[zmq.Socket[bytes]]


class Stage:
    """A publisher and its subscribers."""

    def __init__(self, context: Context, endpoint: str) -> None:
        self._context = context
        self._endpoint = endpoint
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

    async def subscribe(self, *topics: bytes) -> zmq.Socket[bytes]:
        socket = self._context.socket(zmq.SUB)
        socket.setsockopt(zmq.LINGER, 0)
        for topic in topics:
            socket.setsockopt(zmq.SUBSCRIBE, topic)
        socket.connect(self._endpoint)
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
