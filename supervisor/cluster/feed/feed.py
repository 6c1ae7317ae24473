"""`Feed`: rooms' messages of all hosts, in one order for each bucket.

Made by the gateway, on a client of `cluster.connection`. It publishes into the streams (`publishing`), subscribes to what they
republish (`joining`), keeps the order of what comes (`chain`), repairs it (`mending`), and looks at the streams (`watch`).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from array import array
from collections.abc import Callable

from nats.aio.client import Client
from nats.aio.msg import Msg

from wspulse.supervisor.cluster.feed.chain import Budget, Chain, Fate
from wspulse.supervisor.cluster.feed.joining import SEQUENCE, Joining
from wspulse.supervisor.cluster.feed.mending import Mending
from wspulse.supervisor.cluster.feed.names import BUCKETS, PARTITIONS, Names
from wspulse.supervisor.cluster.feed.parts import cut, last_part_headers, part_headers, read_headers
from wspulse.supervisor.cluster.feed.publishing import Ack, Doubt, Publisher, PublishError
from wspulse.supervisor.cluster.feed.reading import ANEW, Reader
from wspulse.supervisor.cluster.feed.state import FeedState
from wspulse.supervisor.cluster.feed.streams import DOUBLES_S, Streams
from wspulse.supervisor.cluster.feed.watch import Watch

__all__ = ["Feed"]

_HELD_BYTES = 64 * 1024 * 1024
"""Of messages that wait for those before them, and of parts whose message is not complete. More is read from the streams."""

_FORGOTTEN_S = DOUBLES_S - 20.0
"""After which a message that was published may be stored once more: with time for a call of `publish`, and for clocks."""

_TRIED_S = 2.0
"""A leader may be elected meanwhile; what is not permitted is said at once."""

_REPAIRED_S = 0.01
"""Between two looks at a chain that is being repaired."""


class Feed:
    """See the module. `life` is a random number of this feed's own, below 2**53; it never closes `client`.

    `deliver(bucket, sequence, data)` is called on the loop, in the order of each bucket's chain, each sequence once, and must not
    raise. A message may come twice with two sequences if the only server's memory was lost before its acknowledgement came.
    """

    def __init__(
        self,
        client: Client,
        cluster: str,
        *,
        replicas: int | None,
        life: int,
        deliver: Callable[[int, int, bytes], None],
    ) -> None:
        names = Names(cluster)
        self._client = client
        self._names = names
        self._life = life
        self._deliver = deliver
        self.state = FeedState()
        self.positions = array("Q", bytes(8 * PARTITIONS))
        """By partition: the highest sequence that was delivered or proven."""
        self._acknowledged = array("Q", bytes(8 * PARTITIONS))
        self._doubts: dict[str, Doubt] = {}
        """By id, messages that may have been stored, and are to be published again."""
        self._chains: dict[int, Chain] = {}
        self._leave: dict[int, Callable[[], None]] = {}
        self._budget = Budget(_HELD_BYTES)
        self._streams = Streams(client, names, replicas)
        self._reader = Reader(client, names, self._streams)
        self._publisher = Publisher(client)
        self._joinings = [Joining(client, names, partition, life) for partition in range(PARTITIONS)]
        self._mending = Mending(self._reader, self.state)
        self._watch = Watch(
            client,
            names,
            self._streams,
            self.state,
            self.positions,
            self._chains,
            self._mending,
            self._publisher.reconnected,
            self._prove,
        )

    async def open(self) -> None:
        """Make the streams, or check those that are there; takes up to 20 s with servers that have just started. Raises
        ClusterError."""
        await self._streams.open()
        await self._publisher.open()
        await self._try()
        self._watch.start()

    async def _try(self) -> None:
        """Do once, without effect, what is done later: what NATS does not let this user do, it says now."""
        came = asyncio.Event()
        self._joinings[0].prove(lambda _sequence: came.set())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_TRIED_S):
                await self._streams.purge(0, self._names.probe(0, self._life, 0)[0])
                await self._reader.next(0, 0)
                await came.wait()

    @property
    def replicas(self) -> int:
        """Of each stream, once it is open."""
        return self._streams.replicas

    async def close(self) -> None:
        """Nothing is delivered any more; publishers get PublishError. Idempotent."""
        for chain in self._chains.values():
            chain.close()
        await self._watch.close()
        for joining in self._joinings:
            await joining.close()
        await self._mending.close()
        await self._publisher.close()

    def want(self, bucket: int, proven: Callable[[int], None], after: int | None = None) -> None:
        """Have a bucket's messages delivered.

        `proven(position)` is called once: everything that is stored behind that sequence of the partition will be delivered, and
        what was wanted at or before it has been. With `after`, what the stream has behind that sequence is delivered first.
        ValueError for a bucket that is wanted already.
        """
        if bucket in self._chains or not 0 <= bucket < BUCKETS:
            raise ValueError(f"bucket {bucket} is wanted already, or is none")
        chain = self._chains[bucket] = Chain(bucket, after, self._pass_on, self._budget)
        if after is not None:
            self._note(bucket, after)  # of a gateway before this one: the stream may have begun anew since, below it

        def proved(sequence: int) -> None:
            def done() -> None:
                self._note(bucket, sequence)
                proven(sequence)

            if after is not None:
                self._mending.replay(chain, sequence, done)
                return
            chain.position = sequence
            done()
            if chain.is_open and not chain.release():
                self._mending.mend(chain)

        subject = self._names.republished(bucket)
        self._leave[bucket] = self._joinings[bucket % PARTITIONS].join(
            subject, lambda message: self._take(chain, message), proved
        )

    def unwant(self, bucket: int) -> None:
        """Nothing of the bucket is delivered any more, and `proven` is not called. One that is not wanted is ignored."""
        if (chain := self._chains.pop(bucket, None)) is not None:
            chain.close()
            self._mending.forget(chain)
            self._leave.pop(bucket)()

    async def publish(self, bucket: int, message_id: str, data: bytes, *, deadline: float) -> int:
        """Store a message, and return its sequence. It is published again, under the same id, until it is acknowledged.

        Raises PublishError at `deadline` (time.monotonic, less than a minute from now): call it again, under the same id.
        ValueError for what is too large, and for what was published so long ago that nobody can tell whether it was stored. Two
        calls for one bucket that run at the same time are stored in any order.
        """
        parts = cut(data, self._client.max_payload)
        partition = bucket % PARTITIONS
        doubt = self._doubts.get(message_id)
        first = Doubt(time.monotonic(), self._known(partition)) if doubt is None else doubt
        try:
            sequence = None if doubt is None else await self._find(bucket, message_id, doubt, deadline)
            if sequence is None:
                sequence = await self._store(bucket, message_id, parts, deadline, 0 if doubt is None else doubt.known)
        except PublishError as error:
            if error.is_doubtful:
                self._doubts[message_id] = first
            raise
        except ValueError:
            self._doubts.pop(message_id, None)
            raise
        self._doubts.pop(message_id, None)
        self._acknowledged[partition] = max(self._acknowledged[partition], sequence)
        self.state.published += 1
        return sequence

    def _known(self, partition: int) -> int:
        """The highest sequence that was given there, as far as this feed knows."""
        return max(self.positions[partition], self._acknowledged[partition])

    async def _find(self, bucket: int, message_id: str, doubt: Doubt, deadline: float) -> int | None:
        """Where a message is that was published long ago, whose id JetStream may have forgotten; None where it was not stored,
        or would still be known for a double."""
        now = time.monotonic()
        if now - doubt.since < _FORGOTTEN_S:
            return None
        try:
            async with asyncio.timeout(deadline - now):
                sequence, is_certain = await self._reader.find(bucket, message_id, doubt.known)
        except TimeoutError:
            raise PublishError("the stream does not answer") from None
        if sequence is None and not is_certain:
            raise ValueError("it was published too long ago to know whether it was stored")
        return sequence

    async def _store(self, bucket: int, message_id: str, parts: list[bytes], deadline: float, above: int) -> int:
        """`above`: below which sequence it cannot have been stored before."""
        partition = bucket % PARTITIONS
        while True:
            known = self._known(partition)
            ack = await self._publish(bucket, message_id, parts, deadline)
            if ack.seq > known:
                return ack.seq
            # An earlier feed may have stored it, or this one, unheard, in the stream that began anew.
            if ack.duplicate and ack.seq > above and not await self._watch.is_below(partition, ack.seq, known):
                return ack.seq
            # The stream began anew in the servers' memory, with sequences that other feeds take for doubles.
            await self._watch.lift(partition, known)
            message_id += ANEW

    async def _publish(self, bucket: int, message_id: str, parts: list[bytes], deadline: float) -> Ack:
        """All parts, one after the other; the last one's acknowledgement."""
        subject = self._names.stored(bucket)
        earlier: list[int] = []
        for number, part in enumerate(parts[:-1], 1):
            headers = {"Nats-Msg-Id": f"{message_id}/{number}/{len(parts)}", **part_headers()}
            earlier.append((await self._publisher.publish(subject, part, headers, deadline)).seq)
        headers = {"Nats-Msg-Id": message_id, **last_part_headers(earlier)}
        return await self._publisher.publish(subject, parts[-1], headers, deadline)

    async def fetch(self, bucket: int, after: int, upto: int) -> list[tuple[int, bytes]]:
        """The sequences and messages that the stream's leader has of a bucket, behind `after` and up to `upto`.

        It waits while NATS is away: give it a deadline. Raises MissingError when the stream no longer reaches back to `after`.
        """
        return await self._reader.range(bucket, after, upto)

    async def reach(self, bucket: int, sequence: int) -> None:
        """Return when all that a wanted bucket has up to that sequence has been delivered. It waits while NATS is away: give it a
        deadline."""
        proven = asyncio.Event()
        self._joinings[bucket % PARTITIONS].prove(lambda _sequence: proven.set())
        await proven.wait()
        chain = self._chains.get(bucket)
        while chain is not None and chain.is_open and await self._lacks(chain, sequence):
            self._mending.suspect(chain)
            await asyncio.sleep(_REPAIRED_S)

    async def _lacks(self, chain: Chain, sequence: int) -> bool:
        """Whether the stream has something up to that sequence which was not delivered: it may never have been republished."""
        if chain.holds or chain.position >= sequence:
            return chain.holds
        stored = await self._reader.next(chain.bucket, chain.position)
        return stored is not None and chain.position < stored.sequence <= sequence

    def _take(self, chain: Chain, message: Msg) -> None:
        if not chain.is_open:
            return
        headers = message.headers or {}
        self.state.received += 1
        stored = read_headers(int(headers[SEQUENCE]), message.data, headers)
        fate = chain.take(int(headers["Nats-Last-Sequence"]), stored)
        if fate is Fate.BROKEN:
            self._mending.mend(chain)
        elif fate is Fate.DOUBLE:
            self.state.doubles += 1

    def _pass_on(self, bucket: int, sequence: int, data: bytes) -> None:
        self._note(bucket, sequence)
        self._deliver(bucket, sequence, data)

    def _note(self, bucket: int, sequence: int) -> None:
        partition = bucket % PARTITIONS
        self.positions[partition] = max(self.positions[partition], sequence)

    def _prove(self, partition: int) -> None:
        """Have the ends of all buckets looked for, once what is stored is sure to come."""

        def proved(_sequence: int) -> None:
            for bucket, chain in self._chains.items():
                if bucket % PARTITIONS == partition:
                    self._mending.suspect(chain)

        self._joinings[partition].prove(proved)
