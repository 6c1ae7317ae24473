"""`Outgoing`: what workers have published and the cluster has not acknowledged yet.

The exchange owns it. Messages of one worker to one room go one after another, all others side by side; each is published until
the feed has taken it, however long that lasts: its worker keeps no more than it may.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from time import monotonic

from wspulse.actors.bus.cluster.buckets import bucket_of
from wspulse.actors.bus.cluster.message import REFUSED
from wspulse.actors.bus.message import identity, topic_of
from wspulse.actors.values.log_limit import LogLimit
from wspulse.supervisor.cluster.exchange.feed_port import FeedPort

__all__ = ["Outgoing"]

_DEADLINE_S = 10.0
"""Of one call of the feed, which tries as often as it likes until then."""

_AGAIN_S = 0.1
"""After a call that failed, perhaps at once."""

_logger = logging.getLogger("wspulse.cluster")


class Outgoing:
    """See the module. `acknowledged(bucket, origin, number, sequence)` is called for each message that is kept, and
    for one that never can be."""

    def __init__(self, feed: FeedPort, acknowledged: Callable[[int, int, int, int], None]) -> None:
        self._feed = feed
        self._acknowledged = acknowledged
        self._chains: dict[tuple[int, bytes], deque[tuple[int, bytes]]] = {}
        """By sender and room: number and message; the first one is with the feed."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._limit = LogLimit()

    def publish(self, data: bytes) -> None:
        topic = topic_of(data)
        origin, number = identity(data, topic)
        chain = self._chains.get((origin, topic))
        if chain is None:
            self._chains[origin, topic] = chain = deque([(number, data)])
            task = asyncio.get_running_loop().create_task(self._publish_all(origin, topic, chain))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif all(number != known for known, _ in chain):  # else the worker has sent it again
            chain.append((number, data))

    async def settled(self, patience_s: float) -> None:
        """Wait until the feed has all, for so long at most."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=patience_s)

    def abandon(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def _publish_all(self, origin: int, topic: bytes, chain: deque[tuple[int, bytes]]) -> None:
        bucket = bucket_of(topic)
        while chain:
            number, data = chain[0]
            try:
                sequence = await self._feed.publish(
                    bucket, f"{origin}.{number}", data, deadline=monotonic() + _DEADLINE_S
                )
            except ValueError as error:
                _logger.error("a broadcast is dropped", extra={"reason": str(error), "size_bytes": len(data)})
                sequence = REFUSED
            except Exception as error:
                self._failed(error)
                await asyncio.sleep(_AGAIN_S)
                continue
            chain.popleft()
            self._acknowledged(bucket, origin, number, sequence)
        del self._chains[origin, topic]

    def _failed(self, error: Exception) -> None:
        not_logged = self._limit.admit(monotonic())
        if not_logged is not None:
            _logger.warning(
                "a broadcast could not be published and is published again",
                extra={"reason": str(error), "not_logged": not_logged},
            )
