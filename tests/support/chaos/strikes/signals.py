"""Signals, to each kind of process."""

from __future__ import annotations

import asyncio
import os
import signal

from tests.support.chaos.stage import WORKERS, Stage
from tests.support.chaos.strikes.processes import helpers
from tests.support.chaos.strikes.wellness import all_are_replaced, all_is_well, loses_a_worker_and_gets_it_back

__all__ = [
    "each_worker_is_told_to_go",
    "group_hangs_up",
    "helper_gets_each_signal",
    "supervisor_gets_each_harmless_signal",
    "supervisor_hangs_up",
    "worker_gets_each_deadly_signal",
    "worker_gets_each_harmless_signal",
]

DEADLY = {getattr(signal, f"SIG{name}") for name in ("KILL", "SEGV", "BUS", "FPE", "ILL", "ABRT", "SYS", "TRAP")}
ENDING = {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT}
STOPPING = {signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU}
"""SIGTTIN and SIGTTOU by their default alone."""

SCALING = {signal.SIGTTIN, signal.SIGTTOU}


def _harmless() -> list[int]:
    deadly = DEADLY | ENDING | STOPPING | {signal.SIGHUP}
    return sorted(int(number) for number in signal.valid_signals() if number not in deadly)


async def supervisor_gets_each_harmless_signal(stage: Stage) -> None:
    numbers = _harmless()
    for number in numbers:
        os.kill(stage.server.pid, number)
        await asyncio.sleep(0.02)
    stage.saw(f"{len(numbers)} signals")
    await all_is_well(stage)


async def worker_gets_each_harmless_signal(stage: Stage) -> None:
    pids = stage.server.worker_pids()
    numbers = (*_harmless(), signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, *SCALING)
    for number in numbers:
        os.kill(pids[0], number)
        await asyncio.sleep(0.02)
    stage.saw(f"{len(numbers)} signals")
    await all_is_well(stage)
    assert stage.server.worker_pids() == pids


async def helper_gets_each_signal(stage: Stage) -> None:
    assert helpers(stage), "there is nobody to be struck"
    for number in sorted(signal.valid_signals() - {signal.SIGSTOP, signal.SIGTSTP, *SCALING}):
        for pid in helpers(stage):
            os.kill(pid, number)
        await asyncio.sleep(0.02)
    await all_is_well(stage)


async def worker_gets_each_deadly_signal(stage: Stage) -> None:
    # In turn, so that none of them waits long for its next start.
    for turn, number in enumerate(sorted(DEADLY)):
        await loses_a_worker_and_gets_it_back(stage, turn % WORKERS, number)


async def each_worker_is_told_to_go(stage: Stage) -> None:
    for shard in range(WORKERS):
        await loses_a_worker_and_gets_it_back(stage, shard, signal.SIGTERM)
    restarts = [worker.restarts for worker in (await stage.stats()).workers]
    assert restarts == [0] * WORKERS, "a SIGTERM was counted as a crash"


async def supervisor_hangs_up(stage: Stage) -> None:
    """SIGHUP reloads: every worker is another one then."""
    before = stage.server.worker_pids()
    os.kill(stage.server.pid, signal.SIGHUP)
    await all_are_replaced(stage, before)
    await all_is_well(stage)


async def group_hangs_up(stage: Stage) -> None:
    before = stage.server.worker_pids()
    os.killpg(stage.server.pid, signal.SIGHUP)
    await all_are_replaced(stage, before)
    await all_is_well(stage)
