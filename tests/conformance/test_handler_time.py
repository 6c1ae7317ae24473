"""contract §3: how long an on_message may run, with `handler_timeout` and with `cancel_on_disconnect`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.contract.client import Client
from tests.support.contract.server import ContractServer, contract_server


@pytest.fixture(scope="module")
def hasty(workers: int) -> Iterator[ContractServer]:
    """Handlers have a moment."""
    with contract_server(workers, handler_timeout=0.4) as server:
        yield server


@pytest.fixture(scope="module")
def leaving(workers: int) -> Iterator[ContractServer]:
    """Nothing is done for those who have left."""
    with contract_server(workers, cancel_on_disconnect=True) as server:
        yield server


@pytest.fixture(scope="module")
def returning(workers: int) -> Iterator[ContractServer]:
    """The same, of those who may come back for a while."""
    with contract_server(workers, cancel_on_disconnect=True, resume_window=1.5) as server:
        yield server


async def held(server: ContractServer, name: str, **order: Any) -> Client:
    """A client whose handler waits for what never comes."""
    client = await server.client(name)
    await client.order_only("hold", **order)
    await server.notes.has(name, "held")
    return client


@pytest.mark.parametrize("on_cancel", ["", "swallow", "clean up", "refuse"])
async def test_handler_over_its_time_is_cancelled_and_counts_as_raising(hasty: ContractServer, on_cancel: str) -> None:
    name = hasty.new_id("late", 0)
    async with await hasty.client(hasty.new_id("other", 0)) as other:
        client = await held(hasty, name, on_cancel=on_cancel)
        await client.send("note", "discarded")
        assert await client.closed() == (1011, "internal error")
        assert (await hasty.notes.ended(name))["error"] == "TimeoutError"
        times = 2 if on_cancel == "refuse" else 1
        wanted = ["connect", "held", *["cancelled"] * times, *["cleaned"] * (on_cancel == "clean up"), "disconnect"]
        await hasty.notes.has(name, "cancelled", times)
        assert hasty.notes.kinds(name) == wanted
        await other.send("echo", 1)
        assert await other.expect("echo") == 1
    async with await hasty.client(name) as again:
        await again.send("echo", 2)
        assert await again.expect("echo") == 2


async def test_handlers_within_their_time_are_not_cancelled_however_busy_their_session_is(
    hasty: ContractServer,
) -> None:
    name = hasty.new_id()
    async with await hasty.client(name) as client:
        for number in range(100):
            await client.send("slow note", number)
        await hasty.notes.has(name, "message", 100)


async def test_callback_other_than_on_message_may_take_its_time(hasty: ContractServer) -> None:
    name = hasty.new_id()
    async with await hasty.client(name, slow="on_connect:0.9") as client:
        await client.send("note", 1)
        await hasty.notes.has(name, "message")
    await hasty.notes.ended(name)
    assert hasty.notes.kinds(name) == ["connect", "on_connect returns", "message", "disconnect"]


@pytest.mark.parametrize(
    ("way", "error"),
    [
        ("close", None),
        ("drop", "ConnectionLostError"),
        ("kick", None),
        ("close_one", None),
        ("duplicate", "DuplicateConnectionIDError"),
    ],
)
async def test_handler_of_a_session_that_ends_is_cancelled(
    leaving: ContractServer, way: str, error: str | None
) -> None:
    name = leaving.new_id()
    client = await held(leaving, name)
    async with await leaving.client(leaving.new_id()) as other:
        match way:
            case "close":
                await client.close()
            case "drop":
                client.drop()
            case "duplicate":
                await (await leaving.client(name)).close()
            case _:
                await other.order(way, id=name, room="lobby")
        assert (await leaving.notes.ended(name))["error"] == error
    assert leaving.notes.kinds(name)[:4] == ["connect", "held", "cancelled", "disconnect"]
    await client.close()


async def test_frames_behind_a_handler_that_is_cancelled_are_handled_before_the_end(leaving: ContractServer) -> None:
    name = leaving.new_id()
    client = await held(leaving, name, on_cancel="clean up")
    for number in range(3):
        await client.send("slow note", number)
    await client.close()
    await leaving.notes.ended(name)
    assert leaving.notes.kinds(name) == ["connect", "held", "cancelled", "cleaned", *["message"] * 3, "disconnect"]


async def test_handler_that_refuses_its_cancellation_is_cancelled_again_and_nothing_runs_beside_it(
    leaving: ContractServer,
) -> None:
    name = leaving.new_id()
    client = await held(leaving, name, on_cancel="refuse")
    await client.close()
    async with await leaving.client(name) as again:
        await again.send("note", 1)
        await leaving.notes.has(name, "message")
    wanted = ["connect", "held", "cancelled", "cancelled", "disconnect", "connect", "message"]
    assert leaving.notes.kinds(name)[: len(wanted)] == wanted


@pytest.mark.parametrize("how", ["close", "close in a task", "kick"])
async def test_handler_that_ends_its_own_session_is_not_cancelled(leaving: ContractServer, how: str) -> None:
    name = leaving.new_id()
    client = await leaving.client(name)
    await client.order_only("end_self", how=how)
    await leaving.notes.ended(name)
    assert leaving.notes.kinds(name) == ["connect", "went on", "disconnect"]
    await client.closed()


async def test_handler_that_ends_the_server_is_not_cancelled_and_others_are(workers: int) -> None:
    with contract_server(workers, cancel_on_disconnect=True) as server:
        name, other = server.new_id("closer", 0), server.new_id("other", 0)
        holding = await held(server, other)
        client = await server.client(name)
        await client.order_only("end_self", how="server")
        await server.notes.ended(name)
        await server.notes.ended(other)
        assert server.notes.kinds(name) == ["connect", "went on", "disconnect"]
        assert server.notes.kinds(other) == ["connect", "held", "cancelled", "disconnect"]
        await client.closed()
        await holding.closed()


async def test_handler_of_a_session_that_its_client_has_left_is_cancelled_and_the_session_waits(
    returning: ContractServer,
) -> None:
    name = returning.new_id()
    client = await held(returning, name)
    await client.close()
    await returning.notes.has(name, "drop")
    assert returning.notes.kinds(name) == ["connect", "held", "cancelled", "drop"]
    async with await returning.client(name) as again:
        await again.send("echo", 1)
        assert await again.expect("echo") == 1
    assert returning.notes.kinds(name)[4] == "restore"


async def test_handler_of_a_session_whose_socket_was_cut_goes_on_until_its_window_ends(
    returning: ContractServer,
) -> None:
    name = returning.new_id()
    client = await returning.client(name)
    number = await client.order_only("hold", seconds=0.5)
    await returning.notes.has(name, "held")
    client.drop()
    async with await returning.client(returning.new_id()) as other:
        # A note of it would wait for the handler.
        for _ in range(500):
            if [name, True] in [[row[0], row[3]] for row in await other.order("presence", room="lobby")]:
                break
        else:
            pytest.fail("it is never suspended")
    async with await returning.client(name) as again:
        await again.answer(number)
    name = returning.new_id()
    client = await held(returning, name)
    client.drop()
    assert (await returning.notes.ended(name))["error"] == "ConnectionLostError"
    assert returning.notes.kinds(name) == ["connect", "held", "cancelled", "drop", "disconnect"]
