"""One NATS server for a module of tests; each test has a bucket of its own making."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress

import nats.js.errors
import pytest

from tests.support.cluster.hosts_stage import CLUSTER, connected
from tests.support.processes.nats_servers import NatsServers, nats_servers


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServers]:
    """What it stores is no leak of the test that stored it: it lies where pytest keeps its own."""
    with nats_servers(tmp_path_factory.mktemp("nats")) as started:
        yield started


@pytest.fixture
def url(servers: NatsServers) -> str:
    """Of a server on which there is no cluster of hosts yet."""
    asyncio.run(_without_bucket(servers.url))
    return servers.url


async def _without_bucket(url: str) -> None:
    client = await connected(url)
    with suppress(nats.js.errors.NotFoundError):
        await client.jetstream().delete_stream(f"KV_WSPULSE_{CLUSTER}")
    await client.close()
