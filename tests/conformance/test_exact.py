"""contract §3, Exact sessions: nothing comes twice, nothing is lost from the client, and dropped frames are reported."""

from __future__ import annotations

import asyncio
from functools import partial
from itertools import product
from random import Random
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from tests.support.contract.client import Client
from tests.support.contract.exact_client import ExactClient
from tests.support.contract.server import ContractServer, contract_server
from tests.support.wire.raw_peer import RawPeer

FORGED = "wspulse.resume." + "x" * 22

CUTS = 12


async def dialled(server: ContractServer, name: str = "", room: str = "lobby", **query: Any) -> ExactClient:
    client = ExactClient(partial(server.url, id=name, room=room, **query))
    await client.dial()
    return client


def forged(client: ExactClient) -> str:
    """A claim with a token that is made up, of this client's id."""
    return f"{FORGED}{client.token[22:]}.{client.received}"


async def test_first_frame_says_whose_session_it_is_and_what_was_taken(resuming: ContractServer) -> None:
    name = resuming.new_id()
    client = await dialled(resuming, name)
    token = client.token
    assert client.first == {
        "id": name, "token": token, "window": 30, "ping": 10, "ack": [16, 1048576], "received": 0, "recovered": False, "lost": 0
    }  # fmt: skip
    await client.send("note", 1)
    await resuming.notes.has(name, "message")
    client.drop()
    first = await client.dial()
    assert (first["token"], first["received"], first["recovered"], first["lost"]) == (token, 1, True, 0)
    await client.socket.close(1000)
    assert (await resuming.notes.ended(name))["error"] is None
    assert resuming.notes.kinds(name) == ["connect", "message", "drop", "restore", "disconnect"]


async def test_nothing_is_lost_or_comes_twice_in_either_direction_however_often_the_line_is_cut(
    resuming: ContractServer, draw: Random
) -> None:
    name, room = resuming.new_id("cut"), resuming.new_id("room")
    client = await dialled(resuming, name, room)
    boss = await resuming.client(resuming.new_id("boss"), "bosses")
    got: list[int] = []
    said = told = 0
    for _ in range(CUTS):
        for _ in range(draw.randrange(6)):
            await client.send("note", said)
            said += 1
        for _ in range(draw.randrange(6)):
            await boss.order("send", to=name, payload=told, event="told")
            told += 1
        for _ in range(draw.randrange(4)):
            if len(got) < told:
                got.append(await client.expect("told"))
        if draw.random() < 0.5:
            await client.acknowledge()
        if draw.random() < 0.7:
            client.drop()
        # Else the server still has the old line, and may still read from it.
        assert (await client.dial())["recovered"]
    while len(got) < told:
        got.append(await client.expect("told"))
    await resuming.notes.has(name, "message", said)
    assert [entry["detail"] for entry in resuming.notes.of(name) if entry["kind"] == "message"] == list(range(said))
    assert got == list(range(told))
    await client.socket.close()
    await boss.close()


async def test_resume_without_an_id_of_the_applications_goes_to_the_session_of_the_token(
    resuming: ContractServer,
) -> None:
    for _ in range(4):
        client = await dialled(resuming)
        name = client.first["id"]
        client.drop()
        assert (await client.dial())["id"] == name
        assert client.first["recovered"]
        client.drop()
        # With a token that is made up it is a newcomer, and harms nobody.
        stranger = ExactClient(client.url)
        first = await stranger.dial(claim=forged(client))
        assert first["id"] != name
        assert not first["recovered"]
        assert (await client.dial())["recovered"]
        await client.socket.close()
        await stranger.socket.close()


async def test_token_takes_over_a_line_that_is_not_known_to_be_dead_in_every_mode(
    resuming: ContractServer, replacing: ContractServer, rejecting: ContractServer
) -> None:
    for server, shard in product((resuming, replacing, rejecting), range(resuming.workers)):
        name = server.new_id("over", shard)
        client = await dialled(server, name)
        old = client.socket
        await client.send("note", "before")
        assert (await client.dial())["recovered"]
        assert await Client(old).closed() == (1000, "replaced")
        await client.send("note", "behind")
        await server.notes.has(name, "message", 2)
        await client.socket.close()
        await server.notes.ended(name)
        details = [entry["detail"] for entry in server.notes.of(name) if entry["kind"] == "message"]
        assert details == ["before", "behind"]


async def test_stranger_to_a_connected_exact_session_is_a_duplicate_and_never_takes_it_over(
    replacing: ContractServer, rejecting: ContractServer
) -> None:
    name = replacing.new_id()
    client = await dialled(replacing, name)
    stranger = ExactClient(client.url)
    assert not (await stranger.dial(claim=forged(client)))["recovered"]
    assert await client.closed() == (1000, "duplicate connection id")
    plain = await replacing.client(name)
    assert await stranger.closed() == (1000, "duplicate connection id")
    assert not (await client.dial())["recovered"]
    assert await plain.closed() == (1000, "duplicate connection id")
    await client.socket.close()
    assert set(replacing.notes.kinds(name)) == {"connect", "disconnect"}

    name = rejecting.new_id()
    client = await dialled(rejecting, name)
    with pytest.raises(InvalidStatus) as refused:
        await ExactClient(client.url).dial(claim=forged(client))
    assert refused.value.response.status_code == 409
    await client.socket.close()


async def test_stranger_to_a_suspended_exact_session_ends_it(rejecting: ContractServer) -> None:
    for is_exact in (True, False):
        name = rejecting.new_id()
        client = await dialled(rejecting, name)
        client.drop()
        await rejecting.notes.has(name, "drop")
        if is_exact:
            stranger = ExactClient(client.url)
            assert not (await stranger.dial(claim=forged(client)))["recovered"]
            await stranger.socket.close()
        else:
            await (await rejecting.client(name)).close()
        assert (await rejecting.notes.ended(name))["error"] == "DuplicateConnectionIDError"


async def test_claim_of_more_than_was_sent_is_a_strangers(resuming: ContractServer) -> None:
    name = resuming.new_id()
    client = await dialled(resuming, name)
    client.drop()
    await resuming.notes.has(name, "drop")
    client.received = 5
    assert not (await client.dial())["recovered"]
    await client.socket.close()


async def test_late_dial_of_the_client_itself_that_takes_nothing_costs_it_no_session(resuming: ContractServer) -> None:
    name, count = resuming.new_id(), 40
    client = await dialled(resuming, name)
    claim = f"Sec-WebSocket-Protocol: wspulse.1, wspulse.resume.{client.token}.0"
    async with await resuming.client(resuming.new_id("boss"), "bosses") as boss:
        await boss.order("send_many", to=name, count=count, size=60_000)
        assert [(await client.expect("numbered"))[0] for _ in range(count)] == list(range(count))
        # It was under way for long, and its client has given it up; the kernel takes a part of what is sent again.
        target = f"/ws?id={name}&room=lobby"
        async with await RawPeer.upgraded(resuming.process.port, target, receive_buffer_bytes=1024, lines=(claim,)):
            assert await client.closed() == (1000, "replaced")
            assert (await client.dial())["recovered"]
        await boss.order("send", to=name, event="told", payload=1)
    assert await client.expect("told") == 1
    await client.socket.close()


async def test_what_the_bound_pushed_out_while_the_client_was_away_is_counted(workers: int) -> None:
    with contract_server(workers, resume_window=30, send_buffer_size=4) as server:
        name = server.new_id()
        client = await dialled(server, name)
        async with await server.client(server.new_id("boss"), "bosses") as boss:
            await boss.order("send_many", to=name, count=6)
            assert [(await client.expect("numbered"))[0] for _ in range(3)] == [0, 1, 2]
            client.drop()
            await server.notes.has(name, "drop")
            await boss.order("send_many", to=name, count=3)
        first = await client.dial()
        assert (first["lost"], first["recovered"]) == (2, True)
        assert client.received == 5
        assert [(await client.expect("numbered"))[0] for _ in range(4)] == [5, 0, 1, 2]
        await client.acknowledge(9)
        client.drop()
        assert (await client.dial())["lost"] == 0
        await client.socket.close()


async def test_what_a_broadcast_dropped_of_a_client_that_does_not_read_is_told_in_its_place(workers: int) -> None:
    with contract_server(workers, send_buffer_size=64, write_wait=30, ping_period=20, pong_wait=60) as server:
        name, room = server.new_id(), server.new_id("room")
        client = ExactClient(partial(server.url, id=name, room=room))
        await client.dial()
        client.socket.transport.pause_reading()
        async with await server.client(server.new_id("boss"), "bosses") as boss:
            count = await boss.order("broadcast_many", room=room, count=1200, size=16_000, pause_every=50)
            await boss.order("broadcast", room=room, event="numbered", payload=[count])
        client.socket.transport.resume_reading()
        numbers: list[int] = []
        while not numbers or numbers[-1] != count:
            numbers.append((await client.expect("numbered"))[0])
        assert client.lost
        assert sum(client.lost) == count + 1 - len(numbers)
        assert numbers == sorted(set(numbers))
        assert client.received == count + 1
        await client.acknowledge()
        await client.send("echo", 1)
        assert await client.expect("echo") == 1
        await client.socket.close()


@pytest.mark.parametrize("count", ["1", "-1", '"0"', "0.0", "null", "[]", "false", "1000000000000000000000000000000"])
async def test_acknowledgement_that_cannot_be_is_closed_with_1002(resuming: ContractServer, count: str) -> None:
    client = await dialled(resuming, resuming.new_id())
    await client.socket.send(f'{{"event":"wspulse.ack","payload":{count}}}')
    assert await client.closed() == (1002, "bad acknowledgement")
    assert (await client.dial())["recovered"]
    await client.socket.close()


async def test_acknowledgement_of_less_than_before_is_closed_with_1002(resuming: ContractServer) -> None:
    client = await dialled(resuming, resuming.new_id())
    for number in range(2):
        await client.send("echo", number)
        await client.expect("echo")
    await client.acknowledge()
    await client.acknowledge(1)
    assert await client.closed() == (1002, "bad acknowledgement")


async def test_server_acknowledges_after_so_many_messages_and_after_a_second(resuming: ContractServer) -> None:
    client = await dialled(resuming, resuming.new_id())
    for _ in range(16):
        await client.send_raw("this is no frame, and counts")
    await client.acked(16)
    assert client.acks[-1] == 16
    await client.send("note", 1)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    await client.acked(17)
    assert 0.5 < loop.time() - begun < 5
    await client.socket.close()


async def test_question_is_answered_at_once_and_at_most_once_a_second(resuming: ContractServer) -> None:
    client = await dialled(resuming, resuming.new_id())
    for _ in range(50):
        await client.acknowledge()
    await client.send("echo", 1)
    assert await client.expect("echo") == 1
    assert client.acks == [0]
    await client.socket.close()


async def test_handler_that_raises_loses_nothing_that_stands_behind_its_frame(resuming: ContractServer) -> None:
    name = resuming.new_id()
    client = await dialled(resuming, name)
    await client.send("slow note", 0)
    await client.send("raise", "")
    for number in range(1, 4):
        await client.send("note", number)
    assert await client.closed() == (1011, "internal error")
    assert (await client.dial())["recovered"]
    await client.send("note", 4)
    await resuming.notes.has(name, "message", 5)
    details = [entry["detail"] for entry in resuming.notes.of(name) if entry["kind"] == "message"]
    assert details == [0, 1, 2, 3, 4]
    await client.socket.close()


@pytest.mark.parametrize("code", [1001, 4001, 1005], ids=str)
async def test_only_1000_of_the_client_ends_an_exact_session(expiring: ContractServer, code: int) -> None:
    name = expiring.new_id()
    client = await dialled(expiring, name)
    if code == 1005:
        client.socket.transport.write(b"\x88\x80\0\0\0\0")
    else:
        await client.socket.close(code)
    await expiring.notes.has(name, "drop")
    assert (await client.dial())["recovered"]
    await client.socket.close(1000)
    await expiring.notes.ended(name)
    assert expiring.notes.kinds(name)[-3:] == ["drop", "restore", "disconnect"]


async def test_without_a_window_a_lost_session_is_over_and_a_live_one_is_taken_over(plain: ContractServer) -> None:
    name = plain.new_id()
    client = await dialled(plain, name)
    assert client.first["window"] == 0
    await client.send("note", 1)
    assert (await client.dial())["recovered"]
    await client.send("note", 2)
    await plain.notes.has(name, "message", 2)
    client.drop()
    await plain.notes.ended(name)
    assert plain.notes.kinds(name) == ["connect", "message", "message", "disconnect"]
    assert not (await client.dial())["recovered"]
    await client.socket.close()


async def test_events_of_the_protocol_cannot_be_sent_by_anybody(resuming: ContractServer) -> None:
    name, room = resuming.new_id(), resuming.new_id("room")
    client = await dialled(resuming, name, room)
    async with await resuming.client(resuming.new_id(), room) as plain:
        # Of a plain client it reaches no handler: relayed, it would be taken for the server's.
        await plain.send("wspulse.ack", 7)
        orders: tuple[dict[str, Any], ...] = (
            {"op": "broadcast", "room": room, "event": "wspulse.ack", "payload": 7},
            {"op": "send", "to": name, "event": "wspulse.ack", "payload": 7},
        )
        for order in orders:
            assert (await plain.order(**order))["error"] == "ValueError"
    await client.send("echo", 1)
    assert await client.expect("echo") == 1
    assert client.acks == []
    await client.socket.close()


async def test_answer_to_a_call_counts_and_comes_over_the_next_line(resuming: ContractServer) -> None:
    name, room = resuming.new_id(), resuming.new_id("room")
    client = await dialled(resuming, name, room)
    async with await resuming.client(resuming.new_id("boss"), "bosses") as boss:
        number = await boss.order_only("call", room=room, id=name, in_background=True)
        question = await client.receive()
        client.drop()
        assert (await client.dial())["recovered"]
        await client.send(question["event"], "yes", question["id"])
        assert (await boss.answer(number))[-1] == "yes"
    await client.send("echo", 1)
    assert await client.expect("echo") == 1
    await client.acked(2)
    await client.socket.close()


@pytest.mark.parametrize("is_suspended", [False, True], ids=["connected", "suspended"])
async def test_what_was_acknowledged_is_handled_when_the_server_closes(
    workers_of_one_host: int, is_suspended: bool
) -> None:
    with contract_server(workers_of_one_host, resume_window=30) as server:
        name = server.new_id()
        client = await dialled(server, name)
        await client.send("do", {"op": "hold", "seconds": 2})
        for number in range(3):
            await client.send("note", number)
        await client.acked(4)
        if is_suspended:
            client.drop()
        server.process.terminate()
        await server.notes.ended(name)
        noted = [(entry["kind"], entry["detail"]) for entry in server.notes.of(name) if entry["kind"] == "message"]
        assert noted == [("message", 0), ("message", 1), ("message", 2)]
        assert server.notes.kinds(name)[-1] == "disconnect"
