"""`Joining`: has the buckets of one partition subscribed, and proves that they are.

A subscription alone proves nothing in a cluster of servers: the stream's leader may hear of it later than of the next message.
So a probe goes through the stream to a subject that is subscribed after the buckets' own: when its republished copy is here,
the leader knew of them when it stored it. What is stored later is republished to us. One probe is on its way; what is wanted
meanwhile goes with the next.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from wspulse.supervisor.cluster.asking import end, start
from wspulse.supervisor.cluster.feed.inlet import Inlet
from wspulse.supervisor.cluster.feed.names import Names

__all__ = ["SEQUENCE", "Joining"]

SEQUENCE = "Nats-Sequence"

_PROBE = {"Nats-TTL": "1s"}
"""The stream need not keep it."""

_FIRST_WAIT_S = 0.02
_LONGEST_WAIT_S = 0.5
"""A probe whose copy does not come is sent again: the leader heard of its subject too late, or there is none."""


class _Wish:
    """A subject to subscribe to (None: only a proof is wanted), and who is told the probe's sequence."""

    __slots__ = ("is_open", "proved", "subject", "subscription", "take")

    def __init__(self, subject: str | None, take: Callable[[Msg], None], proved: Callable[[int], None]) -> None:
        self.subject = subject
        self.take = take
        self.proved = proved
        self.subscription: Subscription | None = None
        self.is_open = True


class Joining:
    """See the module."""

    def __init__(self, client: Client, names: Names, partition: int, life: int) -> None:
        self._client = client
        self._names = names
        self._partition = partition
        self._life = life
        self._probes = 0
        self._joined: set[_Wish] = set()
        self._waiting: list[_Wish] = []
        self._leaving: list[Subscription] = []
        self._task: asyncio.Task[None] | None = None

    def join(self, subject: str, take: Callable[[Msg], None], proved: Callable[[int], None]) -> Callable[[], None]:
        """Subscribe, and call `proved` with the sequence behind which everything is republished to us. Returns how to leave: then
        nothing is called any more."""
        wish = _Wish(subject, take, proved)
        self._joined.add(wish)
        self._waiting.append(wish)
        self._work()
        return lambda: self._leave(wish)

    def prove(self, proved: Callable[[int], None]) -> None:
        """A proof for all that is subscribed already."""
        self._waiting.append(_Wish(None, _nobody, proved))
        self._work()

    async def close(self) -> None:
        """Nothing is subscribed any more, or proved."""
        await end(self._task)
        with contextlib.suppress(nats.errors.ConnectionClosedError):
            while self._joined:
                wish = self._joined.pop()
                wish.is_open = False
                if wish.subscription is not None:
                    await wish.subscription.unsubscribe()

    def _leave(self, wish: _Wish) -> None:
        wish.is_open = False
        self._joined.discard(wish)
        if wish.subscription is not None:
            self._leaving.append(wish.subscription)
            self._work()

    def _work(self) -> None:
        if self._task is None:
            self._task = start(self._run())

    async def _run(self) -> None:
        try:
            while self._waiting or self._leaving:
                waiting, self._waiting = self._waiting, []
                leaving, self._leaving = self._leaving, []
                for subscription in leaving:
                    with contextlib.suppress(nats.errors.Error):
                        await subscription.unsubscribe()
                for wish in waiting:
                    if wish.subject is not None and wish.is_open:
                        wish.subscription = await self._client.subscribe(wish.subject, future=Inlet(wish.take))
                        if wish not in self._joined:  # it left meanwhile
                            self._leaving.append(wish.subscription)
                if any(wish.is_open for wish in waiting):
                    sequence = await self._probe()
                    for wish in waiting:
                        if wish.is_open:
                            wish.proved(sequence)
        except nats.errors.ConnectionClosedError:
            pass  # for good: whoever made the client knows
        finally:
            self._task = None

    async def _probe(self) -> int:
        self._probes += 1
        published, republished = self._names.probe(self._partition, self._life, self._probes)
        came: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def take(message: Msg) -> None:
            if not came.done():
                came.set_result(int((message.headers or {})[SEQUENCE]))

        subscription = await self._client.subscribe(republished, future=Inlet(take))
        wait_s = _FIRST_WAIT_S
        try:
            while not came.done():
                if self._client.is_connected:
                    with contextlib.suppress(nats.errors.Error):  # the connection has just gone
                        await self._client.publish(published, b"", headers=_PROBE)
                await asyncio.wait([came], timeout=wait_s)
                wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
            return came.result()
        finally:
            with contextlib.suppress(nats.errors.ConnectionClosedError):
                await subscription.unsubscribe()


def _nobody(_message: Msg) -> None:
    """No subscription, no messages."""
