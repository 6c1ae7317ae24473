"""`Debts`: entries of the directory that this host may have and nobody here wants, taken away as soon as NATS answers.

One for each `Directory`, which owes here what it could not find out in time.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import NamedTuple

from wspulse.supervisor.cluster.hosts.bucket import Bucket, BucketUnavailableError, WrongRevisionError

__all__ = ["Debt", "Debts"]

_AT_ONCE = 32
_AGAIN_S = 0.2


class Debt(NamedTuple):
    """`data` may have been written, or may still be, where the key was at `revision`; or a purge at that revision."""

    revision: int
    data: bytes | None = None


class Debts:
    """See the module."""

    def __init__(self, bucket: Bucket, marker_ttl_s: float) -> None:
        self._bucket = bucket
        self._marker_ttl_s = marker_ttl_s
        self._owed: dict[str, Debt] = {}
        self._settled: dict[str, asyncio.Future[None]] = {}
        self._task: asyncio.Task[None] | None = None

    def owe(self, key: str, debt: Debt) -> None:
        self._owed[key] = debt
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="what the directory owes")

    async def settled(self, key: str) -> None:
        """Wait until nothing is owed for this key."""
        while key in self._owed:
            if key not in self._settled:
                self._settled[key] = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._settled[key])

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while self._owed:
            keys = list(self._owed)[:_AT_ONCE]
            done = await asyncio.gather(*[self._settle(key, self._owed[key]) for key in keys])
            if not all(done):
                await asyncio.sleep(_AGAIN_S)

    async def _settle(self, key: str, debt: Debt) -> bool:
        try:
            await self._take_away(key, debt)
        except BucketUnavailableError:
            return False
        if self._owed[key] is debt:
            del self._owed[key]
            if (waiting := self._settled.pop(key, None)) is not None:
                waiting.set_result(None)
        return True

    async def _take_away(self, key: str, debt: Debt) -> None:
        """Purge what was before, so that what is still under way to its revision finds a marker; else what was written. Before
        was nothing, the entry of a host that is gone, or one that was given up to be moved."""
        with suppress(WrongRevisionError):
            await self._bucket.purge(key, debt.revision, ttl_s=self._marker_ttl_s)
            return
        found = await self._bucket.read(key)
        if debt.data is not None and found.data == debt.data:
            with suppress(WrongRevisionError):
                await self._bucket.purge(key, found.revision, ttl_s=self._marker_ttl_s)
