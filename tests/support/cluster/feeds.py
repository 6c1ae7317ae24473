"""`RecordedFeed`: a feed on a client of its own, and what it delivered. `losing` has a client drop messages, `hammer` publishes,
`api` asks JetStream.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from random import SystemRandom
from typing import Any

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg

from tests.support.eventually import eventually
from wspulse.supervisor.cluster.connection import connect
from wspulse.supervisor.cluster.feed.feed import Feed
from wspulse.supervisor.cluster.feed.inlet import Inlet

__all__ = ["RecordedFeed", "api", "hammer", "losing", "recorded_feed"]

CLUSTER = "tests"


class RecordedFeed:
    """See the module. `got` has (sequence, data) by bucket, in the order of delivery; `proven` the positions of the proofs."""

    def __init__(self, client: Client, replicas: int | None) -> None:
        self.client = client
        self.got: dict[int, list[tuple[int, bytes]]] = {}
        self.proven: dict[int, int] = {}
        self.ups: list[bool] = []
        self.feed = Feed(client, CLUSTER, replicas=replicas, life=SystemRandom().getrandbits(53), deliver=self._deliver)
        self.feed.state.up = self.ups.append

    def want(self, *buckets: int, after: int | None = None) -> None:
        for bucket in buckets:
            self.got.setdefault(bucket, [])
            self.feed.want(bucket, lambda position, bucket=bucket: self._prove(bucket, position), after)  # type: ignore[misc]

    async def want_now(self, *buckets: int, after: int | None = None) -> None:
        """And until they are proven."""
        self.want(*buckets, after=after)
        await eventually(lambda: self.proven.keys() >= set(buckets), "proven")

    async def publish(self, bucket: int, message_id: str, data: bytes = b"", within_s: float = 20.0) -> int:
        return await self.feed.publish(bucket, message_id, data, deadline=time.monotonic() + within_s)

    def sequences(self, bucket: int) -> list[int]:
        return [sequence for sequence, _ in self.got[bucket]]

    async def has(self, bucket: int, *data: bytes) -> None:
        """Until exactly these were delivered."""
        wanted = list(data)
        await eventually(lambda: [each for _, each in self.got[bucket]] == wanted, f"delivered {wanted!r}"[:200])

    async def has_all(self, bucket: int, wanted: list[tuple[int, bytes]]) -> None:
        """Until exactly these sequences and messages were delivered."""
        await eventually(lambda: self.got[bucket] == wanted, f"all {len(wanted)} messages of {bucket}, in order")

    async def has_come_to(self, bucket: int, sequence: int) -> None:
        """Until that message, or a later one, was delivered."""
        await eventually(
            lambda: self.got[bucket] and self.got[bucket][-1][0] >= sequence, f"message {sequence} of {bucket}"
        )

    def _deliver(self, bucket: int, sequence: int, data: bytes) -> None:
        self.got[bucket].append((sequence, data))

    def _prove(self, bucket: int, position: int) -> None:
        assert bucket not in self.proven, "proven twice"
        self.proven[bucket] = position


@asynccontextmanager
async def recorded_feed(
    urls: Sequence[str], *, replicas: int | None = 1, prepare: Callable[[Client], None] = lambda _client: None
) -> AsyncIterator[RecordedFeed]:
    """An open feed; `prepare(client)` comes before."""
    client = await connect(urls)
    prepare(client)
    recorded = RecordedFeed(client, replicas)
    try:
        await recorded.feed.open()
        yield recorded
    finally:
        await recorded.feed.close()
        await client.close()


def losing(client: Client, is_lost: Callable[[Msg], bool], where: str = ".out.") -> None:
    """Have a client lose republished messages, as a server loses them that is no longer leader; or what else comes to a subject
    with `where` in it."""
    subscribe: Callable[..., Awaitable[Any]] = client.subscribe

    def subscribe_and_lose(subject: str, **options: Any) -> Awaitable[Any]:
        if where in subject and ".probe." not in subject and "future" in options:
            take = options["future"].set_result
            options["future"] = Inlet(lambda message: None if is_lost(message) else take(message))
        return subscribe(subject, **options)

    client.subscribe = subscribe_and_lose  # type: ignore[method-assign, assignment]


async def hammer(
    feed: RecordedFeed, bucket: int, go_on: Callable[[], bool], name: str = "h"
) -> list[tuple[int, bytes]]:
    """Publish numbered messages, one after the other, each when the last is acknowledged, while `go_on()`. Returns what was."""
    published: list[tuple[int, bytes]] = []
    while go_on():
        data = b"%d" % len(published)
        published.append((await feed.publish(bucket, f"{name}.{bucket}.{len(published)}", data), data))
        await asyncio.sleep(0)
    return published


async def api(client: Client, what: str, question: object = None) -> dict[str, Any]:
    """Ask JetStream, which has to do it."""
    payload = b"" if question is None else msgspec.json.encode(question)
    answer: dict[str, Any] = msgspec.json.decode((await client.request(f"$JS.API.{what}", payload, timeout=5)).data)
    assert "error" not in answer, answer["error"]
    return answer
