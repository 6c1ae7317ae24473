"""Connections of one id on two hosts: there is one session at any time, and its callbacks and those of the next do not overlap.

The application notes each callback when it begins, and those that take their time also when they end, in one file of all hosts.
"""

from __future__ import annotations

import asyncio
from itertools import pairwise
from random import Random

from tests.support.contract.client import Client
from tests.support.contract.server import ContractServer

__all__ = ["at_once", "one_after_the_other"]

KICKED = (1000, "duplicate connection id")


async def one_after_the_other(hosts: list[ContractServer], draw: Random, *, times: int) -> None:
    """Each kicks the one before, on the other host, at whatever moment of its beginning or its end."""
    name, notes = hosts[0].new_id("again"), hosts[0].notes
    old: Client | None = None
    for number in range(times):
        slow = draw.choice(("", "on_connect:0.02", "on_disconnect:0.02"))
        new = await hosts[number % len(hosts)].client(name, slow=slow)
        if old is not None:
            assert await old.closed() == KICKED
        await asyncio.sleep(draw.choice((0, 0, 0.005, 0.03)))
        old = new
    assert old is not None
    await notes.has(name, "connect", times)
    await _end(hosts[0], name, [old])
    await notes.has(name, "disconnect", times)
    _look_at(notes.kinds(name), times)


async def at_once(hosts: list[ContractServer], draw: Random, *, times: int) -> None:
    """Two newcomers of one id come at the same moment, each on its host."""
    notes = hosts[0].notes
    for number in range(times):
        name, room = hosts[0].new_id("pair"), hosts[0].new_id("room")

        async def come(host: ContractServer, late_s: float, name: str = name, room: str = room) -> Client:
            await asyncio.sleep(late_s)
            return await host.client(name, room, slow=draw.choice(("", "on_connect:0.01", "on_disconnect:0.01")))

        late_s = draw.choice((0.0, draw.uniform(0, 0.01)))
        pair = list(await asyncio.gather(come(hosts[number % 2], 0.0), come(hosts[1 - number % 2], late_s)))
        await notes.has(name, "connect", 2)
        [left] = await _left(pair)
        assert await left.order("list_room", room=room) == [name]
        await _end(hosts[0], name, [left])
        await notes.has(name, "disconnect", 2)
        _look_at(notes.kinds(name), 2)


async def _left(pair: list[Client]) -> list[Client]:
    """That was not kicked."""
    ends = {asyncio.create_task(client.closed()): client for client in pair}
    done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    for end in ends.keys() - done:
        end.cancel()
    await asyncio.gather(*ends, return_exceptions=True)
    for end in done:
        assert end.result() == KICKED
    return [client for end, client in ends.items() if end not in done]


async def _end(host: ContractServer, name: str, clients: list[Client]) -> None:
    async with await host.client(host.new_id("boss"), "bosses") as boss:
        assert await boss.order("kick", id=name) is None
    for client in clients:
        assert await client.closed() == (1000, "kicked")


def _look_at(kinds: list[str], sessions: int) -> None:
    """No callback begins before the one before has ended, and each session has its two."""
    begun = [kind for kind in kinds if not kind.endswith("returns")]
    assert begun == ["connect", "disconnect"] * sessions, begun
    for kind, following in pairwise(kinds):
        if following.endswith("returns"):
            assert kind == following.removeprefix("on_").removesuffix(" returns"), f"{following} behind {kind}"
