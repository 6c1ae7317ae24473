"""Events that go from gateway to gateway, over a real NATS server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.cluster.hosts_stage import CLUSTER, connected
from tests.support.eventually import eventually
from tests.support.processes.nats_servers import nats_servers
from wspulse.actors.mesh.lifecycle import Events
from wspulse.supervisor.cluster.events.relay import MOST_BATCH_BYTES, EventRelay


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with nats_servers(tmp_path_factory.mktemp("nats")) as started:
        yield started.url


class Host:
    """A gateway, and the events that it was given."""

    def __init__(self) -> None:
        self.taken: list[Events] = []
        self.relay: EventRelay

    @property
    def events(self) -> list[bytes]:
        return [event for taken in self.taken for _, event in taken.events]

    @property
    def dropped(self) -> int:
        return sum(taken.dropped_events for taken in self.taken)

    async def listens(self) -> None:
        self.relay.want(True)
        await eventually(lambda: self.relay._subscription, "it has subscribed")
        await self.relay._client.flush()

    async def has(self, count: int) -> None:
        await eventually(lambda: len(self.events) >= count, f"{count} events have come")


@asynccontextmanager
async def joined(url: str, name: str, life: int = 1) -> AsyncIterator[Host]:
    client = await connected(url)
    host = Host()
    host.relay = EventRelay(client, CLUSTER, name, life, host.taken.append)
    host.relay.open()
    try:
        yield host
    finally:
        await host.relay.close()
        await client.close()


def numbered(*numbers: int, dropped: int = 0) -> Events:
    return Events([(b"topic", b"%d" % number) for number in numbers], dropped)


async def test_host_that_listens_gets_what_others_give_in_order_and_nothing_of_its_own(url: str) -> None:
    async with joined(url, "a") as a, joined(url, "b") as b, joined(url, "c") as c:
        await a.listens()
        a.relay.give(numbered(99))
        for number in range(50):
            b.relay.give(numbered(2 * number, 2 * number + 1))
        await a.has(100)
        assert a.events == [b"%d" % number for number in range(100)]
        assert a.dropped == 0
        assert c.taken == [], "nobody listens there"


async def test_more_than_a_message_carries_goes_in_several(url: str) -> None:
    async with joined(url, "a") as a, joined(url, "b") as b:
        await a.listens()
        large = [bytes([number]) * (MOST_BATCH_BYTES // 3) for number in range(10)]
        b.relay.give(Events([(b"topic", each) for each in large], 0))
        await a.has(10)
        assert a.events == large
        assert len(a.taken) == 5
        assert a.dropped == 0


async def test_what_was_dropped_there_or_on_the_way_is_counted_here(url: str) -> None:
    async with joined(url, "a") as a, joined(url, "b") as b:
        await a.listens()
        b.relay.give(numbered(1, dropped=7))
        await a.has(1)
        assert a.dropped == 7
        b.relay._number += 1  # as if one message had been lost
        b.relay.give(numbered(2))
        await a.has(2)
        assert a.dropped == 8


async def test_what_happens_while_nats_is_away_is_dropped_and_counted(tmp_path: Path) -> None:
    with nats_servers(tmp_path) as servers:
        async with joined(servers.url, "a") as a, joined(servers.url, "b") as b:
            await a.listens()
            servers.kill(0)
            clients = [host.relay._client for host in (a, b)]
            await eventually(lambda: not any(client.is_connected for client in clients), "NATS is away")
            b.relay.give(numbered(1, 2, dropped=3))
            await eventually(lambda: not b.relay._waiting, "they are dropped")
            servers.start(0)
            await eventually(lambda: all(client.is_connected for client in clients), "NATS is back")
            await a.relay._client.flush()
            b.relay.give(numbered(3))
            await a.has(1)
            assert (a.events, a.dropped) == ([b"3"], 5)


async def test_gateway_that_took_over_may_have_lost_some(url: str) -> None:
    async with joined(url, "a") as a:
        await a.listens()
        for life in (1, 2):
            async with joined(url, "b", life) as b:
                b.relay.give(numbered(life))
                await a.has(life)
        assert (a.events, a.dropped) == ([b"1", b"2"], 1)


async def test_host_that_listens_no_more_gets_nothing_and_may_listen_again(url: str) -> None:
    async with joined(url, "a") as a, joined(url, "b") as b:
        await a.listens()
        b.relay.give(numbered(1))
        await a.has(1)
        a.relay.want(False)
        await eventually(lambda: a.relay._subscription is None, "it has unsubscribed")
        b.relay.give(numbered(2))
        await eventually(lambda: not b.relay._waiting, "it is sent")
        await b.relay._client.flush()
        await a.listens()
        b.relay.give(numbered(3))
        await a.has(2)
        assert (a.events, a.dropped) == ([b"1", b"3"], 0)
