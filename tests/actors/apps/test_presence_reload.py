"""Presence while workers are replaced, for real: sessions, watchers among them, move between processes of one loop."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from tests.actors.apps.test_presence import Member, member, relay
from tests.support.shards.conductor import Conductor
from tests.support.shards.shards import serve_shards
from wspulse.actors.mesh.lifecycle import MovedOut


async def quiet(watcher: Member) -> None:
    """Read what it is told until nothing has come for longer than changes are gathered."""
    while True:
        try:
            async with asyncio.timeout(0.3):
                await watcher.read()
        except TimeoutError:
            return


@pytest.mark.parametrize("count", [2, 4])
async def test_reload_of_every_worker_shows_nobody_going_or_coming(count: int) -> None:
    async with serve_shards(relay, count) as shards:
        placement = shards.runtimes[0].placement
        names = {placement.new_id(number): number for number in range(count) for _ in range(3)}
        plain = {placement.new_id(number): number for number in range(count) for _ in range(20)}
        everybody = names | plain
        async with asyncio.timeout(60), AsyncExitStack() as stack:
            watchers = {name: await stack.enter_async_context(member(shards, name)) for name in names}
            for name in plain:
                await stack.enter_async_context(member(shards, name, asks=False))
            for watcher in watchers.values():
                await watcher.sees(**dict.fromkeys(everybody, "connected"))
            for watcher in watchers.values():
                await quiet(watcher)
                watcher.told.clear()
            conductor = Conductor(shards)
            for number in range(count):
                outcome = await conductor.reload(number)
                assert isinstance(outcome, MovedOut)
                assert outcome.drained == 0
            await asyncio.gather(*(quiet(watcher) for watcher in watchers.values()))
            for watcher in watchers.values():
                assert watcher.told == []
                assert {name: worker for name, (worker, _) in watcher.room.items()} == everybody
            assert sum(runtime.connections for runtime in shards.runtimes) == len(everybody)
            # They go on being told.
            gone = min(names)
            await watchers.pop(gone).client.close()
            for watcher in watchers.values():
                await watcher.sees(**{name: "suspended" if name == gone else "connected" for name in everybody})
