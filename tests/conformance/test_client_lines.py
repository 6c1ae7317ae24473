"""Lines of `wspulse.client` to a server: in an exact session nothing is lost or doubled in either direction, whatever is cut."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import AsyncExitStack
from itertools import product
from random import Random
from typing import Any

import pytest

from tests.support.contract.served import ServedApplication
from wspulse.client import Frame, Line, MsgpackCodec, Retry, connect

APP = """
from wspulse import Accept, EventRouter, Frame, Server

ROOMS = ["tea", "coffee", "milk"]

router = EventRouter()

@router.on("n")
async def told(context, number: int):
    await context.connection.send(Frame("n", number))
    if number % 5 == 0:
        room = ROOMS[number // 5 % 3]
        await server.broadcast(room, Frame("all", [context.connection.id, number], room=room))

@router.on("double")
async def double(context, number: int):
    return 2 * number

@router.on("ask me")
async def ask_me(context):
    return (await context.connection.call(Frame("what?"))).decode()

server = Server(
    lambda request: Accept("tea", request.query.get("id", ""), rooms=["coffee", "milk"]),
    on_message=router,
    resume_window=30,
    send_buffer_size=4096,
    max_message_size=65536,
)
asgi = server.asgi()
"""

LINES, CUTS, NUMBERS = 6, 12, 150

EAGER = Retry(0.01, 0.05)


def cut(line: Line) -> None:
    """As a network does that dies: what is under way is gone."""
    transport = line._carrier._transport
    if transport is not None:
        transport._websocket.transport.abort()


class Numbers:
    """What one line says and hears."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.direct: list[int] = []
        self.from_rooms: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
        """By sender and room: between rooms no order is promised."""
        self.lost: list[Any] = []
        self._news = asyncio.Event()
        line.on("n")(self._hear)
        line.on("all")(self._hear_room)
        line.on("wspulse.lost")(self.lost.append)

    def _hear(self, number: int) -> None:
        self.direct.append(number)
        self._news.set()

    def _hear_room(self, what: list[Any], frame: Frame) -> None:
        self.from_rooms[what[0], frame.room].append(what[1])
        self._news.set()

    async def say(self, draw: Random) -> None:
        for number in range(NUMBERS):
            self.line.send("n", number)
            if draw.random() < 0.3:
                await asyncio.sleep(draw.uniform(0, 0.02))

    async def be_cut(self, draw: Random) -> None:
        for _ in range(CUTS):
            await asyncio.sleep(draw.uniform(0, 0.15))
            cut(self.line)

    async def has_heard_all(self) -> None:
        expected = LINES * len(range(0, NUMBERS, 5))
        async with asyncio.timeout(30):
            while len(self.direct) < NUMBERS or sum(map(len, self.from_rooms.values())) < expected:
                self._news.clear()
                await self._news.wait()


@pytest.mark.timeout(120)
async def test_lines_that_are_cut_again_and_again_lose_and_double_nothing(
    served: ServedApplication, draw: Random
) -> None:
    names = [served.new_id("line", shard) for shard in range(LINES)]
    lines = [connect(served.url(id=name), retry=EAGER) for name in names]
    for line in lines:
        line._carrier.clock.draw = lambda: 0.1
    everybody = [Numbers(line) for line in lines]
    async with AsyncExitStack() as stack:
        for line in lines:
            await stack.enter_async_context(line)
            await line.ready
            assert line.exact
        tasks = [task(Random(draw.random())) for numbers in everybody for task in (numbers.say, numbers.be_cut)]
        await asyncio.gather(*tasks)
        await asyncio.gather(*(numbers.has_heard_all() for numbers in everybody))
        await asyncio.gather(*(line.flush() for line in lines))
    for numbers in everybody:
        assert numbers.direct == list(range(NUMBERS))
        for name, (place, room) in product(names, enumerate(("tea", "coffee", "milk"))):
            assert numbers.from_rooms[name, room] == list(range(5 * place, NUMBERS, 15))
        assert numbers.lost == []


async def test_calls_in_both_directions_outlive_the_socket(served: ServedApplication) -> None:
    async with connect(served.url(id=served.new_id()), retry=EAGER) as line:
        line._carrier.clock.draw = lambda: 0.1
        may_answer = asyncio.Event()

        @line.on("what?")
        async def answer() -> str:
            await may_answer.wait()
            return "this"

        await line.ready
        asking = [asyncio.create_task(line.call("double", number)) for number in range(50)]
        asking.append(asyncio.create_task(line.call("ask me")))
        await asyncio.sleep(0.01)
        cut(line)
        await asyncio.gather(*asking[:-1])
        cut(line)
        may_answer.set()
        assert await asyncio.gather(*asking) == [*range(0, 100, 2), "this"]


async def test_line_without_an_id_of_its_own_comes_back_to_its_session(served: ServedApplication) -> None:
    async with connect(served.url(), retry=EAGER) as line:
        lost: list[Any] = []
        line.on("wspulse.lost")(lost.append)
        line._carrier.clock.draw = lambda: 0.1
        await line.ready
        name = line.id
        for number in range(5):
            cut(line)
            assert await line.call("double", number) == 2 * number
            assert (line.id, lost) == (name, [])


async def test_line_with_a_codec_other_than_the_servers_is_closed(served: ServedApplication) -> None:
    async with connect(served.url(), codec=MsgpackCodec(), retry=Retry(limit=0)) as line:
        assert (await line.closed).code == 1006
