"""What is to hold after every strike."""

from __future__ import annotations

import os
import signal
import time

from tests.support.chaos.stage import WORKERS, Stage

__all__ = [
    "REPLACED_S",
    "all_are_replaced",
    "all_is_well",
    "all_see_the_end",
    "loses_a_worker_and_gets_it_back",
]

REPLACED_S = 8.0
"""A backoff of at most 5 s, and a start."""


async def all_is_well(stage: Stage) -> None:
    """Nobody was cut off, nothing was lost or doubled, and what an operator sees says so."""
    assert not stage.crowd.ends, stage.crowd.ends
    await stage.crowd.hear_each_other()
    stage.crowd.assert_in_order()
    await stage.until(lambda: stage.health() == 200, 5, "health says ok")
    await stage.all_are_ready(REPLACED_S)
    # A probe reaches one worker, and the next one another.
    await stage.all_are_well(5)
    assert (await stage.stats()).totals.bus_gaps == 0


async def loses_a_worker_and_gets_it_back(stage: Stage, shard: int, number: int = signal.SIGKILL) -> None:
    """Only its clients are cut off, and all of them come back."""
    theirs = await stage.members_of(shard)
    pid = stage.worker(shard)
    began = time.monotonic()
    os.kill(pid, number)
    await stage.until(lambda: theirs <= set(stage.crowd.ends), 8, "its clients see the end")
    assert set(stage.crowd.ends) == theirs, "others were cut off"
    # Of a worker that dies nobody is told anything.
    told = 1001 if number == signal.SIGTERM else 1006
    assert {code for code, _ in stage.crowd.ends.values()} == {told}, stage.crowd.ends
    stage.concerned |= theirs
    await stage.crowd.come_back()
    stage.returns.append((len(theirs), time.monotonic() - began))
    await stage.until(lambda: stage.server.worker_pids().get(shard) not in (None, pid), REPLACED_S, "it is replaced")
    await stage.all_are_ready(REPLACED_S)
    await all_is_well(stage)


async def all_are_replaced(stage: Stage, before: dict[int, int], timeout_s: float = 30) -> None:
    """Every worker is another one than `before`, and its clients have not noticed."""

    def is_done() -> bool:
        pids = stage.server.worker_pids()
        return len(pids) == WORKERS and not set(before.values()) & set(pids.values())

    await stage.until(is_done, timeout_s, "all workers are replaced")
    await stage.all_are_ready(REPLACED_S)
    assert stage.crowd.ends == {}, "sockets were closed"


async def all_see_the_end(stage: Stage, timeout_s: float = 2) -> None:
    """Every client is told that the server ends."""
    await stage.until(lambda: len(stage.crowd.ends) == len(stage.crowd.members), timeout_s, "all see the end")
    assert {end[0] for end in stage.crowd.ends.values()} == {1001}, stage.crowd.ends
    stage.concerned |= set(stage.crowd.ends)
    stage.saw(f"{len(stage.concerned)} clients: all closed with 1001")
    # What is under way when the end is told need not arrive, but what arrives is in order.
    stage.crowd.assert_in_order()
