"""Processes that are killed, and the server that ends."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import psutil

from tests.support.chaos.stage import WORKERS, Stage
from tests.support.chaos.strikes.wellness import all_is_well, all_see_the_end, loses_a_worker_and_gets_it_back

__all__ = [
    "admin_is_killed",
    "busier_terminator",
    "each_helper_is_killed",
    "each_worker_is_killed",
    "ends_by",
    "group_ends_by",
    "helpers",
    "supervisor_is_killed",
    "terminator_is_killed",
]

BACK_S = 6.0
"""Of a process beside the workers."""


async def each_worker_is_killed(stage: Stage) -> None:
    for shard in range(WORKERS):
        await loses_a_worker_and_gets_it_back(stage, shard)


async def each_helper_is_killed(stage: Stage) -> None:
    found = helpers(stage)
    assert found, "there is nobody to be killed"
    for pid in found:
        os.kill(pid, signal.SIGKILL)
    await all_is_well(stage)
    await loses_a_worker_and_gets_it_back(stage, 0)


def helpers(stage: Stage) -> set[int]:
    """Processes that Python itself has started."""
    return stage.server.pids() - {stage.server.pid, *stage.server.worker_pids().values()}


def busier_terminator(stage: Stage) -> tuple[int, set[str]]:
    """Of two the one that has more clients, and those."""
    clients = {pid: _clients_of(stage, pid) for pid in stage.companions("tls")}
    assert len(clients) == 2, clients
    pid = max(clients, key=lambda pid: len(clients[pid]))
    assert clients[pid], "it has no clients"
    return pid, clients[pid]


async def terminator_is_killed(stage: Stage) -> None:
    victim, theirs = busier_terminator(stage)
    workers = stage.server.worker_pids()
    began = time.monotonic()
    os.kill(victim, signal.SIGKILL)
    await stage.until(lambda: theirs <= set(stage.crowd.ends), 5, "its clients see the end")
    assert set(stage.crowd.ends) == theirs, "others were cut off"
    stage.concerned |= theirs
    await stage.crowd.come_back()
    stage.returns.append((len(theirs), time.monotonic() - began))
    await stage.until(lambda: len(set(stage.companions("tls")) - {victim}) == 2, BACK_S, "it is replaced")
    stage.saw(f"replaced after {time.monotonic() - began:.2f} s")
    await all_is_well(stage)
    assert stage.server.worker_pids() == workers


def _clients_of(stage: Stage, pid: int) -> set[str]:
    ports = {each.raddr.port for each in psutil.Process(pid).net_connections("tcp") if each.raddr}
    return {name for name, member in stage.crowd.members.items() if member.socket.local_address[1] in ports}


async def admin_is_killed(stage: Stage) -> None:
    (pid,) = stage.companions("admin")
    await stage.until(lambda: stage.admin_status("/ready") == 200, 5, "the admin address says that it is ready")
    os.kill(pid, signal.SIGKILL)
    with stage.timed("/ready answers again after {}"):
        await stage.until(
            lambda: stage.companions("admin") not in ([], [pid]) and stage.admin_status("/ready") == 200,
            BACK_S,
            "the admin address answers again",
        )
    await all_is_well(stage)


async def supervisor_is_killed(stage: Stage) -> None:
    with stage.timed("no process of it left after {}"):
        os.kill(stage.server.pid, signal.SIGKILL)
        await asyncio.to_thread(stage.server.wait_gone, 6)
    await all_see_the_end(stage)


async def ends_by(stage: Stage, number: int) -> None:
    """The supervisor is asked to end."""
    with stage.timed("ended after {}"):
        os.kill(stage.server.pid, number)
        await asyncio.to_thread(stage.server.wait_gone, 6)
    await all_see_the_end(stage)
    assert stage.server.wait() == 0


async def group_ends_by(stage: Stage, number: int) -> None:
    """As from a terminal: every process gets it."""
    with stage.timed("ended after {}"):
        os.killpg(stage.server.pid, number)
        await asyncio.to_thread(stage.server.wait_gone, 12)
    assert stage.server.wait() == 0
    await all_see_the_end(stage)
