"""Hosts over three NATS servers of which one is killed."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from pathlib import Path
from random import Random

import nats.errors
import pytest

from tests.support.cluster.hosts_stage import CLUSTER, Host, hosts_on
from tests.support.eventually import eventually
from tests.support.processes.nats_servers import nats_servers
from wspulse.supervisor.cluster.hosts.errors import DirectoryUnavailableError, Taken
from wspulse.supervisor.cluster.hosts.records import Entry

ROUNDS_OF_ONE_KILL = 10
"""It takes ten seconds: by default none is killed."""

CLAIMS_AROUND_A_KILL = 300

LONG_S = 30.0
"""No lease ends, however long the servers take: what happens then is in test_renewal.py."""


async def leader(host: Host) -> int:
    """The number of the server that leads the bucket, when the two others have all that it has."""
    deadline = time.monotonic() + 30
    while True:
        with suppress(nats.errors.Error):
            cluster = (await host.client.jetstream().stream_info(f"KV_WSPULSE_{CLUSTER}")).cluster
            if cluster and cluster.leader and cluster.replicas and all(each.current for each in cluster.replicas):
                return int(cluster.leader.removeprefix("n"))
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)


@pytest.mark.race
async def test_exactly_one_has_each_id_while_the_leader_is_killed(
    tmp_path_factory: pytest.TempPathFactory, draw: Random, race_rounds: int
) -> None:
    """Also: nobody waits for ever, and nothing is left of the claims that failed."""
    kills = race_rounds // ROUNDS_OF_ONE_KILL
    if not kills:
        pytest.skip("run it with --race-rounds 10 or more")
    holders: dict[str, tuple[Entry, int]] = {}
    serials = iter(range(10**6))
    folder: Path = tmp_path_factory.mktemp("nats")
    with nats_servers(folder, 3) as servers:
        async with hosts_on(servers.url, "a", "b", "c", ttl_s=LONG_S, replicas=3) as hosts:
            claims = 0

            async def live(ended: asyncio.Event) -> None:
                nonlocal claims
                while not ended.is_set():
                    host, wanted = draw.choice(hosts), f"id {draw.randrange(20)}"
                    entry = host.entry(next(serials))
                    try:
                        revision = await host.directory.claim(wanted, entry)
                    except (Taken, DirectoryUnavailableError):
                        await asyncio.sleep(0.01)
                        continue
                    claims += 1
                    assert wanted not in holders
                    holders[wanted] = entry, revision
                    await asyncio.sleep(draw.random() * 0.05)
                    if not ended.is_set():
                        del holders[wanted]
                        await host.directory.release(wanted, revision)

            async def await_claims() -> None:
                before = claims
                await eventually(lambda: claims > before + CLAIMS_AROUND_A_KILL, "claims go on", 30)

            for _ in range(kills):
                ended = asyncio.Event()
                lives = [asyncio.create_task(live(ended)) for _ in range(10)]
                await await_claims()
                killed = await leader(hosts[0])
                servers.kill(killed)
                await await_claims()
                ended.set()
                await asyncio.gather(*lives)
                for host in hosts:
                    await host.owes_nothing()
                    assert "lost" not in host.events
                    for wanted in [f"id {number}" for number in range(20)]:
                        assert await host.directory.find(wanted) == holders.get(wanted)
                for wanted, (entry, revision) in list(holders.items()):
                    await next(host for host in hosts if host.info.id == entry.host).directory.release(wanted, revision)
                    del holders[wanted]
                servers.start(killed)
                await asyncio.to_thread(servers.await_started, killed)
