"""`Membership`: this host as a member of its cluster, and who else is one. One for each gateway.

Each host has a key in the cluster's bucket that lives for ten seconds and is renewed every two (`renewal`). NATS tells all
hosts of each renewal as it is stored. One that was not heard for as long as its key lives is looked up, and is gone if its key
is: so one that was killed or stopped disappears everywhere within 10 to 12 s, and nobody does because a message was lost.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

import msgspec
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from wspulse.actors.cluster.lease import Lease, lease_clock
from wspulse.actors.values.log_limit import shortened
from wspulse.supervisor.cluster.agreement import Agreement
from wspulse.supervisor.cluster.errors import ClusterError, NotYetError
from wspulse.supervisor.cluster.hosts.bucket import Bucket, BucketUnavailableError, WrongRevisionError
from wspulse.supervisor.cluster.hosts.records import HOSTS, HostInfo, decoded, host_key
from wspulse.supervisor.cluster.hosts.renewal import Pace, Renewal
from wspulse.supervisor.cluster.hosts.roster import Roster

__all__ = ["Membership"]

_TTL_S = 10.0

_JOINED_WITHIN_S = 30.0
"""The key of a host that was killed and started anew is gone after ten seconds."""

_CLOCKS_APART_S = 3600.0
"""What has a date would be nonsense on one of the hosts: tokens, certificates, logs."""


_MOST_FOREIGN = 20
"""Keys that the log names."""

_logger = logging.getLogger("wspulse.cluster")


class Membership:
    """See the module. `cluster` is a name of letters, digits, "-" and "_"; `changed()` is called when `hosts` has changed.

    `lost()` and `regained()` may be set before `join`: this host's lease is over, and is held again (`Lease.term` has risen;
    other hosts may have seen this one as gone). They come in turn, and on the loop: what must not happen without the lease asks
    `Lease.is_held` itself.
    """

    def __init__(
        self,
        client: Client,
        cluster: str,
        me: HostInfo,
        lease: Lease,
        *,
        replicas: int,
        takes_any_replicas: bool = False,
        changed: Callable[[], None],
        ttl_s: float = _TTL_S,
    ) -> None:
        self._client = client
        self._republished = f"WSPULSE.{cluster}.hosts"
        self._pace = Pace(ttl_s)
        self._changed = changed
        self._roster = Roster()
        self._agreement = Agreement()
        self._foreign: set[str] = set()
        """Keys that are no hosts'."""
        self._trouble = ""
        """What NATS said last when it did not do what was asked."""
        self.me = me
        self.hosts: Mapping[str, HostInfo] = self._roster.hosts
        """Those that are alive, by id, with this one."""
        self.lost: Callable[[], None] = _nothing
        self.regained: Callable[[], None] = _nothing
        self.bucket = Bucket(
            client,
            f"WSPULSE_{cluster}",
            replicas=replicas,
            republished=self._republished,
            takes_any_replicas=takes_any_replicas,
        )
        self._renewal = Renewal(self.bucket, me, lease, self._pace, self._lost, self._regained)
        self._lease = lease
        self._subscription: Subscription | None = None
        self._watch: asyncio.Task[None] | None = None

    def describe(
        self,
        connections: int | None = None,
        shards: tuple[tuple[int, int], ...] | None = None,
        wanted: tuple[bytes, ...] | None = None,
        *,
        workers: int | None = None,
        options: dict[str, str] | None = None,
    ) -> None:
        """Have the others know how many connections and workers this host has, or what it is set to, some seconds later; and
        which of its workers are up, and what it wants, at once."""
        before = self.me
        self.me = me = msgspec.structs.replace(
            before,
            connections=before.connections if connections is None else connections,
            workers=before.workers if workers is None else workers,
            shards=before.shards if shards is None else shards,
            wanted=before.wanted if wanted is None else wanted,
            options=before.options if options is None else options,
        )
        if me != before:
            self._renewal.describe(me, is_urgent=(me.shards, me.wanted) != (before.shards, before.wanted))
            if me.options != before.options:
                self._agreement.compare(me, self.hosts)

    async def join(self) -> None:
        """Become a member. It waits where a host with this id was killed shortly before, until that one is gone.

        ClusterError: another live host has this id; other hosts have other settings; the clock is wrong; the bucket holds
        something else; JetStream does not answer.
        """
        self._check_clock(await self.bucket.open())
        self._subscription = await self._client.subscribe(f"{self._republished}.>", cb=self._heard)
        try:
            await self._client.flush()
            deadline = time.monotonic() + _JOINED_WITHIN_S
            await self._take_place(deadline)
            await self._read_all_in_time(deadline)
            self._agreement.check(self.me, self.hosts)  # two that join at once have both seen nobody before
        except BaseException:
            await self.leave()
            raise
        self._watch = asyncio.create_task(self._watch_silent(), name="watch of silent hosts")

    async def leave(self) -> None:
        """Be none any more: the lease is over, and the key gone, at once."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
            self._watch = None
        await self._renewal.end()
        await self.bucket.close()
        if self._subscription is not None:
            with suppress(nats.errors.Error):
                await self._subscription.unsubscribe()
            self._subscription = None

    async def is_alive(self, host: str, life: int) -> bool:
        """Whether it is a member under this life; what was not heard here the bucket's leader knows. BucketUnavailableError."""
        info = self.hosts.get(host)
        if info is not None and info.life == life:
            return True
        data = (await self.bucket.read(host_key(host))).data
        info = None if data is None else decoded(data)
        return info is not None and info.life == life

    async def _take_place(self, deadline: float) -> None:
        """Wait until nobody has our key, and write it."""
        key = host_key(self.me.id)
        first = 0
        while True:
            try:
                found = await self.bucket.read(key)
                other = None if found.data is None else decoded(found.data)
                ours = other is not None and other.life == self.me.life
                if found.data is None or ours:
                    await self._read_all()
                    self._agreement.check(self.me, self.hosts)
                    await self._renewal.begin(found.revision, goes_on=ours)
                    return
                if other is None:
                    raise ClusterError(f"key {key} of the bucket {self.bucket.name} holds something else: delete it")
                first = first or found.revision
                if found.revision != first:  # it renews
                    raise ClusterError(
                        f"a host {self.me.id!r} is already in this cluster, at {other.address}: stop that one, or give this "
                        f"one another id (--host-id)"
                    )
            except WrongRevisionError:
                pass  # somebody else was faster
            except BucketUnavailableError as error:
                self._trouble = str(error)
            await self._pause(deadline)

    async def _read_all_in_time(self, deadline: float) -> None:
        while True:
            try:
                return await self._read_all()
            except BucketUnavailableError as error:
                self._trouble = str(error)
            await self._pause(deadline)

    async def _pause(self, deadline: float) -> None:
        if time.monotonic() > deadline:
            raise NotYetError(
                f"the cluster could not be joined within {_JOINED_WITHIN_S:g} s ({self._trouble or 'no answer'}): see that the "
                "NATS servers run, have JetStream, and have room for files"
            )
        await asyncio.sleep(self._pace.again_s)

    async def _read_all(self) -> None:
        """All that are alive."""
        for key in await self.bucket.keys(HOSTS):
            found = await self.bucket.read(key)
            if found.data is not None:
                self._note(key, found.data, found.revision)

    def _note(self, key: str, data: bytes, revision: int) -> None:
        info = decoded(data)
        if info is None or host_key(info.id) != key:
            if key not in self._foreign and len(self._foreign) < _MOST_FOREIGN:
                self._foreign.add(key)
                _logger.warning(
                    "a key in the cluster's bucket is no host that this version knows, and is passed over: see whose it is",
                    extra={"bucket": self.bucket.name, "key": shortened(key)},
                )
        else:
            before = self.hosts.get(info.id)
            if self._roster.heard(key, info, revision, lease_clock()):
                if info.id != self.me.id and (before is None or before.life != info.life):
                    _logger.info("another host is in the cluster", extra={"host": info.id, "address": info.address})
                self._agreement.compare(self.me, self.hosts)
                self._changed()

    async def _heard(self, message: Msg) -> None:
        headers = message.headers or {}
        key = message.subject.removeprefix(f"{self._republished}.")
        revision = int(headers["Nats-Sequence"])
        if message.data:
            self._note(key, message.data, revision)
        elif key != host_key(self.me.id):
            self._gone(key, revision, has_left="KV-Operation" in headers)

    def _check_clock(self, there: float) -> None:
        apart = time.time() - there
        if abs(apart) > _CLOCKS_APART_S:
            raise ClusterError(
                f"this host's clock is {abs(apart) / 3600:.1f} hours {'ahead of' if apart > 0 else 'behind'} that of the NATS "
                f"servers: set it, since streams that are made anew go by it"
            )

    def _lost(self) -> None:
        _logger.error(
            "this host is no member of its cluster any more, and lets nobody in until it is one again",
            extra={
                "host": self.me.id,
                "reason": self._renewal.trouble or "it was not renewed in time, or its key was removed",
            },
        )
        self.lost()

    def _regained(self) -> None:
        _logger.warning("this host is a member of its cluster again", extra={"host": self.me.id})
        self._roster.still_here(lease_clock())
        self.regained()

    async def _watch_silent(self) -> None:
        """Hosts that were not heard are looked up, while this host itself is not away."""
        while True:
            first = self._roster.first_heard_at()
            now = lease_clock()
            wait_s = self._pace.ttl_s if first is None else first + self._pace.ttl_s - now
            await asyncio.sleep(max(wait_s, self._pace.again_s))
            for key in self._silent():
                with suppress(BucketUnavailableError):
                    await self._look_up(key)

    async def _look_up(self, key: str) -> None:
        found = await self.bucket.read(key)
        if found.data is not None:
            self._note(key, found.data, found.revision)
        elif self._lease.is_held() and key != host_key(self.me.id):
            revision = self._silent().get(key)  # None: it was heard in the meantime, or this host was away itself
            if revision is not None:
                self._gone(key, revision, has_left=False)

    def _gone(self, key: str, revision: int, *, has_left: bool) -> None:
        if (info := self._roster.gone(key, revision)) is None:
            return
        told = {"host": info.id, "address": info.address}
        if has_left:
            _logger.info("a host has left the cluster", extra=told)
        else:
            _logger.warning("a host is gone from the cluster without a word: it died, or is cut off", extra=told)
        self._changed()

    def _silent(self) -> dict[str, int]:
        return self._roster.silent_since(lease_clock() - self._pace.ttl_s)


def _nothing() -> None:
    pass
