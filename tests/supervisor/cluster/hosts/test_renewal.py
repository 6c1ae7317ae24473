"""`Renewal`: the lease when the host, or NATS, stands still."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, create_subprocess_exec
from pathlib import Path

import pytest

from tests.support.cluster.hosts_stage import TTL_S, hosts_on
from tests.support.eventually import eventually
from tests.support.processes.nats_servers import NatsServers, nats_servers
from wspulse.actors.cluster.lease import Lease
from wspulse.supervisor.host.shared_file import SharedFile

ROOT = Path(__file__).parents[4]


async def test_host_that_was_stopped_finds_its_lease_over_and_takes_it_anew(url: str) -> None:
    file = SharedFile()
    lease = Lease(file.descriptor, writable=True)
    async with hosts_on(url, "a") as (a,):
        command = [sys.executable, "-m", "tests.support.cluster.host_process", url, "b", str(file.descriptor)]
        child = await create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, cwd=ROOT, pass_fds=[file.descriptor])
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            assert await child.stdout.readline() == b"joined\n"
            await a.sees("a", "b")
            assert lease.is_held()
            os.kill(child.pid, signal.SIGSTOP)
            await a.sees("a")
            assert not lease.is_held()  # before anything of it runs again
            os.kill(child.pid, signal.SIGCONT)
            assert await child.stdout.readline() == b"lost\n"
            assert await child.stdout.readline() == b"regained\n"
            assert lease.is_held()
            assert lease.term == 2
            await a.sees("a", "b")
        finally:
            os.kill(child.pid, signal.SIGCONT)
            child.stdin.close()
            assert await child.wait() == 0
        assert await child.stdout.read() == b""
        await a.sees("a")
        assert "lost" not in a.events
    lease.close()
    file.close()


async def test_lease_is_over_while_nats_stands_still_and_no_host_is_taken_for_gone(
    url: str, servers: NatsServers
) -> None:
    async with hosts_on(url, "a", "b") as (a, b):
        claimed = [await host.directory.claim(host.info.id, host.entry(1)) for host in (a, b)]
        before = [len(host.events) for host in (a, b)]
        servers.pause(0)
        try:
            for host in (a, b):
                await eventually(lambda host=host: host.events[-1] == "lost", "the lease is over")
                assert not host.lease.is_held()
            await asyncio.sleep(0.2 * TTL_S)  # the keys, too
        finally:
            servers.go_on(0)
        for host, since in zip((a, b), before, strict=True):
            await eventually(lambda host=host: host.events[-1] == "regained", "the lease is held again")
            assert host.lease.is_held()
            assert host.lease.term == 2
            assert host.events[since:] == ["lost", "regained"]
            assert set(host.membership.hosts) == {"a", "b"}
        for host, revision in zip((a, b), claimed, strict=True):
            assert await host.directory.claim(host.info.id, host.entry(1)) > revision


async def test_lease_and_entries_go_on_when_the_only_server_is_started_anew(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with nats_servers(tmp_path_factory.mktemp("nats")) as servers:
        async with hosts_on(servers.url, "a", "b") as (a, b):
            revision = await a.directory.claim("x", a.entry(1))
            servers.kill(0)
            servers.start(0)
            await asyncio.to_thread(servers.await_started, 0)
            assert await b.directory.find("x") == (a.entry(1), revision)
            for host in (a, b):
                until = host.lease.until
                await eventually(lambda host=host, until=until: host.lease.until > until, "it is renewed")
                assert "lost" not in host.events
