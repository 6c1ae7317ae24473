"""`Gateway`: what a gateway's process does: it joins the workers of this host to NATS, and tells the supervisor how that is.

Run by `main`. It ends by order of the supervisor, or with it. When it cannot join the cluster, or stay in it, it says so as a
sentence and waits for the order.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from nats.aio.client import Client

from wspulse.actors.cluster.lease import Lease
from wspulse.actors.mesh.lifecycle import (
    Events,
    Exit,
    GatewayRefused,
    GatewayState,
    HostLoad,
    HostOptions,
    HostsChanged,
    LeaseChanged,
    SeatGone,
    SeatOpened,
    SlotTable,
)
from wspulse.actors.mesh.message import Envelope, Message, Tell
from wspulse.actors.mesh.stream import Stream
from wspulse.supervisor.cluster.connection import connect
from wspulse.supervisor.cluster.errors import ClusterError, NotYetError
from wspulse.supervisor.cluster.events.relay import EventRelay
from wspulse.supervisor.cluster.exchange.exchange import Exchange
from wspulse.supervisor.cluster.exchange.positions import Positions
from wspulse.supervisor.cluster.feed.feed import Feed
from wspulse.supervisor.cluster.hosts.calls import HostCalls
from wspulse.supervisor.cluster.hosts.directory import Directory
from wspulse.supervisor.cluster.hosts.membership import Membership
from wspulse.supervisor.cluster.office.office import Office
from wspulse.supervisor.cluster.spec import GatewaySpec
from wspulse.supervisor.control.shard_links import ShardLinks
from wspulse.supervisor.errors import StartError

__all__ = ["Gateway"]

ALIVE_S = 1.0
"""Between two words to the supervisor of how it is."""

SETTLE_S = 1.0
"""For what workers have pushed before they ended."""

_logger = logging.getLogger("wspulse.cluster")


class Gateway:
    """See the module."""

    def __init__(self, spec: GatewaySpec) -> None:
        self._spec = spec
        self._ended = asyncio.Event()
        self._failure: asyncio.Future[ClusterError] = asyncio.get_running_loop().create_future()
        self._stream = Stream(spec.channel, self._on_envelope, self._ended.set)
        self._life = secrets.randbelow((1 << 53) - 1) + 1
        self._feed: Feed | None = None
        self._lost = 0
        """Of what the feed has lost, so much was told."""
        self._exchange: Exchange | None = None
        self._membership: Membership | None = None
        self._options = spec.host.options
        """Known when a worker is ready, which may be before this host is a member."""
        self._office: Office | None = None
        self._has_joined = False
        self._events: EventRelay | None = None
        self._shards = ShardLinks(spec.table.workers, lambda: (), lambda _seat: False)
        for seat, path in spec.seats.items():
            self._shards.hear(SeatOpened(seat, path))
        self._shards.hear(spec.table)

    async def run(self) -> None:
        """Until the end."""
        joining = asyncio.create_task(self._join())
        ended = asyncio.create_task(self._ended.wait())
        try:
            either: set[asyncio.Future[Any]] = {joining, ended, self._failure}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if self._failure.done() and not self._failure.cancelled():
                raise self._failure.result()
            if not ended.done():
                await joining
        except StartError as error:
            self._tell(GatewayRefused(str(error).removeprefix("wspulse: ")))
            await self._ended.wait()
        finally:
            for task in (joining, ended):
                task.cancel()
            await asyncio.gather(joining, ended, return_exceptions=True)
            self._stream.close()

    async def _join(self) -> None:
        """Join the cluster and serve. Raises ClusterError."""
        spec = self._spec
        async with contextlib.AsyncExitStack() as stack:
            credentials = None if spec.credentials is None else Path(spec.credentials)
            client = await connect(
                spec.urls, credentials=credentials, timeout_s=spec.timeout_s, wait=spec.waits, failed=self._fail
            )
            stack.push_async_callback(self._disconnect, client)
            self._feed = feed = Feed(
                client, spec.cluster, replicas=spec.replicas, life=self._life, deliver=self._deliver
            )
            await _patiently(feed.open, waits=spec.waits)
            stack.push_async_callback(feed.close)
            await self._open_office(client, feed, stack)
            positions = Positions(spec.positions_path)
            stack.callback(positions.close)
            self._exchange = exchange = Exchange(spec.push_path, spec.subscribe_path, feed, positions, self._life)
            stack.push_async_callback(exchange.stop, SETTLE_S)
            feed.state.up = self._tell_state  # the supervisor takes the first word of it as that all is there
            while not self._ended.is_set():
                self._tell_state(feed.state.connected)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(ALIVE_S):
                        await self._ended.wait()

    async def _open_office(self, client: Client, feed: Feed, stack: contextlib.AsyncExitStack) -> None:
        """Become a member, and answer workers and other hosts. Raises ClusterError."""
        spec = self._spec
        lease = Lease(spec.lease.descriptor, writable=True)
        stack.callback(lease.close)
        shards = self._shards
        membership = Membership(
            client,
            spec.cluster,
            msgspec.structs.replace(spec.host, options=self._options),
            lease,
            replicas=feed.replicas,
            takes_any_replicas=spec.replicas is None,
            changed=self._hosts_changed,
        )
        calls = HostCalls(client, spec.cluster, spec.host, self._answer, hosts=membership.hosts)
        directory = Directory(membership)
        self._office = Office(spec.host, spec.mailbox, directory, calls, membership.hosts, shards, feed, self._life)
        membership.lost = partial(self._tell_lease, False)
        membership.regained = partial(self._tell_lease, True)
        self._membership = membership
        self._events = events = EventRelay(client, spec.cluster, spec.host.id, self._life, self._tell)
        events.want(bool(spec.host.wanted))
        events.open()
        stack.push_async_callback(events.close)
        shards.open()
        stack.callback(shards.close)
        await calls.open()
        stack.push_async_callback(calls.close)
        await _patiently(membership.join, waits=spec.waits)
        stack.push_async_callback(membership.leave)
        self._has_joined = True
        self._hosts_changed()
        stack.push_async_callback(directory.close)
        self._office.open()
        stack.push_async_callback(self._office.close)

    async def _disconnect(self, client: Client) -> None:
        self._failure.cancel()  # that the connection ends is no failure
        await client.close()

    def _fail(self, error: ClusterError) -> None:
        """The cluster can be joined no more, or not at all."""
        if not self._failure.done():
            self._failure.set_result(error)

    async def _answer(self, payload: bytes, left_s: float) -> bytes:
        assert self._office is not None
        return await self._office.answer(payload, left_s)

    def _tell_lease(self, is_held: bool) -> None:
        self._tell(LeaseChanged(is_held))

    def _hosts_changed(self) -> None:
        if self._membership is None or not self._has_joined:
            return  # before it has read all, it would say that some are gone
        hosts = self._membership.hosts.values()
        self._tell(HostsChanged([msgspec.to_builtins(each) for each in hosts]))

    def _describe(self, load: HostLoad) -> None:
        if self._membership is not None:
            self._membership.describe(load.connections, tuple(load.shards), tuple(load.wanted), workers=load.workers)
        if self._events is not None:
            self._events.want(bool(load.wanted))

    def _deliver(self, bucket: int, sequence: int, data: bytes) -> None:
        if self._exchange is not None:
            self._exchange.deliver(bucket, sequence, data)

    def _tell_state(self, is_up: bool) -> None:
        lost = 0 if self._feed is None else self._feed.state.lost
        self._tell(GatewayState(is_up, lost - self._lost))
        self._lost = lost

    def _tell(self, message: Message) -> None:
        self._stream.send(Tell(message))

    def _on_envelope(self, envelope: Envelope, _fd: int | None) -> None:
        if not isinstance(envelope, Tell):
            return
        match envelope.message:
            case Exit():
                self._ended.set()
            case HostLoad():
                self._describe(envelope.message)
            case Events():
                if self._events is not None:
                    self._events.give(envelope.message)
            case HostOptions():
                self._options = envelope.message.options
                if self._membership is not None:
                    self._membership.describe(options=envelope.message.options)
            case SeatOpened() | SeatGone() | SlotTable():
                self._shards.hear(envelope.message)


async def _patiently(join: Callable[[], Awaitable[None]], *, waits: bool) -> None:
    """Do it again where it `waits`, until JetStream answers. Raises ClusterError."""
    while True:
        try:
            return await join()
        except NotYetError as error:
            if not waits:
                raise
            _logger.warning("the cluster cannot be joined yet", extra={"reason": str(error).removeprefix("wspulse: ")})
