"""What happens to the server of the moving crowd while its clients talk: each step by itself, one after another.

A step notes what the server answered, and what was wrong with that. On the command line it is `name` or `name:argument`.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from tests.support.crowds.moving.belongings import Belongings
from tests.support.processes.server_process import ServerProcess
from wspulse import AsyncControl, ControlError
from wspulse.supervisor.protocol.calls import Call

__all__ = ["STEPS", "Row", "Stage", "parsed"]

LOOK_S = 0.3
REPLACED_WITHIN_S = 90.0
ANSWER_S = 120.0


@dataclass
class Row:
    """One answer."""

    what: str
    took_s: float
    moved: int | None = None
    drained: int | None = None
    longest_pause_s: float | None = None

    def __str__(self) -> str:
        if self.moved is None:
            return f"{self.what}: {self.took_s:.2f} s, and the server does not say what has moved"
        assert self.longest_pause_s is not None
        return (
            f"{self.what}: {self.took_s:.2f} s, {self.moved:,} moved, {self.drained} closed, "
            f"longest pause {1000 * self.longest_pause_s:.1f} ms"
        )


@dataclass
class Stage:
    """What steps have in hand."""

    server: ServerProcess
    control: AsyncControl
    folder: Path
    random: Random
    rows: list[Row] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    victims: set[str] = field(default_factory=set)
    """Clients whose sessions may have ended with a process."""
    has_unfinished: bool = False
    """There are processes that could not note how much they have sent."""
    is_over: bool = False
    """The server was told to end."""
    is_drained: bool = False
    """All were told to come back later."""

    async def ask(self, op: str, **args: Any) -> Any:
        return await self.control.call(Call(op, args, Any, timeout_s=ANSWER_S))

    async def pids(self) -> dict[int, int]:
        return await asyncio.to_thread(self.server.worker_pids)

    async def until(self, condition: Callable[[], Awaitable[Any]], what: str) -> Any:
        end = time.monotonic() + REPLACED_WITHIN_S
        while not (value := await condition()):
            if time.monotonic() > end:
                self.faults.append(f"after {REPLACED_WITHIN_S:g} s still not true: {what}")
                return None
            await asyncio.sleep(0.02)
        return value

    def note(self, what: str, began: float, answer: Any) -> None:
        """An answer: of one worker, or of each of several."""
        took_s = time.monotonic() - began
        parts = answer if isinstance(answer, list) else [answer]
        if not parts or not all(isinstance(part, dict) and "moved" in part for part in parts):
            self.rows.append(Row(what, took_s))
            return
        moved, drained = (sum(part[name] for part in parts) for name in ("moved", "drained"))
        self.rows.append(Row(what, took_s, moved, drained, max(part["longest_pause_s"] for part in parts)))

    async def hold_replaced(self, before: dict[int, int], *, only: int | None = None) -> None:
        """Each worker, or one, is another process than before, and there is one for each number."""

        async def is_so() -> bool:
            now = await self.pids()
            return now.keys() == before.keys() and all(
                (now[shard] != pid) == (only is None or shard == only) for shard, pid in before.items()
            )

        await self.until(is_so, "the workers are other processes than before")


@asynccontextmanager
async def listed(stage: Stage) -> AsyncIterator[None]:
    """Meanwhile each session is in the list of connections all the time, and once."""
    clients = set(json.loads(await asyncio.to_thread((stage.folder / "settings.json").read_text))["ids"])
    # Of those whose session is closed, as it must be.
    clients = {client for client in clients if not client.startswith("stuck")}
    is_over = asyncio.Event()

    async def look() -> None:
        while not is_over.is_set():
            rows = await stage.control.connections()
            counts = Counter(row.id for row in rows)
            if twice := [client for client, count in counts.items() if count > 1]:
                stage.faults.append(f"{len(twice)} connections are listed twice, e.g. {twice[0]}")
            if rows.missing_shards or (missing := clients - counts.keys()):
                which = (
                    f"workers {rows.missing_shards}" if rows.missing_shards else f"{len(missing)}, e.g. {min(missing)}"
                )
                stage.faults.append(f"of all connections these are not listed: {which}")
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await is_over.wait()

    looking = asyncio.create_task(look())
    try:
        yield
    finally:
        is_over.set()
        await looking


Step = Callable[[Stage, str], Awaitable[None]]


async def reload(stage: Stage, argument: str) -> None:
    for _ in range(int(argument or 1)):
        before, began = await stage.pids(), time.monotonic()
        async with listed(stage):
            stage.note("reload", began, await stage.ask("reload"))
        await stage.hold_replaced(before)


async def drain(stage: Stage, argument: str) -> None:
    """Reload without moving anybody."""
    before, began = await stage.pids(), time.monotonic()
    stage.is_drained = True
    stage.note("reload, with all closed", began, await stage.ask("reload", drain=True))
    await stage.hold_replaced(before)


async def hangup(stage: Stage, argument: str) -> None:
    """Reload as SIGHUP asks for it."""
    for _ in range(int(argument or 1)):
        before, began = await stage.pids(), time.monotonic()
        stage.server.signal(signal.SIGHUP)
        await stage.hold_replaced(before)
        stage.note("SIGHUP", began, None)


async def restart(stage: Stage, argument: str) -> None:
    shard, before, began = int(argument or 0), await stage.pids(), time.monotonic()
    async with listed(stage):
        stage.note(f"restart {shard}", began, await stage.ask("restart", shard=shard))
    await stage.hold_replaced(before, only=shard)


async def scale(stage: Stage, argument: str) -> None:
    for workers in map(int, argument.split(",")):
        before, began = await stage.pids(), time.monotonic()
        async with listed(stage):
            stage.note(f"scale {len(before)} → {workers}", began, await stage.ask("scale", workers=workers))

        async def has_so_many(workers: int = workers) -> bool:
            return set(await stage.pids()) == set(range(workers))

        await stage.until(has_so_many, f"there are {workers} workers")


async def at_once(stage: Stage, argument: str) -> None:
    """Two reloads of which the second finds the first under way: it is one."""
    before, began = await stage.pids(), time.monotonic()
    first = asyncio.create_task(stage.ask("reload"))
    await asyncio.sleep(stage.random.uniform(0, 0.5))
    seen: set[int] = set()

    async def watch() -> None:
        while True:
            seen.update((await stage.pids()).values())
            await asyncio.sleep(0.02)

    watching = asyncio.create_task(watch())
    try:
        answers = await asyncio.gather(first, stage.ask("reload"))
    finally:
        watching.cancel()
    stage.note("two reloads at once", began, answers[0])
    if answers[0] != answers[1]:
        stage.faults.append(f"two reloads at once were answered {answers[0]} and {answers[1]}")
    await stage.hold_replaced(before)
    if len(seen | set((await stage.pids()).values())) > 2 * len(before):
        stage.faults.append(f"two reloads at once have started more than {len(before)} workers")


async def broken(stage: Stage, argument: str) -> None:
    """Reload to code that cannot start; nobody notices."""
    app, before = stage.folder / "app.py", await stage.pids()
    text = await asyncio.to_thread(app.read_text)
    endings = {"syntax": "def nothing(:\n", "start": "\n@server.on_start\nasync def fail(): raise OSError('away')\n"}
    await asyncio.to_thread(app.write_text, text + endings[argument or "syntax"])
    began = time.monotonic()
    try:
        await stage.ask("reload")
        stage.faults.append("a reload to broken code was answered as one that went well")
    except ControlError as error:
        if error.error_code != "start_failed":
            stage.faults.append(f"a reload to broken code was answered {error.error_code}: {error}")
    finally:
        await asyncio.to_thread(app.write_text, text)
    stage.note("reload to broken code", began, None)
    # One whose on_start fails may have said something before.
    stage.has_unfinished |= argument == "start"

    async def is_as_before() -> bool:
        return await stage.pids() == before

    await stage.until(is_as_before, "the workers are those that were there")


async def kill(stage: Stage, argument: str) -> None:
    """SIGKILL for the old or the new process of a worker at some moment of a reload."""
    shards = {row.id: row.shard for row in await stage.control.connections()}
    before, began = await stage.pids(), time.monotonic()
    victim = stage.random.choice(sorted(before))
    others = await asyncio.to_thread(stage.server.pids)
    restarting = asyncio.create_task(stage.ask("restart", shard=victim))
    target = await stage.until(lambda: _newcomer(stage, others), "the replacement's process is there")
    if stage.random.random() < 0.3:
        # Anywhere from its interpreter's first moment to when all is long over.
        await asyncio.sleep(stage.random.uniform(0, 2.5))
    else:
        await _first_moves(stage)
        await asyncio.sleep(stage.random.choice((0, 0.005, 0.03, 0.2)))
    pid = before[victim] if argument == "old" else target
    with suppress(ProcessLookupError, TypeError):
        os.kill(pid, signal.SIGKILL)
    stage.has_unfinished = True
    stage.victims |= {client for client, shard in shards.items() if shard == victim}
    answer: Any = None
    with suppress(ControlError):
        answer = await restarting
    stage.note(f"kill {argument} during restart {victim}", began, answer)

    async def is_whole() -> bool:
        now = await stage.pids()
        stats = await stage.ask("stats")
        return now.keys() == before.keys() and all(worker["state"] == "ready" for worker in stats["workers"])

    await stage.until(is_whole, "all workers are ready again")


async def leaks(stage: Stage, argument: str) -> None:
    """After so many reloads the server has no more of anything than after two."""
    await reload(stage, "2")
    await asyncio.sleep(2)
    after_two = await asyncio.to_thread(Belongings.now, stage.server)
    await reload(stage, str(int(argument or 50) - 2))
    stage.faults += await asyncio.to_thread(after_two.grown, stage.server)


async def terminate(stage: Stage, argument: str) -> None:
    """SIGTERM while a reload moves sessions. Nothing can follow."""
    reloading = asyncio.create_task(stage.ask("reload"))
    await asyncio.sleep(stage.random.uniform(0, float(argument or 2)))
    began, stage.is_over = time.monotonic(), True
    stage.server.terminate()
    with suppress(ControlError):
        async with asyncio.timeout(20):
            await reloading
    code = await asyncio.to_thread(stage.server.wait, 30)
    stage.note("SIGTERM", began, None)
    if code != 0:
        stage.faults.append(f"the server ended with exit code {code}")


async def wait(stage: Stage, argument: str) -> None:
    """Do nothing, to compare with."""
    async with listed(stage):
        await asyncio.sleep(float(argument or 1))


async def _first_moves(stage: Stage) -> None:
    """Until sessions move, as the application has noted; or for a while, where none does."""

    def size_bytes() -> int:
        return sum(path.stat().st_size for path in stage.folder.glob("notes-*"))

    # The new process notes that it has begun, which is less.
    enough, until = size_bytes() + 60, time.monotonic() + 5
    while size_bytes() < enough and time.monotonic() < until:  # noqa: ASYNC110
        await asyncio.sleep(0.002)


async def _newcomer(stage: Stage, others: set[int]) -> int | None:
    """The process that was not there: a child's title says what it is only some time after its start."""
    return next(iter(await asyncio.to_thread(stage.server.pids) - others), None)


STEPS: dict[str, Step] = {
    "reload": reload,
    "drain": drain,
    "hangup": hangup,
    "restart": restart,
    "scale": scale,
    "at-once": at_once,
    "broken": broken,
    "kill": kill,
    "leaks": leaks,
    "terminate": terminate,
    "wait": wait,
}


def parsed(text: str) -> tuple[str, str]:
    """Its name and its argument. Raises ValueError for what is no step."""
    name, _, argument = text.partition(":")
    if name not in STEPS:
        raise ValueError(f"{text}: no step; there are {', '.join(STEPS)}")
    return name, argument
