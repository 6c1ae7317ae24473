"""Two real hosts: what people see of both on either, and what watchers are told while parts of them die."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
from collections.abc import Iterator

import psutil
import pytest
from websockets.asyncio.client import connect

from tests.support.contract.client import Client
from tests.support.contract.spread import serve_spread
from tests.support.contract.watcher import Watcher
from tests.support.processes.server_process import ServerProcess
from wspulse import AsyncControl
from wspulse.actors.mesh.placement import Placement

WORKERS = 2
"""Of each host."""


async def dialled(host: ServerProcess, name: str, *, asks: bool = False) -> Client:
    url = f"{host.url}?room=tea&id={name}{'&presence=1' if asks else ''}"
    return Client(await connect(url, ping_interval=None, max_queue=None, compression=None))


def named(shard: int, prefix: str) -> str:
    """A name that this worker of its host has."""
    placement = Placement(WORKERS)
    return next(name for number in range(100) if placement.shard_of(name := f"{prefix}{number}") == shard)


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[ServerProcess]]:
    with serve_spread("--app", "relay", workers=2 * WORKERS, cwd=tmp_path_factory.mktemp("hosts")) as started:
        yield started


def gateway_of(host: ServerProcess) -> psutil.Process:
    return next(child for child in psutil.Process(host.pid).children() if "gateway" in " ".join(child.cmdline()))


async def come_and_go(host: ServerProcess, prefix: str, is_over: asyncio.Event) -> None:
    for number in itertools.count():
        async with await dialled(host, f"{prefix}{number}"):
            if is_over.is_set():
                return


async def test_load_of_each_host_is_known_on_both(hosts: list[ServerProcess]) -> None:
    clients = [await dialled(hosts[number % 2], f"c{number}") for number in range(3)]
    for host, others in zip(hosts, reversed(hosts), strict=True):
        async with AsyncControl(host.control) as control:
            rows = {row.address: row for row in await control.hosts(load=True)}
            for each, state in ((host, "this"), (others, "up")):
                row, connections = rows[each.url], 2 if each is hosts[0] else 1
                assert row.load is not None
                assert (row.state, row.connections, row.load.answering, row.load.rooms) == (
                    state,
                    connections,
                    WORKERS,
                    1,
                )
            stats = await control.stats()
            assert stats.totals.connections == rows[host.url].connections, "stats are those of the host that is asked"
    for client in clients:
        client.drop()


async def test_workers_that_were_added_are_counted_on_both(hosts: list[ServerProcess]) -> None:
    async with AsyncControl(hosts[0].control) as here, AsyncControl(hosts[1].control) as there, asyncio.timeout(60):
        for workers in (WORKERS + 1, WORKERS):
            await here.scale(workers)
            counts = {row.address: row.workers for row in await here.hosts()}
            assert counts[hosts[0].url] == workers
            while counts != {row.address: row.workers for row in await there.hosts()}:  # noqa: ASYNC110
                await asyncio.sleep(0.05)


async def test_events_of_either_host_are_told_on_both_with_its_name(hosts: list[ServerProcess]) -> None:
    async with AsyncControl(hosts[0].control) as first, AsyncControl(hosts[1].control) as second:
        names = {row.address: row.id for row in await first.hosts()}
        async with first.events("connect.") as here, second.events("connect.") as there, asyncio.timeout(20):
            # What is wanted on one host is known on the other a moment later.
            is_over = asyncio.Event()
            coming = [
                asyncio.create_task(come_and_go(host, f"e{number}-", is_over)) for number, host in enumerate(hosts)
            ]
            for events in (here, there):
                told = set[str | None]()
                while told != set(names.values()):
                    told.add((await anext(events)).host)
            is_over.set()
            await asyncio.gather(*coming)


async def test_watchers_hear_of_another_hosts_members_while_gateways_workers_and_hosts_end(
    hosts: list[ServerProcess],
) -> None:
    here, there = hosts
    ann = Watcher(await dialled(here, "ann", asks=True))
    await ann.sees(ann="connected")
    first, second = named(0, "first"), named(1, "second")
    others = [await dialled(there, name) for name in (first, second)]
    states = {"ann": "connected", first: "connected", second: "connected"}
    await ann.sees(**states)
    for number, host in enumerate((here, there)):
        gateway = gateway_of(host)
        gateway.kill()
        gateway.wait(10)
        # The first that is told is whoever comes now: nobody went when the gateway did.
        others.append(await dialled(there, f"next{number}"))
        states[f"next{number}"] = "connected"
        await ann.sees(**states)
    assert [what for what, _ in ann.told] == ["came"] * 4
    os.kill(there.worker_pids()[0], signal.SIGKILL)
    left = {name: state for name, state in states.items() if name == "ann" or Placement(WORKERS).shard_of(name)}
    await ann.sees(**left)
    there.terminate()
    there.wait()
    await ann.sees(ann="connected")
    assert [what for what, _ in ann.told] == ["came"] * 4 + ["went"] * 4
    for client in (ann.client, *others):
        client.drop()
