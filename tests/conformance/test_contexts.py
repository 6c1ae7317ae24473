"""What a session's handlers set in `contextvars` is seen by its own later handlers, and by no other session (contract §3)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.contract.client import Client
from tests.support.contract.served import ServedApplication

APP = """
import asyncio
from contextvars import ContextVar
from wspulse import Frame, Server

user = ContextVar("user", default="nobody")
suspended = set()

def connect(request):
    found = user.get()
    user.set("whoever dialled " + request.query["id"])
    return "room", request.query["id"], {"found": found}

server = Server(connect, resume_window=5)

@server.on_connect
def first(connection):
    found_here = user.get()
    user.set(connection.id)
    connection.send_nowait(Frame("connect", found_here))

def answer(connection, frame):
    if frame.event == "set":
        user.set(frame.decode(str))
    if frame.event == "is suspended":
        connection.send_nowait(Frame(frame.event, frame.decode(str) in suspended))
    elif frame.event == "found by connect":
        connection.send_nowait(Frame(frame.event, connection.state["found"]))
    else:
        connection.send_nowait(Frame(frame.event, user.get()))

async def answer_slowly(connection, frame):
    answer(connection, frame)
    await asyncio.sleep(0.02)
    answer(connection, Frame("after"))

@server.on_message
def talk(connection, frame):
    # Half of the frames are handled at once, half in a task.
    return answer_slowly(connection, frame) if frame.id == "slow" else answer(connection, frame)

@server.on_transport_drop
def away(connection, error):
    suspended.add(connection.id)

@server.on_transport_restore
async def back(connection):
    connection.send_nowait(Frame("restore", user.get()))

asgi = server.asgi()
"""


def in_one_process(served: ServedApplication) -> str:
    """An id of shard 0, so that the sessions of all share a process."""
    return served.new_id(shard=0)


async def say(client: Client, event: str, payload: object = None, *, slow: bool) -> Any:
    """What the handler answers."""
    await client.send(event, payload, "slow" if slow else "")
    said = await client.expect(event)
    if slow:
        assert await client.expect("after") == (payload if event == "set" else said)
    return said


@pytest.mark.parametrize("slow", [False, True], ids=["sync", "async"])
async def test_what_a_sessions_handler_sets_its_later_ones_see_and_no_others(
    served: ServedApplication, slow: bool
) -> None:
    first, second = [await served.client(in_one_process(served)) for _ in range(2)]
    async with first, second:
        assert await first.expect("connect") == "nobody"
        assert await second.expect("connect") == "nobody"
        await say(first, "set", "ann", slow=slow)
        await say(second, "set", "ben", slow=slow)
        for later in (slow, not slow, slow):
            assert await say(first, "get", slow=later) == "ann"
            assert await say(second, "get", slow=later) == "ben"


async def test_handlers_of_a_resumed_session_see_what_those_before_it_set(served: ServedApplication) -> None:
    name = in_one_process(served)
    client = await served.client(name)
    await client.expect("connect")
    await say(client, "set", "ann", slow=False)
    client.drop()
    async with await served.client(in_one_process(served)) as other:
        await other.expect("connect")
        for _ in range(500):
            if await say(other, "is suspended", name, slow=False):
                break
        else:
            pytest.fail("it is never suspended")
    async with await served.client(name) as again:
        assert await again.expect("restore") == "ann"
        assert await say(again, "get", slow=True) == "ann"


async def test_handlers_that_wait_for_others_of_their_session_see_what_those_set(served: ServedApplication) -> None:
    async with await served.client(in_one_process(served)) as client:
        await client.expect("connect")
        for name, slow in (("ann", True), ("", False), ("ben", True), ("", True), ("", False)):
            await client.send("set" if name else "get", name, "slow" if slow else "")
        heard = [(await client.receive())["payload"] for _ in range(8)]
        assert heard == ["ann", "ann", "ann", "ben", "ben", "ben", "ben", "ben"]


async def test_what_connect_sets_no_later_connect_sees(served: ServedApplication) -> None:
    for _ in range(10):
        # So often that some are asked in one process, whoever accepts them.
        async with await served.client(in_one_process(served)) as client:
            await client.expect("connect")
            assert await say(client, "found by connect", slow=False) == "nobody"
