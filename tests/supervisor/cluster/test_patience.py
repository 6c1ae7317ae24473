"""Whoever waits for NATS waits for its JetStream too: servers that are up one after another have none until most of them are."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.support.cluster.hosts_stage import CLUSTER, Host, host_info
from tests.support.eventually import eventually
from tests.support.processes.nats_servers import nats_servers
from wspulse.supervisor.cluster.connection import connect
from wspulse.supervisor.cluster.errors import NotYetError
from wspulse.supervisor.cluster.feed import streams
from wspulse.supervisor.cluster.feed.names import Names
from wspulse.supervisor.cluster.gateway import _patiently
from wspulse.supervisor.cluster.hosts import bucket


async def test_streams_and_bucket_of_servers_that_have_no_majority_yet_are_opened_when_they_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(streams, "_MADE_WITHIN_S", 0.2)
    monkeypatch.setattr(bucket, "_OPENED_WITHIN_S", 0.2)
    with nats_servers(tmp_path, 3) as servers:
        servers.kill(1)
        servers.kill(2)
        client = await connect(servers.urls)
        host = Host(client, host_info("a"), ttl_s=10.0)
        try:
            opening = streams.Streams(client, Names(CLUSTER), 1).open
            for join in (opening, host.membership.join):
                with pytest.raises(NotYetError):
                    await _patiently(join, waits=False)
            joining = [asyncio.create_task(_patiently(join, waits=True)) for join in (opening, host.membership.join)]
            await eventually(lambda: "the cluster cannot be joined yet" in caplog.messages, "it is said")
            servers.start(1)
            servers.start(2)
            async with asyncio.timeout(30):
                await asyncio.gather(*joining)
            assert host.lease.is_held()
        finally:
            await host.end()
