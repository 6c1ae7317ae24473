"""Rooms over several hosts: all members hear the same order, and who has its 101 hears what is said from then on."""

from __future__ import annotations

import asyncio
from random import Random

from tests.support.contract.server import ContractServer

__all__ = ["one_order", "open_means_joined"]


async def one_order(hosts: list[ContractServer], *, clients: int, frames: int, rounds: int) -> None:
    """So many clients on all hosts say so many frames each, all at once; round after round."""
    room = hosts[0].new_id("order")
    members = await asyncio.gather(
        *(hosts[number % len(hosts)].client(hosts[0].new_id("member"), room) for number in range(clients))
    )

    async def talk(number: int, first: int) -> None:
        for turn in range(first, first + frames):
            await members[number].send("say", [number, turn])

    async def listen(number: int) -> list[list[int]]:
        return [await members[number].expect("say") for _ in range(clients * frames)]

    for first in range(0, rounds * frames, frames):
        talking = [asyncio.create_task(talk(number, first)) for number in range(clients)]
        heard = await asyncio.gather(*(listen(number) for number in range(clients)))
        await asyncio.gather(*talking)
        assert all(order == heard[0] for order in heard), f"members differ: {heard}"
        for number in range(clients):
            assert [turn for who, turn in heard[0] if who == number] == list(range(first, first + frames))
    for member in members:
        await member.close()


async def open_means_joined(hosts: list[ContractServer], draw: Random, *, times: int) -> None:
    """A client comes on one host, and on the other a broadcast begins when it is open: in rooms that are new, that others are in,
    and that are just being left."""
    busy = [hosts[0].new_id("busy") for _ in range(3)]
    noise = [await draw.choice(hosts).client(hosts[0].new_id("noise"), room) for room in busy]
    bosses = [await host.client(host.new_id("boss"), "bosses") for host in hosts]
    for cycle in range(times):
        here = cycle % len(hosts)
        room = draw.choice([hosts[0].new_id("new"), *busy, f"left-{cycle // 2 % 5}"])
        newcomer = await hosts[here].client(hosts[0].new_id("newcomer"), room)
        await bosses[1 - here].order_only("broadcast", room=room, payload=cycle)
        while await newcomer.expect("said") != cycle:
            pass
        await newcomer.close()
    for client in [*noise, *bosses]:
        client.drop()
