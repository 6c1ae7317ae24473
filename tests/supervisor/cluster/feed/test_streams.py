"""The streams: made once, checked by all, and what is said when they cannot be."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.cluster.feeds import api, recorded_feed
from tests.support.processes.nats_servers import NatsServers, nats_servers
from wspulse.supervisor.cluster.connection import connect
from wspulse.supervisor.cluster.errors import ClusterError
from wspulse.supervisor.cluster.feed import streams
from wspulse.supervisor.cluster.feed.names import PARTITIONS, Names
from wspulse.supervisor.cluster.feed.streams import Streams

LIMITED = """
    accounts {{
        LIMITED {{ users: [{{ user: "limited", password: "secret" }}], jetstream: {0} }}
        FREE {{ users: [{{ user: "free", password: "secret" }}], jetstream: enabled }}
    }}
"""


@contextmanager
def account_with(tmp_path: Path, jetstream: str) -> Iterator[str]:
    """The URL of a user in an account with such a JetStream."""
    with nats_servers(tmp_path, options=LIMITED.format(jetstream)) as servers:
        yield servers.urls[0].replace("//", "//limited:secret@")


async def refusal(url: str, *, replicas: int = 1, cluster: str = "tests") -> str:
    """What is said instead of opening streams."""
    client = await connect([url])
    try:
        with pytest.raises(ClusterError) as raised:
            await Streams(client, Names(cluster), replicas).open()
    finally:
        await client.close()
    return str(raised.value)


async def test_hosts_that_start_at_once_share_the_streams(servers: NatsServers) -> None:
    clients = [await connect(servers.urls) for _ in range(4)]
    await asyncio.gather(*(Streams(client, Names("tests"), 1).open() for client in clients))
    names = [stream["config"]["name"] for stream in (await api(clients[0], "STREAM.LIST"))["streams"]]
    assert sorted(names) == sorted(f"WSPULSE_tests_{partition}" for partition in range(PARTITIONS))
    for client in clients:
        await client.close()


async def test_sequences_begin_at_the_microseconds_of_the_clock(
    servers: NatsServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 1_800_000_000_123_456_789)
    async with recorded_feed(servers.urls) as feed:
        assert await feed.publish(5, "a.1", b"one") == 1_800_000_000_123_456


async def test_jetstream_that_is_off_is_said(tmp_path: Path) -> None:
    with account_with(tmp_path, "disabled") as url:
        assert "JetStream is off in NATS" in await refusal(url)


async def test_too_little_memory_is_said(tmp_path: Path) -> None:
    with account_with(tmp_path, "{ max_mem: 100MB, max_file: 100MB }") as url:
        said = await refusal(url)
        assert "too little memory for the streams" in said
        assert "192 MiB" in said


async def test_replicas_without_servers_are_said(servers: NatsServers) -> None:
    assert "3 replicas need a cluster of as many NATS servers" in await refusal(servers.urls[0], replicas=3)


async def test_replicas_that_nobody_asked_for_are_what_the_servers_can_do_and_then_what_is_there(
    servers: NatsServers,
) -> None:
    async with recorded_feed(servers.urls, replicas=None) as feed:
        assert feed.feed.replicas == 1
        await feed.publish(1, "a.1", b"one")
    said = await refusal(servers.urls[0], replicas=3)
    assert (
        "the streams of this cluster have 1 replica(s), and this host asks for 3: leave --cluster-replicas out" in said
    )


async def test_one_replica_for_want_of_servers_of_a_cluster_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(streams, "_PEERS_WITHIN_S", 0.5)
    with nats_servers(tmp_path, 2) as two:
        async with recorded_feed(two.urls, replicas=None) as feed:
            assert feed.feed.replicas == 1
    (said,) = (message for message in caplog.messages if "1 replica" in message)
    assert "start with --cluster-replicas 3" in said


async def test_other_settings_are_said_by_name(servers: NatsServers) -> None:
    async with recorded_feed(servers.urls) as feed:
        config = (await api(feed.client, "STREAM.INFO.WSPULSE_tests_7"))["config"]
        await api(feed.client, "STREAM.UPDATE.WSPULSE_tests_7", {**config, "max_age": 200 * 10**9})
    said = await refusal(servers.urls[0])
    assert "the stream WSPULSE_tests_7 has max_age 200000000000, and this host asks for 300000000000" in said


async def test_stream_of_somebody_else_with_our_name_is_said(servers: NatsServers) -> None:
    client = await connect(servers.urls)
    await api(
        client,
        "STREAM.CREATE.WSPULSE_tests_7",
        {"name": "WSPULSE_tests_7", "subjects": ["orders"], "storage": "memory"},
    )
    await client.close()
    assert "a stream WSPULSE_tests_7 that this version of wspulse did not make" in await refusal(servers.urls[0])


async def test_stream_of_somebody_else_that_takes_our_subjects_is_said(servers: NatsServers) -> None:
    client = await connect(servers.urls)
    await api(client, "STREAM.CREATE.ALL", {"name": "ALL", "subjects": ["wspulse.>"], "storage": "memory"})
    await client.close()
    assert "another stream in NATS takes the subjects of WSPULSE_tests_" in await refusal(servers.urls[0])


async def test_account_without_room_for_streams_is_said(tmp_path: Path) -> None:
    with account_with(tmp_path, "{ max_mem: 250MB, max_file: 250MB, max_streams: 3 }") as url:
        assert "maximum number of streams reached" in await refusal(url)


@pytest.mark.parametrize("name", ["", "a.b", "a b", "*", "ü", "x" * 65])
def test_name_that_nats_would_not_take_is_refused(name: str) -> None:
    with pytest.raises(ClusterError, match="a cluster's name has up to 64 letters"):
        Names(name)
