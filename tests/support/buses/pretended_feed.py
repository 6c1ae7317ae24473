"""The streams of a cluster in memory, and the feeds of its hosts: late, in disorder between buckets, failing where they may."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable
from random import Random

from wspulse.actors.bus.cluster.buckets import PARTITIONS, partition_of

__all__ = ["PretendedFeed", "PretendedStreams", "PublishError"]


class PublishError(Exception):
    """Nobody knows whether the message is kept."""


class PretendedStreams:
    """Without `draw` there are no delays. `fails` is how often a call fails, before or after the message is kept."""

    def __init__(self, draw: Random | None = None, *, fails: float = 0.0) -> None:
        self.draw = draw
        self.fails = fails
        self.feeds: list[PretendedFeed] = []
        self.sequences: defaultdict[int, list[int]] = defaultdict(list)
        """Of each bucket."""
        self.messages: dict[tuple[int, int], bytes] = {}
        """By partition and sequence."""
        self.ids: dict[str, int] = {}
        self.last = [0] * PARTITIONS
        self.most_bytes = 2**30
        self.is_open = asyncio.Event()
        self.is_open.set()

    def keep(self, bucket: int, message_id: str, data: bytes) -> int:
        known = self.ids.get(message_id)
        if known is not None:
            return known
        partition = partition_of(bucket)
        self.last[partition] += 1 if self.draw is None else self.draw.randrange(1, 4)
        sequence = self.ids[message_id] = self.last[partition]
        self.sequences[bucket].append(sequence)
        self.messages[partition, sequence] = data
        for feed in self.feeds:
            feed.came(bucket)
        return sequence

    async def late(self) -> None:
        if self.draw is not None:
            await asyncio.sleep(self.draw.choice((0, 0, 0.001, 0.004)))


class _Wish:
    __slots__ = ("after", "proven", "proven_at")

    def __init__(self, proven: Callable[[int], None], after: int | None) -> None:
        self.proven: Callable[[int], None] | None = proven
        self.proven_at: int | None = None
        self.after = after
        """What is delivered lies behind it; None while the wish has not taken effect."""


class PretendedFeed:
    """That of one host."""

    def __init__(self, streams: PretendedStreams) -> None:
        self.deliver: Callable[[int, int, bytes], None] = lambda _bucket, _sequence, _data: None
        self.wishes: dict[int, _Wish] = {}
        self._streams = streams
        self._timers: set[asyncio.TimerHandle | asyncio.Handle] = set()
        streams.feeds.append(self)

    def close(self) -> None:
        self._streams.feeds.remove(self)
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    def want(self, bucket: int, proven: Callable[[int], None], after: int | None = None) -> None:
        assert bucket not in self.wishes
        self.wishes[bucket] = wish = _Wish(proven, after)
        self._later(self._takes_effect, bucket, wish)

    def unwant(self, bucket: int) -> None:
        del self.wishes[bucket]

    async def publish(self, bucket: int, message_id: str, data: bytes, *, deadline: float) -> int:
        streams = self._streams
        if len(data) > streams.most_bytes:
            raise ValueError(f"{len(data)} bytes are too many")
        await streams.late()
        try:
            async with asyncio.timeout(deadline - asyncio.get_running_loop().time()):
                await streams.is_open.wait()
        except TimeoutError:
            raise PublishError("nobody is there") from None
        if streams.draw is not None and streams.draw.random() < streams.fails / 2:
            raise PublishError("before")
        sequence = streams.keep(bucket, message_id, data)
        await streams.late()
        if streams.draw is not None and streams.draw.random() < streams.fails / 2:
            raise PublishError("after")
        return sequence

    def came(self, bucket: int) -> None:
        if bucket in self.wishes:
            self._later(self._deliver_next, bucket)

    def _takes_effect(self, bucket: int, wish: _Wish) -> None:
        if wish.after is None:
            wish.after = self._last(bucket)
        self._later(self._probe, bucket, wish)

    def _probe(self, bucket: int, wish: _Wish) -> None:
        wish.proven_at = self._last(bucket)
        self._deliver_next(bucket)

    def _last(self, bucket: int) -> int:
        return self._streams.last[partition_of(bucket)]

    def _deliver_next(self, bucket: int) -> None:
        wish = self.wishes.get(bucket)
        if wish is None or wish.after is None:
            return
        sequences = self._streams.sequences[bucket]
        at = bisect_right(sequences, wish.after)
        if at < len(sequences):
            wish.after = sequence = sequences[at]
            self.deliver(bucket, sequence, self._streams.messages[partition_of(bucket), sequence])
            at += 1
            if at < len(sequences):
                self._later(self._deliver_next, bucket)
        rest_from = sequences[at] if at < len(sequences) else None
        if wish.proven is not None and wish.proven_at is not None and (rest_from is None or rest_from > wish.proven_at):
            proven, wish.proven = wish.proven, None
            proven(wish.proven_at)

    def _later(self, call: Callable[..., None], *arguments: object) -> None:
        loop = asyncio.get_running_loop()
        timer: asyncio.TimerHandle | asyncio.Handle

        def run() -> None:
            self._timers.discard(timer)
            call(*arguments)

        draw = self._streams.draw
        timer = loop.call_soon(run) if draw is None else loop.call_later(draw.choice((0, 0.0005, 0.003)), run)
        self._timers.add(timer)
