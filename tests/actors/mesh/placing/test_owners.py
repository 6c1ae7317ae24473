"""Whoever asks by connection id finds the owner, in the order of the calls, wherever sessions go meanwhile."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from tests.actors.mesh.placing.moving_world import World


@pytest.mark.race
async def test_frames_keep_their_order_through_holds_redirects_and_flips(draw: Random, race_rounds: int) -> None:
    for _ in range(race_rounds):
        await play(draw)


async def play(draw: Random) -> None:
    names = [f"user-{number}" for number in range(draw.choice((1, 3, 12)))]
    world = World(draw, names)
    calls: list[asyncio.Task[None]] = []
    over = asyncio.Event()

    async def caller() -> None:
        while not over.is_set():
            calls.extend(asyncio.create_task(world.send(draw.choice(names))) for _ in range(draw.randrange(4)))
            await world.turns(4)
            await asyncio.sleep(0)

    callers = [asyncio.create_task(caller()) for _ in range(3)]
    try:
        for _ in range(4):
            source, target = draw.sample(range(4), 2)
            await world.move(source, target)
        over.set()
        await asyncio.gather(*callers)
        async with asyncio.timeout(10):
            await asyncio.gather(*calls)
        for name in names:
            assert world.got[name] == list(range(world.asked[name])), name
        assert not world.owners._last
        assert not world.owners._settling
        assert not world.owners._waiting
        assert -1 not in world.owners.placement._table
    finally:
        over.set()
        await asyncio.gather(*callers, *calls, return_exceptions=True)
        await world.stop()
