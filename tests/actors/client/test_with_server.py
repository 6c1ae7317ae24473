"""A line to a server of ours in the same process: what each does is what the other expects."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from tests.actors.client.stage import Told
from tests.support.eventually import eventually
from wspulse import Accept, ConnectRejected, Context, EventRouter, Frame, Request, Server
from wspulse.actors.client.clock import Clock
from wspulse.client import JSONCodec, Line, LineClosedError, MsgpackCodec, ReplyError, Retry, SessionLostError, connect


class Move(msgspec.Struct):
    x: int
    y: int


router = EventRouter()


@router.on("add")
async def add(context: Context, numbers: list[int]) -> int:
    if not numbers:
        raise ReplyError({"why": "nothing to add"})
    return sum(numbers)


@router.on("move")
async def move(context: Context, step: Move) -> Move:
    return Move(step.y, step.x)


@router.on("hang")
async def hang(context: Context) -> None:
    pass


@router.on("echo")
async def echo(context: Context) -> None:
    await context.connection.send(Frame("echo", context.frame.payload))


@asynccontextmanager
async def serving(codec: Any = None, **options: Any) -> AsyncIterator[tuple[Server, str]]:
    """A server that takes whoever says an id, in the room tea; its address."""

    def accept(request: Request) -> Accept:
        if (status := request.query.get("refused")) is not None:
            raise ConnectRejected("not you", int(status))
        return Accept("tea", request.query.get("id", ""))

    server = Server(
        accept, **{"resume_window": 30, "codec": codec or JSONCodec(), "max_message_size": 65536, **options}
    )
    server.on_message(router)
    async with server.serve(patience_s=2) as running:
        yield server, running.url


def line_to(url: str, **options: Any) -> Line:
    return connect(url, **{"retry": Retry(0.001, 0.002), "clock": Clock(draw=lambda: 0.0), **options})


def cut(line: Line) -> None:
    """As a dying network does."""
    transport = line._carrier._transport
    assert transport is not None
    transport._websocket.transport.abort()


@pytest.mark.parametrize("codec", [JSONCodec, MsgpackCodec])
async def test_frames_calls_and_broadcasts_reach_each_other(codec: Any) -> None:
    async with serving(codec()) as (server, url), line_to(f"{url}?id=ada", codec=codec()) as line:
        told = Told(line, "news", "echo")
        assert await line.call("add", [1, 2, 3]) == 6
        assert await line.call("move", Move(1, 2), type=Move) == Move(2, 1)
        with pytest.raises(ReplyError) as caught:
            await line.call("add", [])
        assert caught.value.payload == {"why": "nothing to add"}
        line.send("echo", {"deep": ["ü", None, 1.5]})
        rooms: list[str] = []
        line.on("news")(lambda _payload, frame: rooms.append(frame.room))
        await server.broadcast("tea", Frame("news", "hello", room="tea"))
        await told.until(lambda told: told.of("news") and told.of("echo"))
        assert rooms == ["tea"]
        assert (told.of("news"), told.of("echo")) == (["hello"], [{"deep": ["ü", None, 1.5]}])


async def test_server_asks_and_handlers_answer() -> None:
    async with serving() as (server, url), line_to(f"{url}?id=ada") as line:
        await line.ready

        @line.on("trade?")
        async def trade(offer: int) -> str:
            if offer < 5:
                raise ReplyError("too little")
            return f"{offer}, and {await line.call('add', [offer, 1])} next time"

        (connection,) = server.local_connections()
        assert (await connection.call(Frame("trade?", 5))).decode() == "5, and 6 next time"
        with pytest.raises(ReplyError) as caught:
            await connection.call(Frame("trade?", 1))
        assert caught.value.payload == "too little"


async def test_line_that_was_cut_comes_back_to_its_session_and_gets_what_came_meanwhile() -> None:
    may_dial = asyncio.Event()
    may_dial.set()
    async with serving() as (server, url):

        async def address() -> str:
            await may_dial.wait()
            return f"{url}?id=ada"

        async with connect(address, retry=Retry(0.001, 0.002), clock=Clock(draw=lambda: 0.0)) as line:
            told = Told(line, "news")
            await line.ready
            (connection,) = server.local_connections()
            for number in range(20):
                may_dial.clear()
                cut(line)
                await eventually(lambda: connection.suspended, "the server has noticed")
                await server.broadcast("tea", Frame("news", number))
                may_dial.set()
                await told.until(lambda told: len(told.of("news")) > number)  # noqa: B023
                assert await line.call("add", [number, 1]) == number + 1
            assert told.of("news") == list(range(20))
            assert server.local_connections() == [connection]


async def test_kicked_line_stays_away() -> None:
    async with serving() as (server, url), line_to(f"{url}?id=ada") as line:
        await line.ready
        await server.kick("ada", code=4003, reason="banned")
        assert await line.closed == (4003, "banned")


async def test_two_lines_of_one_id_do_not_fight() -> None:
    async with serving() as (_server, url), line_to(f"{url}?id=ada", exact=False) as first:
        await first.ready
        async with line_to(f"{url}?id=ada", exact=False) as second:
            await second.ready
            assert await first.closed == (1000, "duplicate connection id")
            assert await second.call("add", [1]) == 1


async def test_refused_line_says_what_the_application_said() -> None:
    async with serving() as (_server, url), line_to(f"{url}?refused=403") as line:
        with pytest.raises(LineClosedError, match=r"refused with 403: not you$"):
            await line.ready


async def test_line_that_is_closed_ends_its_session_at_once() -> None:
    async with serving(suspend_on_clean_close=False) as (server, url):
        async with line_to(f"{url}?id=ada") as line:
            await line.ready
            line.send("echo", 1)
        await eventually(lambda: not server.local_connections(), "the session has ended")


async def test_server_that_restarts_is_another_session_and_calls_that_were_sent_are_lost() -> None:
    urls: list[str] = []
    async with serving() as (first, url), serving() as (_second, other_url):
        urls.append(f"{url}?id=ada")
        async with connect(lambda: urls[-1], retry=Retry(0.001, 0.002), clock=Clock(draw=lambda: 0.0)) as line:
            told = Told(line, "echo")
            await line.ready
            asking = asyncio.create_task(line.call("hang"))
            await line.call("add", [1])
            urls.append(f"{other_url}?id=ada")
            await first.close()
            await told.until(lambda told: told.of("wspulse.lost"))
            line.send("echo", 1)
            await told.until(lambda told: told.of("echo") == [1])
            assert [news["recovered"] for news in told.of("wspulse.lost")] == [False]
            with pytest.raises(SessionLostError):
                await asking


async def test_frame_that_is_too_big_for_the_server_ends_the_line_and_is_named() -> None:
    async with serving(max_message_size=1000) as (_server, url), line_to(f"{url}?id=ada") as line:
        await line.ready
        line.send("echo", "x" * 2000)
        assert (await line.closed).code == 1009
