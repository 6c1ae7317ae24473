"""contract §3: callbacks, ends and their errors, with one worker and with four."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.contract.server import ContractServer, contract_server


async def test_callbacks_of_a_session_come_once_and_in_order(plain: ContractServer) -> None:
    name = plain.new_id()
    async with await plain.client(name) as client:
        for number in range(5):
            await client.send("note", number)
    await plain.notes.ended(name)
    assert plain.notes.kinds(name) == ["connect", *["message"] * 5, "disconnect"]
    assert [entry["detail"] for entry in plain.notes.of(name)[1:6]] == list(range(5))


async def test_on_message_waits_for_on_connect(plain: ContractServer) -> None:
    name = plain.new_id()
    async with await plain.client(name, slow="on_connect:0.2") as client:
        await client.send("note", 1)
        await plain.notes.has(name, "message")
    await plain.notes.ended(name)
    assert plain.notes.kinds(name)[:3] == ["connect", "on_connect returns", "message"]


async def test_broadcast_reaches_a_peer_before_its_on_connect_returned(plain: ContractServer) -> None:
    room = plain.new_id("room")
    async with await plain.client(plain.new_id(), room) as other:
        name = plain.new_id()
        async with await plain.client(name, room, slow="on_connect:0.5") as client:
            await other.order("broadcast", room=room, payload="early")
            assert await client.expect("said") == "early"
            assert plain.notes.kinds(name) in ([], ["connect"])


async def test_on_message_is_serial_and_in_the_peers_order_while_handlers_are_slow(plain: ContractServer) -> None:
    name = plain.new_id()
    async with await plain.client(name) as client:
        for number in range(40):
            await client.send("slow note" if number % 2 else "note", number)
    await plain.notes.ended(name)
    assert [entry["detail"] for entry in plain.notes.of(name) if entry["kind"] == "message"] == list(range(40))


async def test_slow_handler_does_not_hold_up_other_sessions_of_its_worker(plain: ContractServer) -> None:
    async with (
        await plain.client(plain.new_id("slow", 0)) as slow,
        await plain.client(plain.new_id("swift", 0)) as swift,
    ):
        assert await slow.order("where") == await swift.order("where")
        number = await slow.order_only("pause", seconds=1.0)
        for _ in range(20):
            await swift.send("echo", "x")
            await swift.expect("echo")
        waiting = asyncio.create_task(slow.receive())
        await asyncio.sleep(0)
        assert not waiting.done(), "the slow handler returned before the others were answered"
        assert (await waiting)["id"] == number


async def test_on_disconnect_comes_after_every_on_message_of_the_session(plain: ContractServer) -> None:
    name = plain.new_id()
    client = await plain.client(name)
    for number in range(10):
        await client.send("slow note", number)
    await client.close()
    await plain.notes.ended(name)
    assert plain.notes.kinds(name) == ["connect", *["message"] * 10, "disconnect"]


@pytest.mark.parametrize(("code", "error"), [(1000, None), (1001, None), (4000, "PeerClosedError")])
async def test_on_disconnect_reports_how_the_peer_closed(plain: ContractServer, code: int, error: str | None) -> None:
    name = plain.new_id()
    client = await plain.client(name)
    await client.close(code)
    assert (await plain.notes.ended(name))["error"] == error


async def test_close_frame_without_a_code_is_a_normal_end(plain: ContractServer) -> None:
    name = plain.new_id()
    client = await plain.client(name)
    client.socket.transport.write(b"\x88\x80\0\0\0\0")
    assert (await plain.notes.ended(name))["error"] is None
    await client.closed()


async def test_socket_that_ends_without_a_close_frame_is_an_error(plain: ContractServer) -> None:
    name = plain.new_id()
    client = await plain.client(name)
    client.drop()
    assert (await plain.notes.ended(name))["error"] == "ConnectionLostError"


async def test_raising_handler_ends_its_transport_with_1011_and_harms_no_other(plain: ContractServer) -> None:
    name = plain.new_id("raises", 0)
    async with await plain.client(plain.new_id("other", 0)) as other:
        client = await plain.client(name)
        await client.send("raise")
        await client.send("note", "discarded")
        assert await client.closed() == (1011, "internal error")
        assert (await plain.notes.ended(name))["error"] == "RuntimeError"
        assert "message" not in plain.notes.kinds(name)
        await other.send("echo", 1)
        assert await other.expect("echo") == 1


@pytest.mark.parametrize(
    ("raised", "error"),
    [
        ("cancelled", "CancelledError"),
        ("exit", "SystemExit"),
        ("interrupt", "KeyboardInterrupt"),
        ("outcome", "Outcome"),
    ],
)
async def test_handler_that_raises_more_than_an_exception_ends_its_session_and_not_its_worker(
    plain: ContractServer, raised: str, error: str
) -> None:
    name = plain.new_id("raises", 0)
    async with await plain.client(plain.new_id("other", 0)) as other:
        worker = await other.order("where")
        client = await plain.client(name)
        await client.send("raise", raised)
        assert await client.closed() == (1011, "internal error")
        assert (await plain.notes.ended(name))["error"] == error
        async with await plain.client(name) as again:
            assert await again.order("where") == worker
        assert await other.order("where") == worker


async def test_kick_from_any_worker_destroys_the_session_at_once(plain: ContractServer) -> None:
    room = plain.new_id("room")
    bosses = await plain.clients_on_all_shards("bosses")
    for boss in bosses:
        for shard in range(plain.workers):
            name = plain.new_id("kicked", shard)
            client = await plain.client(name, room)
            assert await boss.order("kick", id=name) is None
            assert await boss.order("list_room", room=room) == []
            assert await client.closed() == (1000, "kicked")
            assert (await plain.notes.ended(name))["error"] is None
            assert (await boss.order("kick", id=name))["error"] == "ConnectionNotFoundError"
    for boss in bosses:
        await boss.close()


async def test_client_sees_the_code_and_the_reason_of_a_kick_or_close_from_any_worker(plain: ContractServer) -> None:
    room = plain.new_id("room")
    bosses = await plain.clients_on_all_shards("bosses")
    for boss in bosses:
        for shard in range(plain.workers):
            for op, code, reason in (("kick", 4003, "banned — für immer"), ("close_one", 4001, "logged in elsewhere")):
                name = plain.new_id("told", shard)
                client = await plain.client(name, room)
                assert "error" not in str(await boss.order(op, room=room, id=name, code=code, reason=reason))
                assert await client.closed() == (code, reason)
                assert (await plain.notes.ended(name))["error"] is None
    for boss in bosses:
        await boss.close()


async def test_code_or_reason_that_cannot_be_sent_is_an_error_and_ends_nobody(plain: ContractServer) -> None:
    room = plain.new_id("room")
    async with await plain.client(plain.new_id("boss", 0)) as boss:
        for shard in {0, plain.workers - 1}:
            name = plain.new_id("stays", shard)
            async with await plain.client(name, room) as client:
                for how in (
                    {"code": 1005},
                    {"code": 2999},
                    {"reason": "r" * 124},
                    {"code": 1002},
                ):
                    for op in ("kick", "close_one"):
                        assert (await boss.order(op, room=room, id=name, **how))["error"] == "ValueError"
                assert await boss.order("list_room", room=room) == [name]
                assert await client.order("list_room", room=room) == [name]


async def test_connection_close_sends_what_is_queued_before_its_reason(plain: ContractServer) -> None:
    name = plain.new_id()
    client = await plain.client(name)
    await client.send("do", {"op": "send_many", "to": name, "count": 50}, "1")
    await client.send("do", {"op": "close_self", "code": 4000, "reason": "that was all"}, "2")
    for number in range(50):
        assert (await client.expect("numbered"))[0] == number
    await client.expect("done")
    assert await client.closed() == (4000, "that was all")


async def test_session_may_kick_itself(plain: ContractServer) -> None:
    name = plain.new_id()
    client = await plain.client(name)
    await client.order_only("kick", id=name)
    assert await client.closed() == (1000, "kicked")
    assert (await plain.notes.ended(name))["error"] is None


async def test_connection_close_sends_what_is_queued_then_1000(plain: ContractServer) -> None:
    name, room = plain.new_id(), plain.new_id("room")
    client = await plain.client(name, room)
    await client.send("do", {"op": "send_many", "to": name, "count": 50}, "1")
    await client.send("do", {"op": "close_self"}, "2")
    for number in range(50):
        assert (await client.expect("numbered"))[0] == number
    await client.expect("done")
    assert await client.closed() == (1000, "")
    assert (await plain.notes.ended(name))["error"] is None


async def test_connection_of_another_worker_can_be_closed(plain: ContractServer) -> None:
    for shard in range(plain.workers):
        name, room = plain.new_id("target", shard), plain.new_id("room")
        async with await plain.client(plain.new_id("boss", shard + 1)) as boss:
            client = await plain.client(name, room)
            assert await boss.order("close_one", room=room, id=name) is True
            assert await client.closed() == (1000, "")
            await plain.notes.ended(name)


async def test_wait_closed_ends_with_the_session(plain: ContractServer) -> None:
    for shard in range(plain.workers):
        name, room = plain.new_id("target", shard), plain.new_id("room")
        async with await plain.client(plain.new_id("boss", shard + 1)) as boss:
            client = await plain.client(name, room)
            number = await boss.order_only("wait_closed", room=room, id=name)
            await boss.expect("found")
            await client.close()
            assert await boss.answer(number) is True


async def test_remote_connection_never_addresses_a_later_session_of_its_id(plain: ContractServer) -> None:
    for shard in range(plain.workers):
        name, room = plain.new_id("target", shard), plain.new_id("room")
        async with await plain.client(plain.new_id("boss", shard + 1)) as boss:
            first = await plain.client(name, room)
            number = await boss.order_only("send_to_old", room=room, id=name)
            await boss.expect("found")
            await first.close()
            await plain.notes.ended(name)
            async with await plain.client(name, room) as second:
                assert await boss.answer(number) == ["ConnectionClosedError"]
                await second.send("echo", "only this")
                assert await second.expect("echo") == "only this"


async def test_closing_the_server_from_inside_a_handler_ends_everybody_and_the_processes(
    workers_of_one_host: int,
) -> None:
    with contract_server(workers_of_one_host) as server:
        clients = [await server.client(server.new_id("closing", shard)) for shard in range(4)]
        await clients[0].order_only("close_server")
        for client in clients:
            assert await client.closed() == (1001, "server shutting down")
        assert server.process.wait() == 0
        assert server.notes.count("disconnect", "closing") == 4
