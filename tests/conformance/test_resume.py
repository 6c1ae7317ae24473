"""contract §3, Resume: a session outlives its transport, whichever worker the next one arrives at."""

from __future__ import annotations

import asyncio
import itertools
from random import Random

import pytest
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus

from tests.conformance.conftest import SHORT_WINDOW_S
from tests.support.contract.client import Client
from tests.support.contract.server import ContractServer, contract_server

LEAVE_DELAY_S = 5.0
"""doc/inside/internals.md: a room stays joined for so long after its last member has gone."""


async def test_resume_through_any_worker_replays_what_was_buffered_before_newer_frames(
    resuming: ContractServer,
) -> None:
    async with await resuming.client(resuming.new_id("boss"), "bosses") as boss:
        for shard in range(resuming.workers):
            name, room = resuming.new_id("resumes", shard), resuming.new_id("room")
            await resuming.suspended(name, room)
            for number in range(10):
                if number % 2:
                    await boss.order("send", to=name, payload=number)
                else:
                    await boss.order("broadcast", room=room, payload=number, event="sent")
            async with await resuming.client(name, room) as client:
                await boss.order("broadcast", room=room, payload=10, event="sent")
                await boss.order("send", to=name, payload=11)
                received = [await client.expect("sent") for _ in range(12)]
                # Direct frames keep their order, broadcasts theirs; between them none is promised.
                assert [number for number in received if number % 2] == [1, 3, 5, 7, 9, 11]
                assert [number for number in received if not number % 2] == [0, 2, 4, 6, 8, 10]
                await client.order_only("close_self")
                await client.closed()


async def test_resume_keeps_the_session_and_its_state_and_fires_no_connect(resuming: ContractServer) -> None:
    name = resuming.new_id()
    client = await resuming.client(name)
    for _ in range(5):
        await resuming.drop(client, name)
        client = await resuming.client(name)
        await client.send("note", "x")
    await resuming.notes.has(name, "message", 5)
    await client.order_only("close_self")
    await client.closed()
    await resuming.notes.ended(name)
    entries = resuming.notes.of(name)
    assert len({entry["session"] for entry in entries}) == 1
    assert [entry["kind"] for entry in entries] == ["connect", *["drop", "restore", "message"] * 5, "disconnect"]


async def test_clean_close_by_the_peer_suspends_too(resuming: ContractServer) -> None:
    name = resuming.new_id()
    client = await resuming.client(name)
    await client.close()
    await resuming.notes.has(name, "drop")
    assert resuming.notes.of(name)[-1]["error"] is None
    async with await resuming.client(name) as again:
        await resuming.notes.has(name, "restore")
        await again.order_only("close_self")
        await again.closed()


async def test_clean_close_ends_the_session_when_told_so(expiring: ContractServer) -> None:
    name = expiring.new_id()
    client = await expiring.client(name)
    await client.close(1000)
    entry = await expiring.notes.ended(name)
    assert entry["error"] is None
    assert expiring.notes.kinds(name) == ["connect", "disconnect"]


async def test_expired_window_ends_the_session_once_with_the_drops_error(expiring: ContractServer) -> None:
    name, room = expiring.new_id(), expiring.new_id("room")
    await expiring.suspended(name, room)
    entry = await expiring.notes.ended(name)
    assert entry["error"] == "ConnectionLostError"
    async with await expiring.client(name, room) as client:
        await client.send("note", 1)
        await expiring.notes.has(name, "message")
        entries = expiring.notes.of(name)
        assert [entry["kind"] for entry in entries] == ["connect", "drop", "disconnect", "connect", "message"]
        assert entries[-1]["session"] != entries[0]["session"]


async def test_resume_ends_the_window(expiring: ContractServer) -> None:
    name = expiring.new_id()
    await expiring.suspended(name, "lobby")
    async with await expiring.client(name) as client:
        await asyncio.sleep(2 * SHORT_WINDOW_S)  # the promise is that nothing happens then
        assert expiring.notes.kinds(name) == ["connect", "drop", "restore"]
        await client.send("echo", 1)
        assert await client.expect("echo") == 1


async def test_no_message_of_the_new_transport_runs_before_the_restore_handler_is_done(
    resuming: ContractServer,
) -> None:
    name = resuming.new_id()
    await resuming.suspended(name, "lobby", slow="on_transport_restore:0.3")
    async with await resuming.client(name) as client:
        await client.send("note", 1)
        await resuming.notes.has(name, "message")
        assert resuming.notes.kinds(name)[-3:] == ["restore", "on_transport_restore returns", "message"]
        await client.order_only("close_self")
        await client.closed()


async def test_messages_read_before_a_drop_are_handled_before_its_callback(resuming: ContractServer) -> None:
    name = resuming.new_id()
    client = await resuming.client(name)
    for number in range(10):
        await client.send("slow note", number)
    await resuming.notes.has(name, "message")
    await resuming.drop(client, name)
    async with await resuming.client(name) as again:
        await again.send("note", "last")
        await resuming.notes.until(
            lambda: resuming.notes.of(name)[-1]["detail"] == "last", "the last message is handled"
        )
        kinds = resuming.notes.kinds(name)
        assert kinds.index("drop") == kinds.index("restore") - 1
        details = [entry["detail"] for entry in resuming.notes.of(name) if entry["kind"] == "message"]
        assert details[:-1] == list(range(len(details) - 1))
        await again.order_only("close_self")
        await again.closed()


async def test_room_stays_the_first_one_whatever_connect_says_on_a_resume(resuming: ContractServer) -> None:
    name, first, second = resuming.new_id(), resuming.new_id("first"), resuming.new_id("second")
    await resuming.suspended(name, first)
    async with (
        await resuming.client(resuming.new_id("boss"), "bosses") as boss,
        await resuming.client(name, second) as client,
    ):
        assert await boss.order("list_room", room=first) == [name]
        assert await boss.order("list_room", room=second) == []
        await boss.order("broadcast", room=second, payload="wrong")
        await boss.order("broadcast", room=first, payload="right")
        assert await client.expect("said") == "right"
        await client.order_only("close_self")
        await client.closed()


async def test_get_connections_names_suspended_sessions(resuming: ContractServer) -> None:
    room = resuming.new_id("room")
    names = sorted(resuming.new_id("listed", shard) for shard in range(4))
    async with await resuming.client(resuming.new_id("boss"), "bosses") as boss:
        for name in names:
            await resuming.suspended(name, room)
        assert await boss.order("list_room", room=room) == names
        assert await boss.order("close_room", room=room) == 4
        assert await boss.order("list_room", room=room) == []


@pytest.mark.parametrize("op", ["kick", "close_one"])
async def test_order_to_end_a_suspended_session_takes_effect_at_once(resuming: ContractServer, op: str) -> None:
    async with await resuming.client(resuming.new_id("boss"), "bosses") as boss:
        for shard in range(resuming.workers):
            name, room = resuming.new_id("ends", shard), resuming.new_id("room")
            await resuming.suspended(name, room)
            await boss.order(op, id=name, **({"room": room} if op == "close_one" else {}))
            assert await boss.order("list_room", room=room) == []
            assert (await resuming.notes.ended(name))["error"] is None
            assert (await boss.order("send", to=name))["error"] == "ConnectionNotFoundError"


async def test_overflow_while_suspended_keeps_the_newest_in_order(resuming: ContractServer) -> None:
    name, room = resuming.new_id(), resuming.new_id("room")
    await resuming.suspended(name, room)
    async with await resuming.client(resuming.new_id("boss"), "bosses") as boss:
        await boss.order("send_many", to=name, count=200)
        async with await resuming.client(name, room) as client:
            assert [(await client.expect("numbered"))[0] for _ in range(64)] == list(range(200 - 64, 200))
            await client.order_only("close_self")
            await client.closed()


async def test_wait_closed_outlasts_a_resume(resuming: ContractServer) -> None:
    name, room = resuming.new_id(), resuming.new_id("room")
    await resuming.suspended(name, room)
    async with await resuming.client(resuming.new_id("boss"), "bosses") as boss:
        number = await boss.order_only("wait_closed", room=room, id=name)
        await boss.expect("found")
        async with await resuming.client(name, room) as client:
            await client.send("echo", 1)
            assert await client.expect("echo") == 1
            await client.order_only("close_self")
            await client.closed()
        assert await boss.answer(number) is True


@pytest.mark.parametrize(("token", "status"), [("wrong", 401), ("broken", 500)])
async def test_reconnect_that_is_rejected_leaves_the_session_suspended_and_the_next_one_resumes_it(
    resuming: ContractServer, token: str, status: int
) -> None:
    name, room = resuming.new_id("rejected"), resuming.new_id("room")
    await resuming.suspended(name, room)
    async with await resuming.client(resuming.new_id("boss"), "bosses") as boss:
        await boss.order("send", to=name, payload=1)
        with pytest.raises(InvalidStatus) as refused:
            await resuming.client(name, room, token=token)
        assert refused.value.response.status_code == status
        assert await boss.order("list_room", room=room) == [name]
        await boss.order("send", to=name, payload=2)
        async with await resuming.client(name, room) as client:
            assert [await client.expect("sent") for _ in range(2)] == [1, 2]
            await resuming.notes.has(name, "restore")
            assert resuming.notes.kinds(name) == ["connect", "drop", "restore"]
            await client.order_only("close_self")
            await client.closed()


async def test_reconnect_to_a_room_that_is_being_left_hears_every_broadcast_after_its_101(
    expiring: ContractServer, draw: Random
) -> None:
    """Its last member went 5 s ago, more or less: the room's worker leaves it just now."""
    async with await expiring.client(expiring.new_id("boss", 0), "bosses") as boss:
        ordering = asyncio.Lock()

        async def come_back(delay_s: float) -> None:
            name, room = expiring.new_id("leaving"), expiring.new_id("room")
            client = await expiring.client(name, room)
            await client.close()
            await expiring.notes.ended(name)
            await asyncio.sleep(delay_s)  # until the room is left
            async with await expiring.client(name, room) as again:
                async with ordering:
                    await boss.order("broadcast", room=room, payload=name)
                assert await again.expect("said") == name

        await asyncio.gather(*(come_back(draw.uniform(LEAVE_DELAY_S - 0.1, LEAVE_DELAY_S + 0.1)) for _ in range(30)))


async def test_mass_close_of_suspended_sessions(resuming: ContractServer) -> None:
    room, prefix = resuming.new_id("room"), resuming.new_id("mass")
    names = [f"{prefix}-{number}" for number in range(200)]
    clients = await asyncio.gather(*(resuming.client(name, room) for name in names))
    for client in clients:
        client.drop()
    await resuming.notes.until(lambda: resuming.notes.count("drop", prefix) == 200, "all are suspended")
    async with await resuming.client(resuming.new_id("boss"), "bosses") as boss:
        assert await boss.order("close_room", room=room) == 200
        assert await boss.order("list_room", room=room) == []
    await resuming.notes.until(lambda: resuming.notes.count("disconnect", prefix) == 200, "all have an on_disconnect")


async def test_dials_without_end_while_the_server_closes_are_each_served_and_ended_or_refused(
    workers_of_one_host: int,
) -> None:
    with contract_server(workers_of_one_host, resume_window=30) as server:
        prefix = server.new_id("storm")
        ends: list[tuple[int, str]] = []
        served: list[str] = []
        refused: list[int] = []

        async def dial(number: int) -> None:
            try:
                for count in itertools.count():
                    name = f"{prefix}-{number}-{count}"
                    try:
                        client = await server.client(name, server.new_id("room"))
                    except (OSError, EOFError, InvalidMessage, ConnectionClosed):
                        return  # nobody listens any more; or the kernel had a connection that nobody accepted
                    served.append(name)
                    if count % 3 == 2:
                        client.drop()
                    else:
                        ends.append(await client.closed() if server_closes.is_set() else await _closed_soon(client))
            except InvalidStatus as error:
                refused.append(error.response.status_code)

        server_closes = asyncio.Event()
        dials = [asyncio.create_task(dial(number)) for number in range(30)]
        await server.notes.until(lambda: server.notes.count("connect", prefix) > 60, "the storm has begun")
        server_closes.set()
        server.process.terminate()
        await asyncio.gather(*dials)
        assert server.process.wait() == 0
        for name in served:
            assert server.notes.kinds(name).count("disconnect") == 1, f"{name}: {server.notes.kinds(name)}"
        assert set(ends) <= {(1000, ""), (1001, "server shutting down")}
        assert set(refused) <= {503}


async def _closed_soon(client: Client) -> tuple[int, str]:
    await client.order_only("close_self")
    return await client.closed()


async def test_server_close_ends_suspended_and_connected_sessions(workers_of_one_host: int) -> None:
    with contract_server(workers_of_one_host, resume_window=30) as server:
        room, prefix = server.new_id("room"), server.new_id("end")
        clients = await asyncio.gather(*(server.client(f"{prefix}-{number}", room) for number in range(20)))
        for client in clients[:10]:
            client.drop()
        await server.notes.until(lambda: server.notes.count("drop", prefix) == 10, "ten are suspended")
        server.process.terminate()
        for client in clients[10:]:
            assert await client.closed() == (1001, "server shutting down")
        assert server.process.wait() == 0
        for number in range(20):
            name = f"{prefix}-{number}"
            assert (await server.notes.ended(name))["error"] == "ServerClosedError"
            assert server.notes.kinds(name).count("disconnect") == 1
