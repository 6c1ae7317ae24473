"""Presence on two real hosts, whose parts die: watchers are told of it once, and of nothing that was not so."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
from websockets.asyncio.client import connect

from tests.support.contract.client import Client
from tests.support.contract.spread import serve_spread
from tests.support.contract.watcher import Watcher
from tests.support.processes.server_process import ServerProcess
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


def gateway_of(host: ServerProcess) -> psutil.Process:
    return next(child for child in psutil.Process(host.pid).children() if "gateway" in " ".join(child.cmdline()))


async def test_watchers_hear_of_another_hosts_members_while_gateways_workers_and_hosts_end(tmp_path: Path) -> None:
    with serve_spread("--app", "relay", workers=2 * WORKERS, cwd=tmp_path) as (here, there):
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
