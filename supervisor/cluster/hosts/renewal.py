"""`Renewal`: this host's own key in the bucket, and with it the lease. One for each `Membership`.

The lease counts from when a renewal was sent that the leader acknowledged, and ends before the key can. It is over when it was
not renewed in time, and when the key was found gone or another's: others may have acted on that. What is held then is a new term.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

import msgspec

from wspulse.actors.cluster.lease import Lease, lease_clock
from wspulse.supervisor.cluster.hosts.bucket import Bucket, BucketUnavailableError, WrongRevisionError
from wspulse.supervisor.cluster.hosts.records import HostInfo, decoded, host_key

__all__ = ["Pace", "Renewal"]

_logger = logging.getLogger("wspulse.supervisor")


class Pace(NamedTuple):
    """The times of a membership, in seconds, for a key that lives for `ttl_s`, at least 1."""

    ttl_s: float

    @property
    def renewed_every_s(self) -> float:
        """With this and the time that it takes to elect a leader, up to six seconds, the lease goes on when one dies."""
        return 0.2 * self.ttl_s

    @property
    def lease_s(self) -> float:
        """Less than the key lives: a NATS server's clock may be set, and that of the next leader be ahead of it."""
        return 0.9 * self.ttl_s

    @property
    def again_s(self) -> float:
        """After a renewal that failed."""
        return 0.025 * self.ttl_s


class Renewal:
    """See the module. `lost()` is called when the lease is over, `regained()` when it is held again, each after it is."""

    def __init__(
        self,
        bucket: Bucket,
        me: HostInfo,
        lease: Lease,
        pace: Pace,
        lost: Callable[[], None],
        regained: Callable[[], None],
    ) -> None:
        self._bucket = bucket
        self._me = me
        self._key = host_key(me.id)
        self._hurry = asyncio.Event()
        self.describe(me)
        self._lease = lease
        self._pace = pace
        self._lost = lost
        self._regained = regained
        self._revision = 0
        self._is_over = True
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._refused = False
        self.trouble = ""
        """What NATS said last when it did not renew."""

    def describe(self, me: HostInfo, *, is_urgent: bool = False) -> None:
        """What the next renewals say; the first of them is made now where it `is_urgent`."""
        self._data = msgspec.json.encode(me)
        if is_urgent:
            self._hurry.set()

    async def begin(self, revision: int, *, goes_on: bool) -> None:
        """Write the key where it is at this revision. `goes_on`: it is there, of this life, from a process before this one.
        WrongRevisionError, BucketUnavailableError."""
        if goes_on and self._lease.is_held():
            self._is_over = False
        self._revision = revision
        await self._put()
        self._task = asyncio.create_task(self._run(), name="renewal of this host's membership")

    async def end(self) -> None:
        """Give all up. The key is gone when this returns, unless NATS is."""
        self._lease.extend(0.0)
        if self._timer is not None:
            self._timer.cancel()
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._task = None
        for _ in range(2):  # one that was under way when it was cancelled may have been stored
            try:
                await self._bucket.purge(self._key, self._revision, ttl_s=1)
                return
            except WrongRevisionError:
                if not await self._find():
                    return
            except BucketUnavailableError as error:
                _logger.warning("left the cluster without telling it", extra={"reason": str(error)})
                return

    async def _run(self) -> None:
        renewed = self._lease.is_held()
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pace.renewed_every_s if renewed else self._pace.again_s):
                    await self._hurry.wait()
            self._hurry.clear()
            renewed = await self._renew()

    async def _renew(self) -> bool:
        """Whether that is done."""
        self._look()
        try:
            return await self._put()
        except WrongRevisionError:
            if await self._find():
                return False
            self._over()
        except BucketUnavailableError as error:
            self.trouble = str(error)
            self._bucket.make_anew()
        return False

    async def _put(self) -> bool:
        """Whether the lease is held by that. Where NATS took too long it is not."""
        sent_at = lease_clock()
        self._revision = await self._bucket.put(self._key, self._data, self._revision, ttl_s=self._pace.ttl_s)
        self._look()
        until = sent_at + self._pace.lease_s
        if lease_clock() >= until:
            return False
        self._refused = False
        self.trouble = ""
        self._look_at(until)
        if not self._is_over:
            self._lease.extend(until)
            return True
        self._is_over = False
        first = self._lease.term == 0
        self._lease.begin_term(until)
        if not first:
            self._regained()
        return True

    async def _find(self) -> bool:
        """Whether the key is still ours: it may be by a renewal whose acknowledgement was lost. Notes what to expect next."""
        try:
            found = await self._bucket.read(self._key)
        except BucketUnavailableError:
            return True  # nothing is known
        self._revision = found.revision
        if found.data is None:
            return False
        info = decoded(found.data)
        if info is not None and info.life == self._me.life:
            return True
        self._revision = 0  # to expect nothing: it is taken when the other one has left
        if not self._refused:
            self._refused = True
            address = "" if info is None else info.address
            _logger.error("another host has this host's id", extra={"host": self._me.id, "address": address})
        return False

    def _look_at(self, until: float) -> None:
        """A timer may come a little early, and is then set once more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        wait_s = until - lease_clock()
        if wait_s <= 0:
            self._look()
        else:
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._look_at, until)

    def _look(self) -> None:
        """It may have ended since."""
        if not self._is_over and self._lease.until and not self._lease.is_held():
            self._over()

    def _over(self) -> None:
        self._lease.extend(0.0)
        if not self._is_over:
            self._is_over = True
            self._lost()
