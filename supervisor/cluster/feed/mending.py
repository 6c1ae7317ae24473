"""`Mending`: has broken chains and lost ends repaired from the streams' leaders.

A broken chain shows itself by the next message. The loss of a bucket's last message shows in nothing that comes, so ends are
looked for: one question a partition and second gives the number of messages of each bucket (`counted`), and a bucket that has
more than came is asked for what is behind its position. Numbers fall when messages grow old, at the same time perhaps as one is
lost, so a bucket that has any is also asked every 30 s, and all are after a reconnect and under a new leader.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine

from wspulse.actors.values.log_limit import LogLimit
from wspulse.supervisor.cluster.asking import end, start
from wspulse.supervisor.cluster.feed.chain import Chain, Stored
from wspulse.supervisor.cluster.feed.reading import Reader
from wspulse.supervisor.cluster.feed.state import FeedState

__all__ = ["Mending"]

_WAITS_S = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
"""For a leader that does not have what has already come: it is new, and not done with what it was sent; or its memory is gone."""

_EACH_S = 30.0

_logger = logging.getLogger("wspulse.supervisor")


class _Seen:
    """What the last look at a bucket said."""

    __slots__ = ("asked_at", "count", "is_suspect")

    def __init__(self) -> None:
        self.count = 0
        self.is_suspect = True
        self.asked_at = time.monotonic()


class Mending:
    """See the module."""

    def __init__(self, reader: Reader, state: FeedState) -> None:
        self._reader = reader
        self._state = state
        self._seen: dict[Chain, _Seen] = {}
        self._tasks: dict[Chain, asyncio.Task[None]] = {}
        self._running: set[asyncio.Task[None]] = set()
        """Those that are cancelled, and may not have heard of it, too."""
        self._limit = LogLimit()

    def mend(self, chain: Chain) -> None:
        """Deliver what the stream has behind the chain's position, then what is held; the chain is holding."""
        self._start(chain, self._mend(chain))

    def replay(self, chain: Chain, upto: int, done: Callable[[], None]) -> None:
        """Deliver what the stream has behind the chain's position up to a sequence, call `done`, and go on with what is held; the
        chain is holding."""
        self._start(chain, self._replay(chain, upto, done))

    def counted(self, chain: Chain, count: int) -> None:
        """So many messages of the bucket are in the stream, at a moment since the last call."""
        seen = self._seen.setdefault(chain, _Seen())
        received, chain.received = chain.received, 0
        now = time.monotonic()
        seen.is_suspect = count > 0 and (
            seen.is_suspect or count != seen.count + received or now - seen.asked_at > _EACH_S
        )
        seen.count = count
        # Of a bucket that is busy, the next message shows what is missing.
        if seen.is_suspect and not received and not chain.is_holding and chain not in self._tasks:
            seen.is_suspect = False
            seen.asked_at = now
            self._start(chain, self._ask(chain))

    def suspect(self, chain: Chain) -> None:
        """Ask at once, whatever the numbers say."""
        if chain.is_open and not chain.is_holding and chain not in self._tasks:
            self._start(chain, self._ask(chain))

    def forget(self, chain: Chain) -> None:
        self._seen.pop(chain, None)
        if (task := self._tasks.pop(chain, None)) is not None:
            task.cancel()

    async def close(self) -> None:
        await end(*self._running)

    async def _ask(self, chain: Chain) -> None:
        """Messages that come meanwhile need not wait; if one is missing before them, the chain is broken and says so."""
        stored = await self._reader.next(chain.bucket, chain.position)
        if stored is not None and stored.sequence > chain.position and not chain.is_holding:
            chain.is_holding = True
            await self._mend(chain)

    async def _replay(self, chain: Chain, upto: int, done: Callable[[], None]) -> None:
        while chain.is_open:
            stored = await self._reader.next(chain.bucket, chain.position)
            if stored is None or stored.sequence > upto:
                break
            await self._supply(chain, stored)
        if chain.is_open:
            chain.position = max(chain.position, upto)
            done()
            if not chain.release():
                await self._mend(chain)

    async def _mend(self, chain: Chain) -> None:
        while True:
            await self._read_on(chain)
            if chain.release():
                return

    async def _read_on(self, chain: Chain) -> None:
        """Until what is held continues the chain, or nothing is held and the stream's leader has no more."""
        misses = 0
        while chain.is_open and not chain.continues():
            stored = await self._reader.next(chain.bucket, chain.position)
            if stored is not None:
                misses = 0
                await self._supply(chain, stored)
            elif not chain.holds:
                return
            elif misses < len(_WAITS_S):
                await asyncio.sleep(_WAITS_S[misses])
                misses += 1
            else:
                self._lose(chain, chain.skip())

    async def _supply(self, chain: Chain, stored: Stored) -> None:
        parts = await self._reader.parts(chain.bucket, chain.missing_parts(stored))
        position = chain.position
        self._lose(chain, chain.supply(stored, parts))
        self._state.repaired += chain.position > position

    def _lose(self, chain: Chain, gaps: int) -> None:
        if not gaps:
            return
        self._state.lost += gaps
        if (not_logged := self._limit.admit(time.monotonic())) is not None:
            extra = {"bucket": chain.bucket, "behind": chain.position, "gaps": gaps, "not_logged": not_logged}
            _logger.warning("messages are lost: the stream no longer has them", extra=extra)

    def _start(self, chain: Chain, work: Coroutine[None, None, None]) -> None:
        if (asking := self._tasks.get(chain)) is not None:
            asking.cancel()  # the chain broke meanwhile
        task = self._tasks[chain] = start(work)
        self._running.add(task)
        task.add_done_callback(lambda done: self._ended(chain, done))

    def _ended(self, chain: Chain, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if self._tasks.get(chain) is task:
            del self._tasks[chain]
