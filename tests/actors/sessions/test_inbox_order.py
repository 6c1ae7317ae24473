"""`Inbox` by itself: what runs inside the read that brought it, what waits for the loop, and what ends with the shard."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.eventually import eventually
from tests.support.sessions.inbox_stage import Gate, made, made_for, turn
from wspulse.actors.sessions.connections.connection import Connection
from wspulse.actors.values.frame import Frame
from wspulse.actors.wire.frames import TEXT

HOLD_FRAMES = 16
"""doc/inside/internals.md: while so many frames wait for a handler, the socket is not read."""

REST_LIMIT_BYTES = 4 * 1024 * 1024


async def test_message_that_finds_the_mailbox_idle_is_handled_inside_its_read() -> None:
    handled: list[bytes] = []
    inbox, shard, _ = made(on_message=lambda _, frame: handled.append(frame.payload))
    inbox.receive(TEXT, b"one")
    inbox.receive(TEXT, b"bad")
    inbox.receive(TEXT, b"two")
    assert handled == [b"one", b"two"]
    assert (shard.metrics.frames_in, shard.undecodables) == (3, 1)


async def test_rest_of_a_lost_transport_waits_for_the_loop_and_keeps_its_order() -> None:
    handled: list[bytes | str] = []
    inbox, shard, _ = made(
        on_message=lambda _, frame: handled.append(frame.payload),
        on_transport_drop=lambda *_: handled.append("drop"),
    )
    inbox.receive_rest(TEXT, b"one")
    inbox.receive_rest(TEXT, b"bad")
    inbox.receive_rest(TEXT, b"two")
    inbox.post("on_transport_drop")
    inbox.receive(TEXT, b"three")
    assert handled == []
    await turn()
    assert handled == [b"one", b"two", "drop", b"three"]
    assert (shard.metrics.frames_in, shard.undecodables) == (4, 1)
    inbox.receive(TEXT, b"four")
    assert handled[-1] == b"four", "it is idle again"


async def test_rest_is_bounded_while_a_handler_does_not_return_and_counted_anew_when_it_has_caught_up() -> None:
    gate = Gate()
    inbox, shard, _ = made(on_message=gate)
    megabyte = b"x" * (1024 * 1024)
    for _ in range(HOLD_FRAMES + 1):
        inbox.receive(TEXT, b"y")
    for _ in range(5):
        inbox.receive_rest(TEXT, megabyte)
    assert shard.dropped == 1
    gate.event.set()
    await eventually(lambda: not shard.working, "all are handled")
    assert gate.begun.count(megabyte) == REST_LIMIT_BYTES // len(megabyte)
    gate.event.clear()
    for _ in range(HOLD_FRAMES + 1):
        inbox.receive(TEXT, b"y")
    inbox.receive_rest(TEXT, megabyte)
    assert shard.dropped == 1
    gate.event.set()
    await eventually(lambda: not shard.working, "all are handled")


async def test_socket_is_held_while_sixteen_wait_and_read_again_when_eight_do() -> None:
    gate = Gate()
    inbox, _, session = made(on_message=gate)
    for _ in range(HOLD_FRAMES):
        inbox.receive(TEXT, b"x")
    assert session.transport.log == [], "one runs, fifteen wait"
    inbox.receive(TEXT, b"x")
    assert inbox.behind
    assert session.transport.log == ["held"]
    begun_at_release: list[int] = []
    session.transport.on_release = lambda: begun_at_release.append(len(gate.begun))
    gate.event.set()
    await eventually(lambda: len(gate.begun) == HOLD_FRAMES + 1, "all are handled")
    assert session.transport.log == ["held", "released"]
    # Eight have begun, the ninth is about to, eight wait.
    assert begun_at_release == [HOLD_FRAMES // 2]


async def test_handler_that_raises_ends_its_transport_and_takes_the_frames_behind_it_along() -> None:
    handled: list[bytes] = []

    async def fail(_connection: Connection, frame: Frame) -> None:
        handled.append(frame.payload)
        raise LookupError("planted")

    inbox, shard, session = made(on_message=fail)
    for data in (b"one", b"two"):
        inbox.receive(TEXT, data)
    await eventually(lambda: not shard.working, "it has ended")
    assert handled == [b"one"]
    assert [(kind, type(error)) for kind, error in shard.raised] == [("on_message", LookupError)]
    assert [code for _, code in session.failed] == [1011]


async def test_handler_that_is_cancelled_at_the_end_of_the_shard_ends_and_nothing_begins_behind_it() -> None:
    gate = Gate()
    inbox, shard, session = made(on_message=gate)
    inbox.receive(TEXT, b"one")
    inbox.receive(TEXT, b"two")
    await turn()
    shard.aborting = True
    task = shard.working[inbox]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    inbox.post("on_disconnect")
    await turn()
    assert gate.begun == [b"one"]
    assert shard.raised == []
    assert session.failed == []
    assert shard.working == {}
    assert shard.finished == []


async def test_cancellation_that_a_handler_raises_is_an_error_like_any_other() -> None:
    async def cancel(*_: object) -> None:
        raise asyncio.CancelledError

    inbox, shard, session = made(on_message=cancel)
    inbox.receive(TEXT, b"one")
    await eventually(lambda: not shard.working, "it has ended")
    assert [type(error) for _, error in shard.raised] == [asyncio.CancelledError]
    assert [code for _, code in session.failed] == [1011]


async def test_newer_session_of_an_id_begins_when_the_older_one_has_had_its_last_callback() -> None:
    log: list[str] = []
    older, shard, _ = made(on_disconnect=lambda *_: log.append("older ends"))
    newer, _ = made_for(shard)
    shard.handlers.on_connect = lambda *_: log.append("newer begins")
    newer.wait_for(older)
    newer.post("on_connect")
    await turn()
    assert log == []
    older.post("on_disconnect")
    await turn()
    assert shard.finished == [older]
    successor, older.successor = older.successor, None
    assert successor is newer
    newer.predecessor_finished()
    await turn()
    assert log == ["older ends", "newer begins"]
