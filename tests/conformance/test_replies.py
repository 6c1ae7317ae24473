"""An event router's handler that returns a value answers the frame, and one that raises ReplyError answers it with an error."""

from __future__ import annotations

import pytest

from tests.support.contract.served import ServedApplication

APP = """
import asyncio
from wspulse import EventRouter, ReplyError, Server, recovery

router = EventRouter()
router.use(recovery())

@router.use
async def around(context):
    await context.next()

@router.on("add")
def add(context, numbers: list[int]):
    return sum(numbers)

@router.on("add later")
async def add_later(context, numbers: list[int]):
    await asyncio.sleep(0.01)
    return sum(numbers)

@router.on("refuse")
async def refuse(context):
    raise ReplyError({"code": "no"})

@router.on("say nothing")
def say_nothing(context):
    return None

@router.on("ask")
async def ask(context):
    answer = await context.connection.call(context.frame, 5)
    return answer.payload

server = Server(lambda request: ("room", request.query["id"]), on_message=router)
asgi = server.asgi()
"""


@pytest.mark.parametrize("name", ["a", "b", "c", "d"])
async def test_client_is_answered_with_its_id_on_whichever_worker(served: ServedApplication, name: str) -> None:
    async with await served.client(name) as client:
        for event in ("add", "add later"):
            await client.send(event, [1, 2], "7")
            assert await client.receive() == {"event": event, "payload": 3, "id": "7"}
        await client.send("refuse", number="7")
        assert await client.receive() == {"event": "refuse.error", "payload": {"code": "no"}, "id": "7"}
        await client.send("add", "no numbers", "7")
        assert (await client.receive())["payload"]["code"] == "invalid_payload"
        await client.send("say nothing", number="7")
        await client.send("add", [1])
        await client.send("add", [2], "8")
        assert await client.receive() == {"event": "add", "payload": 2, "id": "8"}


async def test_handler_that_asks_its_client_answers_with_what_that_says(served: ServedApplication) -> None:
    async with await served.client("asker") as client:
        await client.send("ask", "who?", "7")
        asked = await client.receive()
        assert asked["id"] != "7"
        await client.send("ask", {"I": "am"}, asked["id"])
        assert await client.receive() == {"event": "ask", "payload": {"I": "am"}, "id": "7"}
        await client.send("ask", "who?", "8")
        await client.send("ask.error", "no", (await client.receive())["id"])
        # What nobody catches is an answer too.
        assert await client.receive() == {"event": "ask.error", "payload": "no", "id": "8"}
