"""Processes that are stopped for a while, as by a debugger or a machine that swaps, and go on."""

from __future__ import annotations

import asyncio

from tests.support.chaos.stage import WORKERS, Stage
from tests.support.chaos.strikes.processes import busier_terminator, helpers
from tests.support.chaos.strikes.wellness import all_is_well

__all__ = [
    "all_are_stopped",
    "bus_is_slow",
    "each_helper_is_stopped",
    "supervisor_is_stopped",
    "terminator_is_stopped",
    "worker_is_stopped",
]

AWAY_S = 8.0
HELPER_AWAY_S = 3.0

OTHERS_S = 1.0
"""How long at most a frame takes between clients that the strike does not concern: a busy machine's worst turn, far below
`AWAY_S`."""

SLOW_FOR_S = 8.0
OUT_S, IN_S = 0.4, 0.1
"""The bus stands still for the one, and has the other to go on."""


async def worker_is_stopped(stage: Stage) -> None:
    """It takes no broadcasts for so long. Rooms that have members of it wait, as their order is one; others do not."""
    theirs = await stage.members_of(0)
    with stage.stopped(stage.worker(0)):
        await asyncio.sleep(AWAY_S)
        others_s = max(stage.crowd.longest_in(shard) for shard in range(1, WORKERS))
    stage.saw(f"stopped for {AWAY_S:g} s; {len(theirs)} clients on it")
    stage.saw(f"longest wait in rooms without its clients {others_s:.2f} s")
    assert others_s < OTHERS_S
    await all_is_well(stage)


async def supervisor_is_stopped(stage: Stage) -> None:
    """The bus between workers runs in it."""
    loop = asyncio.get_running_loop()
    with stage.stopped(stage.server.pid):
        end = loop.time() + AWAY_S
        with stage.timed("health says 503 after {}"):
            await stage.until(lambda: stage.health() == 503, AWAY_S, "health says that rooms stand still")
        await asyncio.sleep(end - loop.time())
        assert not stage.crowd.ends, stage.crowd.ends
    stage.saw(f"stopped for {AWAY_S:g} s")
    await all_is_well(stage)


async def terminator_is_stopped(stage: Stage) -> None:
    """It carries nothing for so long. The other one takes who comes."""
    loop = asyncio.get_running_loop()
    victim, theirs = busier_terminator(stage)
    with stage.stopped(victim):
        end = loop.time() + AWAY_S
        await stage.until(lambda: "a TLS terminator is silent" in stage.server.stderr(), AWAY_S, "it is told")
        assert stage.health() == 200
        await asyncio.sleep(end - loop.time())
        assert not stage.crowd.ends, stage.crowd.ends
    stage.saw(f"stopped for {AWAY_S:g} s; {len(theirs)} clients on it")
    await all_is_well(stage)


async def each_helper_is_stopped(stage: Stage) -> None:
    found = helpers(stage)
    assert found, "there is nobody to be stopped"
    with stage.stopped(*found):
        await asyncio.sleep(HELPER_AWAY_S)
    await all_is_well(stage)


async def all_are_stopped(stage: Stage) -> None:
    with stage.stopped(*stage.server.pids()):
        await asyncio.sleep(AWAY_S)
    stage.saw(f"stopped for {AWAY_S:g} s")
    await all_is_well(stage)


async def bus_is_slow(stage: Stage) -> None:
    """What forwards broadcasts is a thread of the supervisor's: it gets a fifth of the time."""
    rounds = round(SLOW_FOR_S / (OUT_S + IN_S))
    for _ in range(rounds):
        with stage.stopped(stage.server.pid):
            await asyncio.sleep(OUT_S)
        await asyncio.sleep(IN_S)
    stage.saw(f"stopped {rounds} times for {OUT_S:g} s, with {IN_S:g} s in between")
    await all_is_well(stage)
    totals = (await stage.stats()).totals
    stage.saw(f"{totals.bus_gaps} messages of the bus missing, {totals.bus_stalls} stalls")
