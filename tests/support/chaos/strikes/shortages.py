"""No descriptors, no memory, and a log that cannot be written."""

from __future__ import annotations

import asyncio
import resource
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from tests.support.chaos.stage import Stage
from tests.support.chaos.strikes.wellness import all_is_well, all_see_the_end
from tests.support.wire.raw_peer import RawPeer, head

__all__ = [
    "MAX_MEMORY_BYTES",
    "log_cannot_be_written",
    "memory_is_above_its_mark",
    "no_descriptors_are_left",
    "no_memory_is_given",
]

MIB = 1 << 20

MAX_MEMORY_BYTES = 600 * MIB
"""Four workers have some 160 MiB of a small application."""

HELD_BYTES = 700 * MIB

NEWCOMERS = 40

SHORT_FOR_S = 3.0

LOUD_FRAMES = 200
"""Each a line of 1,000 bytes: together far more than a pipe holds."""


@contextmanager
def _limited(pid: int, what: int, most: int) -> Iterator[None]:
    before = resource.prlimit(pid, what)
    resource.prlimit(pid, what, (most, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, what, before)


async def no_descriptors_are_left(stage: Stage) -> None:
    """Of one worker: what it has open stays open, and it can open nothing."""
    pid = stage.worker(0)
    with _limited(pid, resource.RLIMIT_NOFILE, 8):
        # Whoever has an id of that worker's waits for it, or is told 503 after the handshake timeout.
        knocking = asyncio.ensure_future(_knock(stage, "meanwhile"))
        await asyncio.sleep(SHORT_FOR_S)
        assert not stage.crowd.ends, stage.crowd.ends
    came = await knocking
    assert set(came) <= {"101", "503"}, came
    stage.saw(
        f"no descriptor for {SHORT_FOR_S:g} s: of {NEWCOMERS} newcomers {came['101']} came in, {came['503']} were told 503"
    )
    with stage.timed(f"all of {NEWCOMERS} others came in within {{}} after it"):
        await _until_all_come_in(stage, "afterwards")
    await all_is_well(stage)
    assert stage.worker(0) == pid


async def memory_is_above_its_mark(stage: Stage) -> None:
    """One worker's application takes more than `--max-memory` allows to all, then gives it back."""
    one = next(iter(stage.crowd.members.values())).socket
    await one.send(f'{{"event":"hold","payload":{HELD_BYTES}}}')
    with stage.timed("health says 503 after {}"):
        await stage.until(lambda: stage.health() == 503, 10, "the server is short of memory")
    came = await _knock(stage, "meanwhile")
    assert came == {"503": NEWCOMERS}, came
    await stage.crowd.hear_each_other()
    await one.send('{"event":"let go"}')
    with stage.timed(
        f"of {NEWCOMERS} newcomers {came['503']} were told 503; let in again {{}} after it was given back"
    ):
        await _until_all_come_in(stage, "afterwards")
    await all_is_well(stage)


async def no_memory_is_given(stage: Stage) -> None:
    """The kernel refuses a worker more: a handler raises MemoryError."""
    name, member = next(iter(stage.crowd.members.items()))
    (shard,) = {shard for shard in range(4) if name in await stage.members_of(shard)}
    pid = stage.worker(shard)
    with _limited(pid, resource.RLIMIT_AS, psutil.Process(pid).memory_info().vms + 128 * MIB):
        await member.socket.send(f'{{"event":"hold","payload":{HELD_BYTES}}}')
        await stage.until(lambda: name in stage.crowd.ends, 5, "its connection is closed")
        assert stage.crowd.ends == {name: (1011, "internal error")}
        stage.concerned.add(name)
        with stage.timed("the client whose handler raised was closed with 1011, and back after {}"):
            await stage.crowd.come_back()
        await all_is_well(stage)
    assert stage.worker(shard) == pid


async def log_cannot_be_written(stage: Stage) -> None:
    for member in stage.crowd.members.values():
        for _ in range(LOUD_FRAMES):
            await member.socket.send('{"event":"log"}')
    stage.saw(f"{len(stage.crowd.members) * LOUD_FRAMES:,} lines of 1,000 bytes")
    await all_is_well(stage)
    with stage.timed("SIGTERM ended it after {}"):
        stage.server.terminate()
        assert await asyncio.to_thread(stage.server.wait, 15) == 0
    await all_see_the_end(stage, 5)


async def _knock(stage: Stage, name: str) -> Counter[str]:
    """The statuses that newcomers get."""

    async def one(number: int) -> str:
        async with await RawPeer.dial(stage.server.port) as peer:
            peer.writer.write(head(f"/ws?room=newcomers&id={name}-{number}"))
            return (await peer.head()).split()[1].decode()

    return Counter(await asyncio.gather(*(one(number) for number in range(NEWCOMERS))))


async def _until_all_come_in(stage: Stage, name: str) -> None:
    async with asyncio.timeout(15):
        while await _knock(stage, name) != {"101": NEWCOMERS}:
            pass
