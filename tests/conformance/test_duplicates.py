"""contract §3: a second connection with the id of a live one, in each mode."""

from __future__ import annotations

import asyncio
import contextlib
from random import Random

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.support.contract.client import Client
from tests.support.contract.server import ContractServer


async def test_duplicate_kicks_the_old_one_by_default(plain: ContractServer) -> None:
    name, room = plain.new_id(), plain.new_id("room")
    old = await plain.client(name, room)
    async with await plain.client(name, room) as new:
        assert await old.closed() == (1000, "duplicate connection id")
        assert (await plain.notes.ended(name))["error"] == "DuplicateConnectionIDError"
        assert await new.order("list_room", room=room) == [name]
    await plain.notes.has(name, "disconnect", 2)
    assert plain.notes.kinds(name) == ["connect", "disconnect", "connect", "disconnect"]


async def test_newcomer_does_not_wait_for_the_old_ones_handler_but_its_on_connect_does(plain: ContractServer) -> None:
    name = plain.new_id()
    old = await plain.client(name, slow="on_disconnect:0.5")
    async with await plain.client(name) as new:
        await old.closed()
        assert "on_disconnect returns" not in plain.notes.kinds(name), "the 101 waited for the old session's handler"
        await new.send("note", 1)
        await plain.notes.has(name, "message")
    assert plain.notes.kinds(name)[:5] == ["connect", "disconnect", "on_disconnect returns", "connect", "message"]


async def test_duplicate_is_refused_with_409_when_asked_for(rejecting: ContractServer) -> None:
    name = rejecting.new_id()
    async with await rejecting.client(name) as old:
        with pytest.raises(InvalidStatus) as refused:
            await rejecting.client(name)
        assert refused.value.response.status_code == 409
        await old.send("echo", "still here")
        assert await old.expect("echo") == "still here"
    assert rejecting.notes.kinds(name)[0] == "connect"
    assert rejecting.notes.kinds(name).count("connect") == 1


async def test_reconnect_that_is_refused_as_a_duplicate_leaves_the_session_that_then_drops_and_resumes(
    rejecting: ContractServer,
) -> None:
    name, room = rejecting.new_id(), rejecting.new_id("room")
    old = await rejecting.client(name, room)
    with pytest.raises(InvalidStatus) as refused:
        await rejecting.client(name, room)
    assert refused.value.response.status_code == 409
    await rejecting.drop(old, name)
    async with await rejecting.client(rejecting.new_id("boss"), "bosses") as boss:
        await boss.order("send", to=name, payload=1)
        with pytest.raises(InvalidStatus) as refused:
            await rejecting.client(name, room, token="wrong")
        assert refused.value.response.status_code == 401
        async with await rejecting.client(name, room) as new:
            assert await new.expect("sent") == 1
            with pytest.raises(InvalidStatus) as refused:
                await rejecting.client(name, room)
            assert refused.value.response.status_code == 409
            await rejecting.notes.has(name, "restore")
            assert rejecting.notes.kinds(name) == ["connect", "drop", "restore"]
            await new.order_only("close_self")
            await new.closed()


@pytest.mark.race
async def test_thirty_takeovers_under_numbered_frames_lose_none_and_double_none(
    replacing: ContractServer, race_rounds: int, draw: Random
) -> None:
    async with await replacing.client(replacing.new_id("boss"), "bosses") as boss:
        for _ in range(max(1, race_rounds // 5)):
            name, room = replacing.new_id("takeover"), replacing.new_id("room")
            client = await replacing.client(name, room)
            number = await boss.order_only("number_until_gone", room=room, id=name)
            seen: list[int] = []
            for _takeover in range(30):
                seen += [(await client.expect("numbered"))[0] for _ in range(draw.randrange(1, 10))]
                newer = await replacing.client(name, room)
                seen += await _numbered_to_the_end(client)
                client = newer
            async with await replacing.client(replacing.new_id("other"), "bosses") as other:
                await other.order("kick", id=name)
            await boss.answer(number)
            seen += await _numbered_to_the_end(client, "kicked")
            assert seen == list(range(seen[0], seen[0] + len(seen))), "a frame is missing, or came twice"
            kinds = replacing.notes.kinds(name)
            assert kinds[:61] == ["connect", *["drop", "restore"] * 30]


async def _numbered_to_the_end(client: Client, reason: str = "replaced") -> list[int]:
    """What a client gets before the server's close frame."""
    numbers: list[int] = []
    with contextlib.suppress(ConnectionClosed):
        while True:
            numbers.append((await client.expect("numbered"))[0])
    assert await client.closed() == (1000, reason)
    return numbers


async def test_duplicate_takes_the_session_over_when_asked_for(replacing: ContractServer) -> None:
    name, room = replacing.new_id(), replacing.new_id("room")
    old = await replacing.client(name, room)
    async with await replacing.client(name, room) as new:
        assert await old.closed() == (1000, "replaced")
        await new.send("note", "on the same session")
        await replacing.notes.has(name, "message")
        entries = replacing.notes.of(name)
        assert [entry["kind"] for entry in entries] == ["connect", "drop", "restore", "message"]
        assert len({entry["session"] for entry in entries}) == 1
        await new.order_only("close_self")


async def test_reconnect_while_the_old_socket_is_half_open_kicks_it(plain: ContractServer) -> None:
    await reconnect_while_half_open(plain, ["connect", "disconnect", "connect"])


async def test_reconnect_while_the_old_socket_is_half_open_kicks_it_in_spite_of_a_window(
    resuming: ContractServer,
) -> None:
    await reconnect_while_half_open(resuming, ["connect", "disconnect", "connect"])


async def test_reconnect_while_the_old_socket_is_half_open_takes_over(replacing: ContractServer) -> None:
    await reconnect_while_half_open(replacing, ["connect", "drop", "restore"])


async def reconnect_while_half_open(server: ContractServer, expected: list[str]) -> None:
    """The client's network died: the server still holds a socket that nobody reads."""
    name, room = server.new_id(), server.new_id("room")
    dead = await server.client(name, room)
    dead.socket.transport.pause_reading()
    async with await server.client(server.new_id("boss"), "bosses") as boss, await server.client(name, room) as new:
        number = await boss.order_only("send_many", to=name, count=20)
        for count in range(20):
            assert (await new.expect("numbered"))[0] == count
        await boss.answer(number)
        await server.notes.until(lambda: server.notes.kinds(name) == expected, f"callbacks are {expected}")
        await new.order_only("close_self")
        await new.closed()
    await end_of_dead(dead)


async def test_takeover_of_a_half_open_session_loses_nothing_that_was_buffered(replacing: ContractServer) -> None:
    name, room = replacing.new_id(), replacing.new_id("room")
    dead = await replacing.client(name, room)
    dead.socket.transport.pause_reading()
    async with await replacing.client(replacing.new_id("boss"), "bosses") as boss:
        # Until the kernel's buffers are full, and the send buffer too.
        sent = await boss.order("send_until_full", to=name, size=10_000)
        async with await replacing.client(name, room) as new:
            numbers = [(await new.expect("numbered"))[0]]
            while numbers[-1] < sent - 1:
                numbers.append((await new.expect("numbered"))[0])
            assert numbers == list(range(numbers[0], sent)), "a gap or a wrong order behind the takeover"
            assert len(numbers) >= 256, "what was in the send buffer is lost"
            assert "disconnect" not in replacing.notes.kinds(name)
            await new.order_only("close_self")
            await new.closed()
    await end_of_dead(dead)


async def test_takeover_handles_what_the_old_transport_had_brought_and_a_slow_handler_had_not(
    replacing: ContractServer,
) -> None:
    name, room = replacing.new_id(), replacing.new_id("room")
    old = await replacing.client(name, room)
    for number in range(60):
        await old.send("slow note", number)
    await replacing.notes.has(name, "message")
    async with await replacing.client(name, room) as new:
        assert await old.closed() == (1000, "replaced")
        await new.send("note", "of the new transport")
        await replacing.notes.until(
            lambda: replacing.notes.of(name)[-1]["detail"] == "of the new transport", "the new transport's is handled"
        )
        details = [entry["detail"] for entry in replacing.notes.of(name) if entry["kind"] == "message"]
        # What was read is handled, in order, before the newer; what the kernel still held is not.
        assert details[:-1] == list(range(len(details) - 1))
        await new.order_only("close_self")
        await new.closed()


async def end_of_dead(client: Client) -> None:
    """The dead client's network is back: it sees the end that the server had given its socket."""
    client.socket.transport.resume_reading()
    assert await client.closed() in {(1000, "duplicate connection id"), (1000, "replaced"), (1006, "")}


@pytest.mark.race
async def test_fifty_dials_with_one_id_at_once_leave_one_session(plain: ContractServer, race_rounds: int) -> None:
    for _ in range(race_rounds):
        name, room = plain.new_id("dial"), plain.new_id("room")
        clients = await asyncio.gather(*(plain.client(name, room) for _ in range(50)))
        async with await plain.client(plain.new_id("boss"), "bosses") as boss:
            assert await boss.order("list_room", room=room) == [name]
            await plain.notes.has(name, "connect", 50)
            await plain.notes.has(name, "disconnect", 49)
            assert await boss.order("kick", id=name) is None
        await plain.notes.has(name, "disconnect", 50)
        assert plain.notes.kinds(name) == ["connect", "disconnect"] * 50
        ends = await asyncio.gather(*(client.closed() for client in clients))
        assert sorted(ends) == [(1000, "duplicate connection id")] * 49 + [(1000, "kicked")]
