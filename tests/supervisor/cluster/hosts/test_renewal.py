"""`Renewal`: the lease when the host, or NATS, stands still."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, create_subprocess_exec
from pathlib import Path
from typing import Any

import pytest

from tests.support.cluster.hosts_stage import Host, hosts_on
from tests.support.processes.nats_servers import nats_servers
from wspulse.actors.cluster.lease import Lease
from wspulse.supervisor.cluster.hosts.bucket import Found
from wspulse.supervisor.cluster.hosts.records import host_key
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


async def test_lease_is_over_while_nats_is_away_and_is_taken_anew(tmp_path_factory: pytest.TempPathFactory) -> None:
    with nats_servers(tmp_path_factory.mktemp("nats")) as servers:
        async with hosts_on(servers.url, "a") as (a,):
            revision = await a.directory.claim("x", a.entry(1))
            servers.kill(0)
            await a.is_told("lost")
            assert not a.lease.is_held()
            servers.start(0)
            await a.is_told("regained")
            assert a.lease.is_held()
            assert a.lease.term == 2
            assert await a.directory.claim("x", a.entry(1)) > revision


async def test_host_that_was_away_itself_takes_no_other_for_gone(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with hosts_on(url, "a", "b", ttl_s=1) as (a, b):
        before = len(a.events)
        may_renew = {host.info.id: asyncio.Event() for host in (a, b)}

        async def hold_up(host: Host) -> None:
            real = host.membership.bucket.put

            async def held_up(*arguments: Any, **options: Any) -> int:
                await may_renew[host.info.id].wait()
                return await real(*arguments, **options)

            monkeypatch.setattr(host.membership.bucket, "put", held_up)
            await host.is_told("lost")

        looked_up = a.membership.bucket.read
        may_answer = asyncio.Event()

        async def answers_late(key: str) -> Found:
            found = await looked_up(key)
            if key == host_key("b"):
                await may_answer.wait()
            return found

        await hold_up(a)
        await hold_up(b)
        monkeypatch.setattr(a.membership.bucket, "read", answers_late)
        await asyncio.sleep(0.2)  # its key is gone, and a would have looked for it
        assert (await looked_up(host_key("b"))).data is None
        may_renew["a"].set()
        await a.is_told("regained")
        may_answer.set()
        await asyncio.sleep(0.2)
        may_renew["b"].set()
        await b.is_told("regained")
        assert a.events[before:] == ["lost", "regained"]
        assert set(a.membership.hosts) == {"a", "b"}


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
                await host.is_renewed()
                assert "lost" not in host.events
