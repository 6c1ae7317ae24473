"""The event router as a server's on_message: what clients see of handlers that answer, fail, and get wrong payloads."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from wspulse import Codec, Context, EventRouter, Frame, JSONCodec, MsgpackCodec, Server, recovery
from wspulse.testing import serve


class Order(msgspec.Struct):
    item: str
    count: int = 1


def make_server(*middleware: Any, **options: Any) -> Server:
    server = Server(lambda request: ("shop", request.query.get("id", "")), max_message_size=4_000_000, **options)
    router = EventRouter()
    for step in middleware:
        router.use(step)

    @router.on("order")
    async def order(context: Context, order: Order) -> None:
        await asyncio.sleep(0)
        await context.connection.send(Frame("ordered", [order.item, order.count], context.frame.id))

    @router.on("order.now")
    def order_now(context: Context, order: Order) -> None:
        context.connection.send_nowait(Frame("ordered", [order.item, order.count], context.frame.id))

    @router.on("break")
    def break_it(context: Context) -> None:
        raise LookupError("as ordered")

    @router.on("break.later")
    async def break_it_later(context: Context) -> None:
        await asyncio.sleep(0)
        raise LookupError("as ordered")

    server.on_message(router)
    return server


@pytest.mark.parametrize("codec", [JSONCodec(), MsgpackCodec()])
async def test_client_is_answered_when_sync_and_async_handlers_take_turns(codec: Codec) -> None:
    async with serve(make_server(codec=codec)) as running:
        client = await running.connect()
        for number in range(20):
            await client.send("order.now" if number % 2 else "order", {"item": "tea", "count": number}, id=str(number))
        for number in range(20):
            assert await client.next() == Frame("ordered", ["tea", number], str(number))


@pytest.mark.parametrize("codec", [JSONCodec(), MsgpackCodec()])
@pytest.mark.parametrize("event", ["order", "order.now"])
async def test_client_is_told_what_is_wrong_and_stays_connected_when_its_payload_does_not_fit(
    codec: Codec, event: str
) -> None:
    async with serve(make_server(codec=codec)) as running:
        client = await running.connect()
        await client.send(event, {"item": "tea", "count": "many"}, id="7")
        answer = await client.expect("error")
        assert answer.id == "7"
        assert (answer.payload["path"], answer.payload["problem"]) == ("$.count", "Expected `int`, got `str`")
        await client.send(event, {"item": "tea"})
        assert (await client.expect("ordered")).payload == ["tea", 1]


@pytest.mark.parametrize("event", ["break", "break.later"])
async def test_connection_ends_with_1011_when_a_handler_raises(event: str) -> None:
    async with serve(make_server()) as running:
        client = await running.connect()
        await client.send(event)
        assert await client.closed() == (1011, "internal error")


@pytest.mark.parametrize("event", ["break", "break.later"])
async def test_connection_stays_when_recovery_catches_what_a_handler_raises(event: str) -> None:
    async with serve(make_server(recovery())) as running:
        client = await running.connect()
        await client.send(event)
        await client.send("order", {"item": "tea"})
        await client.expect("ordered")


async def test_nothing_breaks_when_an_event_has_a_name_of_a_megabyte(caplog: pytest.LogCaptureFixture) -> None:
    async with serve(make_server()) as running:
        client = await running.connect()
        await client.send("x" * 1_000_000, {"item": "tea"})
        await client.send("order", {"item": "tea"})
        await client.expect("ordered")
    assert [len(vars(record)["event"]) for record in caplog.records if record.levelname == "WARNING"] == [201]


@pytest.mark.parametrize("depth", [900, 990, 1100, 100_000])
async def test_connection_stays_when_a_payload_is_nested_deeper_than_can_be_decoded(depth: int) -> None:
    async with serve(make_server()) as running:
        client = await running.connect()
        await client.send_raw('{"event":"order","payload":{"more":' + "[" * depth + "]" * depth + "}}")
        await client.send("order", {"item": "tea"})
        await client.expect("ordered")
