"""An inbox whose session has called its client: what goes to calls, what to handlers, and when the socket is read."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.sessions.inbox_stage import Gate, NotedSession, NotedShard, made, turn
from wspulse.actors.sessions.asking.asking_inbox import AskingInbox, Waiting
from wspulse.actors.values.frame import Frame
from wspulse.actors.wire.frames import TEXT


def asking(**handlers: Any) -> tuple[AskingInbox, NotedShard, NotedSession]:
    """Messages are frames whose id is what stands before a "|"."""
    inbox, shard, session = made(**handlers)

    def decode(data: bytes) -> Frame:
        if data == b"bad":
            raise ValueError("bad")
        name, _, payload = data.rpartition(b"|")
        return Frame("ask", payload, name.decode())

    shard.decode = decode  # type: ignore[method-assign]
    inbox.__class__ = AskingInbox
    assert isinstance(inbox, AskingInbox)
    return inbox, shard, session


def a_call(inbox: AskingInbox, call_id: str = "wspulse:1") -> Waiting:
    waiting: Waiting = asyncio.get_running_loop().create_future()
    inbox.call_begins(call_id, waiting)
    return waiting


async def test_answer_goes_to_its_call_and_to_no_handler() -> None:
    handled: list[Frame] = []
    inbox, shard, _ = asking(on_message=lambda _connection, frame: handled.append(frame))
    first, second = a_call(inbox, "wspulse:1"), a_call(inbox, "wspulse:2")
    inbox.receive(TEXT, b"wspulse:2|yes")
    answer = await second
    assert answer is not None
    assert (answer.frame, answer.opcode, answer.data) == (Frame("ask", b"yes", "wspulse:2"), TEXT, b"wspulse:2|yes")
    assert not first.done()
    assert handled == []
    assert (shard.metrics.frames_in, shard.answers_dropped) == (1, 0)


async def test_answers_that_come_twice_late_or_to_nothing_are_dropped_and_counted() -> None:
    handled: list[Frame] = []
    inbox, shard, _ = asking(on_message=lambda _connection, frame: handled.append(frame))
    waiting = a_call(inbox)
    for message in (b"wspulse:1|first", b"wspulse:1|second", b"wspulse:9|to nothing"):
        inbox.receive(TEXT, message)
    inbox.call_ends("wspulse:1")
    inbox.receive(TEXT, b"wspulse:1|late")
    answer = await waiting
    assert answer is not None
    assert answer.frame.payload == b"first"
    assert handled == []
    assert shard.answers_dropped == 3


async def test_other_frames_are_handled_in_their_order_at_once_or_behind_those_that_wait() -> None:
    gate = Gate()
    inbox, _, _ = asking(on_message=gate)
    for message in (b"1", b"7|2", b"3"):
        inbox.receive(TEXT, message)
    await turn()
    assert gate.begun == [b"1"]
    gate.event.set()
    await turn()
    assert gate.begun == [b"1", b"2", b"3"]
    inbox.receive(TEXT, b"4")
    await turn()
    assert gate.begun == [b"1", b"2", b"3", b"4"]


async def test_sync_handler_runs_inside_the_read_and_what_it_raises_fails_the_transport() -> None:
    def handle(_connection: object, frame: Frame) -> None:
        if frame.payload == b"raise":
            raise RuntimeError("as the test says")

    inbox, shard, session = asking(on_message=handle)
    inbox.receive(TEXT, b"fine")
    assert not inbox.busy
    inbox.receive(TEXT, b"raise")
    assert [kind for kind, _ in shard.raised] == ["on_message"]
    assert [code for _, code in session.failed] == [1011]


async def test_message_that_does_not_decode_is_reported_where_there_is_a_handler() -> None:
    for handlers, undecodables in (({"on_message": lambda *_: None}, 1), ({}, 0)):
        inbox, shard, _ = asking(**handlers)
        inbox.receive(TEXT, b"bad")
        assert shard.undecodables == undecodables


async def test_answer_is_found_where_there_is_no_handler() -> None:
    inbox, _, _ = asking()
    waiting = a_call(inbox)
    inbox.receive(TEXT, b"a frame")
    inbox.receive(TEXT, b"wspulse:1|yes")
    assert waiting.done()


async def test_socket_is_read_on_while_a_call_waits_for_256_frames_more() -> None:
    gate = Gate()
    inbox, _, session = asking(on_message=gate)
    inbox.receive(TEXT, b"running")
    for _ in range(16):
        inbox.receive(TEXT, b"waits")
    assert session.transport.log == ["held"]
    waiting = a_call(inbox)
    assert session.transport.log == ["held", "released"]
    for _ in range(255):
        inbox.receive(TEXT, b"waits")
    assert session.transport.log == ["held", "released"]
    inbox.receive(TEXT, b"waits")
    assert session.transport.log == ["held", "released", "held"]
    inbox.receive(TEXT, b"wspulse:1|yes")
    assert waiting.done()
    gate.event.set()
    await turn()


async def test_socket_is_read_on_while_a_call_waits_for_a_megabyte_more() -> None:
    gate = Gate()
    inbox, _, session = asking(on_message=gate)
    inbox.receive(TEXT, b"running")
    a_call(inbox)
    for _ in range(19):
        inbox.receive(TEXT, b"x" * 65_536)
    assert session.transport.log == []
    inbox.receive(TEXT, b"x" * 65_536)
    assert session.transport.log == ["held"]
    gate.event.set()
    await turn()


@pytest.mark.parametrize(("frames", "log"), [(15, []), (16, ["held"])])
async def test_socket_is_held_when_the_last_call_ends_and_too_much_waits(frames: int, log: list[str]) -> None:
    gate = Gate()
    inbox, _, session = asking(on_message=gate)
    inbox.receive(TEXT, b"running")
    for call_id in ("wspulse:1", "wspulse:2"):
        a_call(inbox, call_id)
    for _ in range(frames):
        inbox.receive(TEXT, b"waits")
    inbox.call_ends("wspulse:1")
    assert session.transport.log == []
    inbox.call_ends("wspulse:2")
    assert session.transport.log == log
    gate.event.set()
    await turn()


async def test_socket_that_is_as_full_as_it_may_be_is_not_read_for_one_more_call() -> None:
    gate = Gate()
    inbox, _, session = asking(on_message=gate)
    inbox.receive(TEXT, b"running")
    a_call(inbox)
    for _ in range(272):
        inbox.receive(TEXT, b"waits")
    a_call(inbox, "wspulse:2")
    assert session.transport.log == ["held"]
    gate.event.set()
    await turn()
