"""contract §4: send, broadcast, their errors and their order, across workers."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from tests.support.contract.server import ContractServer


async def test_send_reaches_a_session_wherever_it_lives(plain: ContractServer) -> None:
    bosses = await plain.clients_on_all_shards("bosses")
    for shard in range(plain.workers):
        name = plain.new_id("target", shard)
        async with await plain.client(name) as client:
            for number, boss in enumerate(bosses):
                assert await boss.order("send", to=name, payload=number) is None
                assert await client.expect("sent") == number
    for boss in bosses:
        await boss.close()


async def test_send_to_an_unknown_id_says_so_wherever_it_would_live(plain: ContractServer) -> None:
    async with await plain.client(plain.new_id()) as client:
        for shard in range(plain.workers):
            unknown = plain.new_id("nobody", shard)
            result = await client.order("send", to=unknown)
            assert result == {
                "error": "ConnectionNotFoundError",
                "text": f"wspulse: connection not found: {unknown}",
            }


async def test_direct_frames_keep_the_order_of_the_calls(plain: ContractServer) -> None:
    for shard in range(plain.workers):
        name = plain.new_id("target", shard)
        async with await plain.client(name) as client, await plain.client(plain.new_id("boss", shard + 1)) as boss:
            number = await boss.order_only("send_many", to=name, count=200)
            assert [(await client.expect("numbered"))[0] for _ in range(200)] == list(range(200))
            await boss.answer(number)


async def test_broadcast_reaches_every_session_of_its_room_and_nobody_else(plain: ContractServer) -> None:
    room, longer = plain.new_id("room"), plain.new_id("room")
    inside = [await plain.client(plain.new_id("in", shard), room) for shard in range(4)]
    # A room whose name begins with the other's.
    outside = [await plain.client(plain.new_id("out", shard), room + "x") for shard in range(4)]
    for number, client in enumerate(inside):
        await client.order("broadcast", room=longer, payload="nobody")
        await client.send("say", number)
        for member in inside:
            assert await member.expect("say") == number
    for client in outside:
        await client.send("echo", "first")
        assert await client.expect("echo") == "first"
    for client in inside + outside:
        await client.close()


async def test_broadcasts_of_one_caller_keep_their_order(plain: ContractServer) -> None:
    room = plain.new_id("room")
    members = [await plain.client(plain.new_id("member", shard), room) for shard in range(4)]
    async with await plain.client(plain.new_id("boss")) as boss:
        assert await boss.order("broadcast_many", room=room, count=250) == 250
    for member in members:
        assert [(await member.expect("numbered"))[0] for _ in range(250)] == list(range(250))
        await member.close()


async def test_all_members_get_the_broadcasts_of_all_in_one_order(plain: ContractServer) -> None:
    room = plain.new_id("room")
    members = [await plain.client(plain.new_id("member", shard), room) for shard in range(12)]

    async def talk(number: int) -> None:
        for turn in range(20):
            await members[number].send("say", [number, turn])

    async def listen(number: int) -> list[list[int]]:
        return [await members[number].expect("say") for _ in range(12 * 20)]

    talking = [asyncio.create_task(talk(number)) for number in range(12)]
    heard = await asyncio.gather(*(listen(number) for number in range(12)))
    await asyncio.gather(*talking)
    assert all(order == heard[0] for order in heard)
    for number in range(12):
        assert [turn for who, turn in heard[0] if who == number] == list(range(20))
    for member in members:
        await member.close()


async def test_frame_that_cannot_be_encoded_raises_to_its_sender_and_reaches_nobody(plain: ContractServer) -> None:
    room = plain.new_id("room")
    async with await plain.client(plain.new_id(), room) as client:
        assert (await client.order("send_unencodable"))["error"] == "TypeError"
        await client.send("echo", "next")
        assert await client.expect("echo") == "next"


@pytest.mark.parametrize("given", [5, None, ["lobby"], {"room": "lobby"}])
async def test_room_or_connection_id_that_is_not_a_string_raises_type_error(
    plain: ContractServer, given: object
) -> None:
    name = plain.new_id()
    async with await plain.client(name, plain.new_id("room")) as boss:
        refused = {
            "room": [
                await boss.order("broadcast", room=given),
                await boss.order("broadcast_nowait", room=given),
                await boss.order("list_room", room=given),
            ],
            "connection": [await boss.order("send", to=given), await boss.order("kick", id=given)],
        }
        for kind, results in refused.items():
            text = f"wspulse: a {kind} id must be a str, not {type(given).__name__}: {given!r}"
            assert results == [{"error": "TypeError", "text": text}] * len(results)
        await boss.send("echo", "it goes on")
        assert await boss.expect("echo") == "it goes on"


@pytest.mark.race
async def test_open_means_joined(plain: ContractServer, race_rounds: int, draw: Random) -> None:
    """A broadcast issued by somebody on another worker the moment the newcomer's socket is open reaches it."""
    busy = [plain.new_id("busy") for _ in range(3)]
    noise = [await plain.client(plain.new_id("noise"), room) for room in busy]
    bosses = await plain.clients_on_all_shards("bosses")
    for cycle in range(40 * race_rounds):
        room = draw.choice([plain.new_id("new"), *busy, f"left-{plain.new_id()[:3]}"])
        newcomer = await plain.client(plain.new_id("newcomer"), room)
        await draw.choice(bosses).order_only("broadcast", room=room, payload=cycle)
        while await newcomer.expect("said") != cycle:
            pass
        await newcomer.close()
    for client in noise:
        client.drop()
    for boss in bosses:
        await boss.close()
