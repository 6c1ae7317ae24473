"""`Host`: one host's membership, directory and calls, with a connection to NATS of its own. `hosts_on` has some joined."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from random import SystemRandom

import nats
from nats.aio.client import Client

from tests.support.eventually import eventually
from wspulse.actors.cluster.lease import Lease
from wspulse.supervisor.cluster.hosts.calls import HostCalls
from wspulse.supervisor.cluster.hosts.directory import Directory
from wspulse.supervisor.cluster.hosts.membership import Membership
from wspulse.supervisor.cluster.hosts.records import Entry, HostInfo
from wspulse.supervisor.host.shared_file import SharedFile

__all__ = ["CLUSTER", "TTL_S", "Host", "connected", "host_info", "hosts_on", "new_life"]

CLUSTER = "test"
TTL_S = 2.0
"""A fifth of what it is in earnest. Time for a leader to be elected needs more."""


def new_life() -> int:
    return SystemRandom().randrange(1, 2**53)


def host_info(host: str, **changes: str) -> HostInfo:
    settings = {"on_duplicate": "kick", "resume_window": "30"} | changes
    return HostInfo(host, new_life(), 2, 1.0, f"{host}.example:8000", settings, "0")


async def connected(url: str) -> Client:
    async def ignored(_error: Exception) -> None:
        """That a server was killed is what the test wants."""

    return await nats.connect(
        url.split(","), reconnect_time_wait=0.1, max_reconnect_attempts=-1, ping_interval=5, error_cb=ignored
    )


class Host:
    """See the module. What happens to its membership is in `events`: "changed", "lost", "regained"."""

    def __init__(
        self, client: Client, info: HostInfo, *, ttl_s: float = TTL_S, replicas: int = 1, file: SharedFile | None = None
    ) -> None:
        self.client = client
        self.info = info
        self.events: list[str] = []
        self._owns_file = file is None
        self.file = file or SharedFile()
        self.lease = Lease(self.file.descriptor, writable=True)
        self.membership = Membership(
            client, CLUSTER, info, self.lease, replicas=replicas, changed=self._changed, ttl_s=ttl_s
        )
        self.membership.lost = lambda: self.events.append("lost")
        self.membership.regained = lambda: self.events.append("regained")
        self.directory = Directory(self.membership, timeout_s=5 * ttl_s, marker_ttl_s=1)
        self.answer: Callable[[bytes], Awaitable[bytes]] = self._echo
        self.calls = HostCalls(client, CLUSTER, info, self._answer, hosts=self.membership.hosts)

    def _changed(self) -> None:
        self.events.append("changed")

    async def _answer(self, payload: bytes, _left_s: float) -> bytes:
        return await self.answer(payload)

    async def _echo(self, payload: bytes) -> bytes:
        return self.info.id.encode() + b":" + payload

    def entry(self, serial: int, origin: int = 1) -> Entry:
        return Entry(self.info.id, self.info.life, origin, serial)

    async def join(self) -> None:
        await self.calls.open()
        await self.membership.join()

    async def sees(self, *hosts: str, within_s: float = 10.0) -> None:
        await eventually(lambda: self.membership.hosts.keys() == set(hosts), f"{self.info.id} sees {hosts}", within_s)

    async def is_told(self, event: str) -> None:
        await eventually(lambda: self.events[-1:] == [event], f"{self.info.id} is told: {event}")

    async def is_renewed(self) -> None:
        until = self.lease.until
        await eventually(lambda: self.lease.until > until, f"the lease of {self.info.id} is renewed")

    async def owes_nothing(self) -> None:
        """Nothing is left behind that its directory did not want."""
        await eventually(lambda: not self.directory._debts._owed, f"{self.info.id} owes nothing")

    async def vanish(self) -> None:
        """As a host does that is killed: without a word."""
        await self.client.close()
        await self.end()

    async def end(self) -> None:
        await self.directory.close()
        await self.calls.close()
        await self.membership.leave()
        await self.client.close()
        assert not self.lease.is_held()
        self.lease.close()
        if self._owns_file:
            self.file.close()


@asynccontextmanager
async def hosts_on(url: str, *names: str, ttl_s: float = TTL_S, replicas: int = 1) -> AsyncIterator[list[Host]]:
    hosts: list[Host] = []
    try:
        for name in names:
            hosts.append(Host(await connected(url), host_info(name), ttl_s=ttl_s, replicas=replicas))
            await hosts[-1].join()
        for host in hosts:
            await host.sees(*names)
        yield hosts
    finally:
        await asyncio.gather(*[host.end() for host in hosts])
