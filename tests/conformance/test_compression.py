"""contract §1 and §5, `compression`: clients with and without it share sessions, rooms and their order."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory, PerMessageDeflate

from tests.conformance.conftest import RESUME_WINDOW_S
from tests.support.contract.client import Client
from tests.support.contract.exact_client import ExactClient
from tests.support.contract.server import ContractServer, contract_server
from tests.support.wire.compressed import compressed_frame, deflated
from tests.support.wire.frame_streams import client_frame
from tests.support.wire.raw_peer import RawPeer
from wspulse.actors.wire.frames import BINARY, CLOSE, TEXT

OFFER = "Sec-WebSocket-Extensions: permessage-deflate"
LONG = "größer 🎈 " * 60

KINDS: dict[str, tuple[ClientPerMessageDeflateFactory, ...]] = {
    "plain": (),
    "as browsers": (ClientPerMessageDeflateFactory(),),
    "small windows": (ClientPerMessageDeflateFactory(server_max_window_bits=9, client_max_window_bits=9),),
}


@pytest.fixture(scope="module")
def compressing(workers: int) -> Iterator[ContractServer]:
    with contract_server(
        workers, compression="deflate", resume_window=RESUME_WINDOW_S, max_message_size=20_000, send_buffer_size=500
    ) as server:
        yield server


def agreed(client: Client) -> PerMessageDeflate:
    (extension,) = client.socket.protocol.extensions
    assert isinstance(extension, PerMessageDeflate)
    return extension


@pytest.mark.parametrize("window_bits", range(9, 16))
async def test_client_gets_what_it_offers_from_the_worker_that_owns_its_id(
    compressing: ContractServer, window_bits: int
) -> None:
    offer = ClientPerMessageDeflateFactory(server_max_window_bits=window_bits, client_max_window_bits=window_bits)
    for shard in range(compressing.workers):
        name = compressing.new_id("offers", shard)
        async with await compressing.client(name, extensions=[offer]) as client:
            extension = agreed(client)
            assert (extension.local_max_window_bits, extension.remote_max_window_bits) == (window_bits, window_bits)
            assert extension.local_no_context_takeover
            assert extension.remote_no_context_takeover
            for payload in ("short", LONG, [LONG, LONG * 5], "short"):
                # There, and back.
                await client.order_only("send", to=name, payload=payload)
                assert await client.expect("sent") == payload
                await client.expect("done")


async def test_members_of_every_kind_get_the_broadcasts_of_all_in_one_order(compressing: ContractServer) -> None:
    room = compressing.new_id("room")
    kinds = [*KINDS.values()] * 2
    members = [
        await compressing.client(compressing.new_id("member", shard), room, extensions=extensions)
        for shard in range(compressing.workers)
        for extensions in kinds
    ]
    bosses = [
        await compressing.client(compressing.new_id("boss", shard), "bosses", extensions=extensions)
        for shard, extensions in enumerate(kinds)
    ]
    per_boss = 40
    numbers = [
        await boss.order_only("broadcast_many", room=room, count=per_boss, first=1000 * number, size=number * 150)
        for number, boss in enumerate(bosses)
    ]

    async def heard(member: Client) -> list[Any]:
        return [await member.expect("numbered") for _ in range(per_boss * len(bosses))]

    orders = await asyncio.gather(*map(heard, members))
    assert all(order == orders[0] for order in orders)
    for number in range(len(bosses)):
        of_one = [payload for payload in orders[0] if payload[0] // 1000 == number]
        assert of_one == [[1000 * number + count, "x" * (number * 150)] for count in range(per_boss)]
    for boss, asked in zip(bosses, numbers, strict=True):
        assert await boss.answer(asked) == per_boss
    for client in (*members, *bosses):
        await client.close()


async def test_session_resumes_on_a_connection_of_another_kind_with_all_that_waited(
    compressing: ContractServer,
) -> None:
    async with await compressing.client(compressing.new_id("boss"), "bosses") as boss:
        for shard in range(compressing.workers):
            name, room = compressing.new_id("changes", shard), compressing.new_id("room")
            client = await compressing.client(name, room)
            number = 0
            for kind in ("as browsers", "plain", "small windows", "as browsers", "plain"):
                await compressing.drop(client, name)
                for order in range(4):
                    if order % 2:
                        await boss.order("send", to=name, payload=[number, LONG])
                    else:
                        await boss.order("broadcast", room=room, payload=[number, LONG], event="sent")
                    number += 1
                client = await compressing.client(name, room, extensions=KINDS[kind])
                await boss.order("send", to=name, payload="newer")
                found = [await client.expect("sent") for _ in range(5)]
                # Direct frames keep their order, broadcasts theirs.
                direct = [payload for payload in found if payload == "newer" or payload[0] % 2]
                assert direct == [[number - 3, LONG], [number - 1, LONG], "newer"]
                assert [payload for payload in found if payload not in direct] == [
                    [number - 4, LONG],
                    [number - 2, LONG],
                ]
            await client.close()


async def test_exact_session_loses_nothing_and_gets_nothing_twice_whatever_its_lines_agree_on(
    compressing: ContractServer, draw: Random
) -> None:
    name, room = compressing.new_id("exact"), compressing.new_id("room")
    client = ExactClient(compressing.url(id=name, room=room))
    await client.dial()
    boss = await compressing.client(compressing.new_id("boss"), "bosses")
    got: list[Any] = []
    told = said = 0
    for _ in range(10):
        for _ in range(draw.randrange(2, 6)):
            order, target = draw.choice((("send", {"to": name}), ("broadcast", {"room": room})))
            await boss.order(order, **target, payload=[told, order, LONG * draw.randrange(4)], event="told")
            told += 1
        for _ in range(draw.randrange(4)):
            await client.send("note", said)
            said += 1
        while len(got) < told - draw.randrange(4):
            got.append((await client.expect("told"))[:2])
        if draw.random() < 0.5:
            await client.acknowledge()
        client.drop()
        client.compression = draw.choice((None, "deflate"))
        first = await client.dial()
        assert (first["recovered"], first["lost"]) == (True, 0)
        assert len(client.socket.protocol.extensions) == (client.compression is not None)
    while len(got) < told:
        got.append((await client.expect("told"))[:2])
    assert sorted(number for number, _ in got) == list(range(told))
    for kind in ("send", "broadcast"):
        # Between the two no order is promised.
        assert [each for each in got if each[1] == kind] == sorted(each for each in got if each[1] == kind)
    await compressing.notes.has(name, "message", said)
    assert [entry["detail"] for entry in compressing.notes.of(name) if entry["kind"] == "message"] == list(range(said))
    await boss.close()
    await client.socket.close()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (compressed_frame(TEXT, b"garbage"), 1007),
        (compressed_frame(TEXT, deflated(b"\xff" * 300)), 1007),
        (compressed_frame(BINARY, deflated(bytes(20_001))), 1009),
        (compressed_frame(BINARY, b"", fin=False) + compressed_frame(BINARY, b""), 1002),
        (client_frame(CLOSE, b"\x03\xe8", rsv=4), 1002),
    ],
    ids=["malformed", "invalid UTF-8", "over the limit", "a reserved bit inside", "a compressed close frame"],
)
async def test_compressed_violation_is_answered_with_its_code_and_harms_nobody(
    compressing: ContractServer, data: bytes, code: int
) -> None:
    room = compressing.new_id("room")
    async with await compressing.client(
        compressing.new_id("neighbour"), room, extensions=KINDS["as browsers"]
    ) as other:
        async with await RawPeer.upgraded(
            compressing.process.port, f"/ws?id={compressing.new_id()}&room={room}", lines=(OFFER,)
        ) as peer:
            peer.writer.write(data)
            opcode, payload = await peer.frame()
            assert (opcode, int.from_bytes(payload[:2])) == (CLOSE, code)
        await other.order_only("broadcast", room=room, payload=LONG)
        # The answer to the order, and what it sent, come in any order.
        assert LONG in [(await other.receive()).get("payload") for _ in range(2)]
