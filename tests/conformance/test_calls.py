"""contract §4: `call` asks a client and returns its answer, which no handler sees, whichever worker has the session."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.contract.client import Client
from tests.support.contract.server import ContractServer


async def asked(client: Client, event: str = "ask") -> dict[str, Any]:
    """The frame that asks a client."""
    frame = await client.receive()
    while frame.get("event") != event:
        frame = await client.receive()
    assert frame["id"].startswith("wspulse:")
    return frame


async def boss_of(server: ContractServer, shard: int) -> Client:
    return await server.client(server.new_id("boss", shard), "bosses")


async def test_call_returns_the_frame_that_comes_back_wherever_the_session_lives(plain: ContractServer) -> None:
    for shard in range(plain.workers):
        name, room = plain.new_id("asked", shard), plain.new_id("room")
        async with await plain.client(name, room) as client:
            for boss_shard in {shard, shard + 1}:
                async with await boss_of(plain, boss_shard) as boss:
                    number = await boss.order_only("call", room=room, id=name, payload=[1, "ä"])
                    frame = await asked(client)
                    assert frame["payload"] == [1, "ä"]
                    # What a handler would note.
                    await client.send("note", {"answer": boss_shard}, frame["id"])
                    assert await boss.answer(number) == ["note", {"answer": boss_shard}]
            await client.send("note", "the end")
            await plain.notes.has(name, "message")
        assert [entry["detail"] for entry in plain.notes.of(name) if entry["kind"] == "message"] == ["the end"]


async def test_ids_of_calls_are_never_the_same(plain: ContractServer) -> None:
    async with await plain.client(plain.new_id()) as client:
        ids = set()
        for _ in range(20):
            number = await client.order_only("call")
            frame = await asked(client)
            ids.add(frame["id"])
            await client.send("ask", None, frame["id"])
            assert await client.answer(number) == ["ask", None]
        assert len(ids) == 20


async def test_answer_whose_event_ends_in_error_is_raised_wherever_the_session_lives(plain: ContractServer) -> None:
    name, room = plain.new_id("asked", 0), plain.new_id("room")
    async with await plain.client(name, room) as client:
        for shard in (0, 1):
            async with await boss_of(plain, shard) as boss:
                for payload in ({"code": "no"}, None):
                    number = await boss.order_only("call", room=room, id=name, event="move")
                    frame = await asked(client, "move")
                    await client.send("move.error", payload, frame["id"])
                    assert await boss.answer(number) == ["ReplyError", payload]
                number = await boss.order_only("call", room=room, id=name, event="move")
                frame = await asked(client, "move")
                await client.send("other.error", 1, frame["id"])
                assert await boss.answer(number) == ["other.error", 1]


async def test_handler_may_call_its_own_client_while_frames_wait_for_it(plain: ContractServer) -> None:
    name = plain.new_id()
    async with await plain.client(name) as client:
        number = await client.order_only("call")
        frame = await asked(client)
        for note in range(200):
            await client.send("note", note)
        await client.send("ask", "late enough", frame["id"])
        assert await client.answer(number) == ["ask", "late enough"]
        await plain.notes.has(name, "message", 200)
    noted = [entry["detail"] for entry in plain.notes.of(name) if entry["kind"] == "message"]
    assert noted == list(range(200))


async def test_call_ends_in_time_when_more_frames_than_are_read_stand_before_the_answer(plain: ContractServer) -> None:
    name = plain.new_id()
    async with await plain.client(name) as client:
        number = await client.order_only("call", timeout_s=1)
        frame = await asked(client)
        for note in range(2000):
            await client.send("note", note)
        await client.send("ask", "too late", frame["id"])
        result = await client.answer(number)
        assert result["error"] == "TimeoutError"
        await client.send("note", "the end")
        await plain.notes.has(name, "message", 2001)
    noted = [entry["detail"] for entry in plain.notes.of(name) if entry["kind"] == "message"]
    assert noted == [*range(2000), "the end"]


@pytest.mark.parametrize("shard", [0, 1], ids=["same worker", "another worker"])
async def test_call_without_an_answer_times_out_and_what_comes_later_or_twice_is_dropped(
    plain: ContractServer, shard: int
) -> None:
    name, room = plain.new_id("asked", 0), plain.new_id("room")
    async with await plain.client(name, room) as client, await boss_of(plain, shard) as boss:
        number = await boss.order_only("call", room=room, id=name, timeout_s=0.2)
        late = await asked(client)
        assert await boss.answer(number) == {
            "error": "TimeoutError",
            "text": f"wspulse: no answer from {name} within 0.2 s",
        }
        await client.send("note", "late", late["id"])
        number = await boss.order_only("call", room=room, id=name)
        frame = await asked(client)
        for payload in ("first", "second"):
            await client.send("note", payload, frame["id"])
        await client.send("note", "never asked", "wspulse:0")
        assert await boss.answer(number) == ["note", "first"]
        await client.send("note", "a frame")
        await plain.notes.has(name, "message")
    assert [entry["detail"] for entry in plain.notes.of(name) if entry["kind"] == "message"] == ["a frame"]


async def test_frame_with_an_id_like_a_calls_is_handled_where_nothing_was_asked(plain: ContractServer) -> None:
    name = plain.new_id()
    async with await plain.client(name) as client:
        await client.send("note", "unasked", "wspulse:0")
        await plain.notes.has(name, "message")
    assert [entry["detail"] for entry in plain.notes.of(name) if entry["kind"] == "message"] == ["unasked"]


async def test_call_that_is_given_up_is_forgotten(plain: ContractServer) -> None:
    name = plain.new_id()
    async with await plain.client(name) as client:
        number = await client.order_only("call_and_give_up", seconds=0.05)
        frame = await asked(client)
        assert "no answer" not in await client.answer(number)
        await client.send("note", "late", frame["id"])
        await client.send("note", "a frame")
        await plain.notes.has(name, "message")
    assert [entry["detail"] for entry in plain.notes.of(name) if entry["kind"] == "message"] == ["a frame"]


@pytest.mark.parametrize("shard", [0, 1], ids=["same worker", "another worker"])
async def test_call_ends_when_its_session_does(plain: ContractServer, shard: int) -> None:
    name, room = plain.new_id("asked", 0), plain.new_id("room")
    async with await boss_of(plain, shard) as boss:
        client = await plain.client(name, room)
        number = await boss.order_only("call", room=room, id=name, timeout_s=30)
        await asked(client)
        await client.close()
        assert await boss.answer(number) == {
            "error": "ConnectionClosedError",
            "text": f"wspulse: connection is closed: {name}",
        }


async def test_call_inside_a_handler_ends_with_its_session_without_an_error(plain: ContractServer) -> None:
    name = plain.new_id()
    client = await plain.client(name)
    await client.order_only("call", timeout_s=30)
    await asked(client)
    await client.close()
    assert (await plain.notes.ended(name))["error"] is None


@pytest.mark.parametrize("shard", [0, 1], ids=["same worker", "another worker"])
async def test_call_goes_on_while_its_session_is_suspended(resuming: ContractServer, shard: int) -> None:
    name, room = resuming.new_id("asked", 0), resuming.new_id("room")
    async with await boss_of(resuming, shard) as boss:
        client = await resuming.client(name, room)
        number = await boss.order_only("call", room=room, id=name, timeout_s=30)
        frame = await asked(client)
        await resuming.drop(client, name)
        async with await resuming.client(name, room) as again:
            await again.send("note", "I am back", frame["id"])
            assert await boss.answer(number) == ["note", "I am back"]
        assert "message" not in resuming.notes.kinds(name)


@pytest.mark.parametrize("shard", [0, 1], ids=["same worker", "another worker"])
async def test_suspended_session_is_asked_when_its_client_comes_back(resuming: ContractServer, shard: int) -> None:
    name, room = resuming.new_id("asked", 0), resuming.new_id("room")
    await resuming.suspended(name, room)
    async with await boss_of(resuming, shard) as boss:
        number = await boss.order_only("call", room=room, id=name, timeout_s=30)
        assert await boss.expect("called") is None
        async with await resuming.client(name, room) as again:
            frame = await asked(again)
            await again.send("ask", 1, frame["id"])
            assert await boss.answer(number) == ["ask", 1]


@pytest.mark.parametrize("timeout_s", [0, -1, 1e9])
async def test_call_refuses_an_invalid_timeout(plain: ContractServer, timeout_s: float) -> None:
    async with await plain.client(plain.new_id()) as client:
        assert (await client.order("call", timeout_s=timeout_s))["error"] == "ValueError"
