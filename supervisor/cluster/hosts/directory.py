"""`Directory`: which host has which connection id. One for each gateway; its entries stand in the cluster's bucket.

Every change is a compare-and-swap at the bucket's leader, so of all hosts that want an id at once exactly one has it. An entry
counts while its host is alive under its life. A change whose acknowledgement was lost is made again until it is known what became
of it; when its caller does not wait for that, what it may have left behind is taken away (`debts`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from wspulse.supervisor.cluster.hosts.bucket import BucketUnavailableError, NotSentError, WrongRevisionError
from wspulse.supervisor.cluster.hosts.debts import Debt, Debts
from wspulse.supervisor.cluster.hosts.errors import DirectoryUnavailableError, Lost, Taken
from wspulse.supervisor.cluster.hosts.membership import Membership
from wspulse.supervisor.cluster.hosts.records import Entry, decoded_entry, id_key

__all__ = ["Directory"]

_TIMEOUT_S = 10.0
"""A leader that died is followed by another one within some five seconds."""

_MARKER_TTL_S = 30.0
"""Longer than a change can be under way: one that comes late finds the marker and does nothing."""

_AGAIN_S = 0.1


class Directory:
    """See the module. All methods raise DirectoryUnavailableError where NATS did not answer within `timeout_s`, but `release`."""

    def __init__(
        self, membership: Membership, *, timeout_s: float = _TIMEOUT_S, marker_ttl_s: float = _MARKER_TTL_S
    ) -> None:
        self._membership = membership
        self._bucket = membership.bucket
        self._timeout_s = timeout_s
        self._debts = Debts(membership.bucket, marker_ttl_s)
        self._marker_ttl_s = marker_ttl_s
        self._trouble = ""
        """What NATS said last when it did not do what was asked."""

    async def close(self) -> None:
        """What is still to be taken away is left: it counts no longer when this host has left the cluster."""
        await self._debts.close()

    async def claim(self, connection_id: str, entry: Entry) -> int:
        """Have an id that nobody has; the revision of the entry. Also to claim anew what this host may still have: then the
        revision is a new one, and no host that saw this one as gone can take it at the old one. Taken."""
        return await self._change(connection_id, entry, None)

    async def move(self, connection_id: str, entry: Entry, revision: int) -> int:
        """Put this entry in the place of that of `revision`, and of no other; the new revision. Lost. When it fails in time, or
        is cancelled, nobody may have the id in the end: whoever gave it up claims it anew to have it back."""
        return await self._change(connection_id, entry, revision)

    async def release(self, connection_id: str, revision: int) -> None:
        """Have it no more, if the entry is still that of `revision`. Where NATS is not there it happens as soon as it is."""
        key = id_key(connection_id)
        try:
            await self._bucket.purge(key, revision, ttl_s=self._marker_ttl_s)
        except WrongRevisionError:
            pass
        except (BucketUnavailableError, asyncio.CancelledError) as error:
            self._debts.owe(key, Debt(revision))
            if isinstance(error, asyncio.CancelledError):
                raise

    async def find(self, connection_id: str) -> tuple[Entry, int] | None:
        """Who has it, and the revision from which it may be moved. None where nobody does, or one whose host is gone."""
        key = id_key(connection_id)
        async with self._in_time():
            entry, revision = await self._read_in_time(key)
            if entry is None or not await self._is_alive(entry):
                return None
            return entry, revision

    async def _change(self, connection_id: str, entry: Entry, revision: int | None) -> int:
        """`revision`: the only one at which it may be changed; None: at whichever it is, if nobody has it."""
        key, data = id_key(connection_id), msgspec.json.encode(entry)
        expected = revision or 0
        maybe_ours = False
        try:
            async with self._in_time():
                await self._debts.settled(key)
                while True:
                    before, maybe_ours = maybe_ours, True
                    try:
                        stored = await self._bucket.put(key, data, expected)
                    except WrongRevisionError:
                        pass
                    except BucketUnavailableError as error:
                        maybe_ours = before or not isinstance(error, NotSentError)
                        await self._wait_for_nats(error)
                        continue
                    else:
                        maybe_ours = False
                        return stored
                    found, at = await self._read_in_time(key)
                    if found != entry:
                        maybe_ours = False
                        if revision is not None:
                            raise Lost(found)
                        if found is not None and await self._is_alive(found):
                            raise Taken(found, at)
                    expected = at
        finally:
            if maybe_ours:
                self._debts.owe(key, Debt(expected, data))

    async def _read_in_time(self, key: str) -> tuple[Entry | None, int]:
        while True:
            try:
                found = await self._bucket.read(key)
            except BucketUnavailableError as error:
                await self._wait_for_nats(error)
            else:
                return None if found.data is None else decoded_entry(found.data), found.revision

    async def _is_alive(self, entry: Entry) -> bool:
        while True:
            try:
                return await self._membership.is_alive(entry.host, entry.life)
            except BucketUnavailableError as error:
                await self._wait_for_nats(error)

    async def _wait_for_nats(self, error: BucketUnavailableError) -> None:
        self._trouble = str(error)
        self._bucket.make_anew()
        await asyncio.sleep(_AGAIN_S)

    @asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._timeout_s):
                yield
        except TimeoutError as error:
            raise DirectoryUnavailableError(
                f"NATS did not do it within {self._timeout_s:g} s ({self._trouble or 'no answer'})"
            ) from error
