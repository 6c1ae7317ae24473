"""`Watch`: looks at all streams once a second, and at the connection ten times.

It makes streams anew that are gone, with the servers' memory; has the ends of buckets looked for after a reconnect, under a new
leader, and where a stream has more than came; and says whether NATS is there.
"""

from __future__ import annotations

import asyncio
import logging
import time
from array import array
from collections.abc import Callable, Mapping

from nats.aio.client import Client

from wspulse.actors.values.log_limit import LogLimit
from wspulse.supervisor.cluster.asking import end, start
from wspulse.supervisor.cluster.feed.chain import Chain
from wspulse.supervisor.cluster.feed.mending import Mending
from wspulse.supervisor.cluster.feed.names import PARTITIONS, Names
from wspulse.supervisor.cluster.feed.state import FeedState
from wspulse.supervisor.cluster.feed.streams import Info, Streams

__all__ = ["Watch"]

_PULSE_S = 0.1
_LOOK_S = 1.0

_BEHIND_LOOKS = 2
"""A server that was leader and does not know yet that it is none answers with what it had; not for a second."""

_AMISS_LOOKS = 3
"""A stream that was lost is made anew at the first, and is there at the next; it need not be told."""

_logger = logging.getLogger("wspulse.supervisor")


class Watch:
    """See the module. `prove(partition)` has what is behind the positions of its buckets looked for."""

    def __init__(
        self,
        client: Client,
        names: Names,
        streams: Streams,
        state: FeedState,
        positions: array[int],
        chains: Mapping[int, Chain],
        mending: Mending,
        reconnected: Callable[[], None],
        prove: Callable[[int], None],
    ) -> None:
        self._client = client
        self._names = names
        self._streams = streams
        self._state = state
        self._positions = positions
        self._chains = chains
        self._mending = mending
        self._reconnected = reconnected
        self._prove = prove
        self._reconnects = client.stats["reconnects"]
        self._created: dict[int, str] = {}
        self._leaders: dict[int, str] = {}
        self._behind = [0] * PARTITIONS
        self._lifts = [asyncio.Lock() for _ in range(PARTITIONS)]
        self._lifted = [0] * PARTITIONS
        """What was known when a stream was lifted."""
        self._amiss_looks = 0
        self._said = ""
        """Why the streams cannot be used, as the log has it."""
        self._limit = LogLimit()
        self._unmade: dict[int, str] = {}
        """Streams that are gone, and why they cannot be made."""
        self._hurry = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """The streams are there."""
        self._tell(True)
        self._tasks = [start(self._feel_pulse()), start(self._look())]

    async def close(self) -> None:
        await end(*self._tasks)

    async def lift(self, partition: int, above: int) -> None:
        """A stream began anew, below a sequence that it had given before: have it go on above that. Where that fails, whoever
        sees it next tries again."""
        async with self._lifts[partition]:
            if above <= self._lifted[partition]:
                return
            # Another host may have done it: again would take away what was stored since.
            info = await self._streams.info(partition)
            is_done = info is not None and info.is_led and info.state.last_seq >= above
            if is_done or await self._streams.lift(partition, above):
                self._lifted[partition] = above
                self._lose([partition], 1)

    async def is_below(self, partition: int, sequence: int, known: int) -> bool:
        """Whether the stream in which a message had this sequence began anew, below `known`, which had been given before. Whoever
        has it go on above that, on whatever host, takes away all that is below."""
        for _ in range(_BEHIND_LOOKS):
            if sequence <= self._lifted[partition]:
                return True
            info = await self._streams.info(partition)
            if info is None or not info.is_led:
                return False
            if info.state.last_seq >= known:
                return sequence < info.state.first_seq > known
            await asyncio.sleep(_LOOK_S)
        return True

    async def _feel_pulse(self) -> None:
        while True:
            await asyncio.sleep(_PULSE_S)
            if not self._client.is_connected:
                self._tell(False)
            elif (reconnects := self._client.stats["reconnects"]) != self._reconnects:
                self._state.reconnects += reconnects - self._reconnects
                self._reconnects = reconnects
                self._leaders.clear()  # so that each looks new
                self._reconnected()
                self._hurry.set()

    async def _look(self) -> None:
        while True:
            if self._client.is_connected:
                await self._look_at_all()
            self._hurry.clear()
            try:
                async with asyncio.timeout(_LOOK_S if self._state.connected else _PULSE_S):
                    await self._hurry.wait()
            except TimeoutError:
                pass

    async def _look_at_all(self) -> None:
        wanted: dict[int, list[Chain]] = {}
        for bucket, chain in self._chains.items():
            wanted.setdefault(bucket % PARTITIONS, []).append(chain)
        positions = list(self._positions)  # what was stored before the question
        questions = [self._streams.info(partition, with_counts=partition in wanted) for partition in range(PARTITIONS)]
        infos = await asyncio.gather(*questions)
        anew = [
            partition
            for partition, info in enumerate(infos)
            if info is not None and await self._began_anew(partition, info, positions[partition])
        ]
        if anew:
            self._lose(anew, sum(partition in wanted for partition in anew))
        for partition, info in enumerate(infos):
            if info is not None and info.is_led:
                self._compare(partition, info, wanted.get(partition, []))
        reason = next(filter(None, map(self._against, range(PARTITIONS), infos)), "")
        if self._client.is_connected:
            self._log(reason)
        self._tell(self._client.is_connected and not reason)

    def _against(self, partition: int, info: Info | None) -> str:
        """Why a stream cannot be used; empty where it can."""
        if info is None or info.error is not None or not info.is_led:
            told = (
                "it has no leader, or JetStream is off"
                if info is None or info.error is None
                else info.error.description
            )
            return f"{self._names.stream(partition)}: {self._unmade.get(partition) or told}"
        return self._streams.other_than_ours(partition, info)

    def _log(self, reason: str) -> None:
        if reason:
            self._amiss_looks += 1
            if self._amiss_looks < _AMISS_LOOKS or reason == self._said:
                return
            self._said = reason
            if (not_logged := self._limit.admit(time.monotonic())) is not None:
                extra = {"reason": reason, "not_logged": not_logged}
                _logger.error("the cluster's streams in NATS cannot be used", extra=extra)
            return
        if self._said:
            _logger.info("the cluster's streams in NATS can be used again")
        self._amiss_looks, self._said = 0, ""

    async def _began_anew(self, partition: int, info: Info, position: int) -> bool:
        """Whether it is another stream than at the last look; has it go on above all that was ever delivered."""
        if info.is_gone:
            self._unmade[partition] = await self._streams.make(partition, position)
            return False  # until it is there
        self._unmade.pop(partition, None)
        if not info.is_led:
            return False
        created = self._created.get(partition)
        self._created[partition] = info.created
        self._behind[partition] = self._behind[partition] + 1 if info.state.last_seq < position else 0
        if self._behind[partition] >= _BEHIND_LOOKS:
            await self.lift(partition, position)
        return created is not None and created != info.created

    def _compare(self, partition: int, info: Info, chains: list[Chain]) -> None:
        if chains and self._leaders.get(partition) != info.leader:
            self._leaders[partition] = info.leader
            self._prove(partition)
        for chain in chains:
            chain.forget_parts(info.state.first_seq)
            self._mending.counted(chain, info.counts.get(self._names.stored(chain.bucket), 0))

    def _lose(self, partitions: list[int], lost: int) -> None:
        self._state.lost += lost
        for partition in partitions:
            self._leaders.pop(partition, None)  # so that the ends of buckets are looked for
        _logger.warning("streams in NATS began anew: what they held is lost", extra={"partitions": partitions})

    def _tell(self, connected: bool) -> None:
        if connected != self._state.connected:
            self._state.connected = connected
            self._state.up(connected)
