"""What may wait in an `Inbox`, in bytes, and how much of it one turn of the loop handles."""

from __future__ import annotations

import asyncio

from tests.support.eventually import eventually
from tests.support.sessions.inbox_stage import Gate, made, turn
from wspulse.actors.sessions.connections.connection import Connection
from wspulse.actors.sessions.inbox import Inbox
from wspulse.actors.values.frame import Frame
from wspulse.actors.wire.frames import TEXT

TURN_ENTRIES = 64
"""doc/inside/internals.md: so many entries of one mailbox are handled before others have their turn."""

_LEFT = 1000
"""Frames that a lost transport leaves."""


def is_behind(inbox: Inbox) -> bool:
    """Asked anew each time, whatever a checker of types thinks of it."""
    return inbox.behind


async def test_socket_is_held_while_256_kilobytes_wait_and_read_again_when_half_of_them_do() -> None:
    gate = Gate()
    inbox, _, session = made(on_message=gate)
    inbox.receive(TEXT, b"running")
    for _ in range(3):
        inbox.receive(TEXT, b"x" * 65_000)
    assert not is_behind(inbox)
    inbox.receive(TEXT, b"x" * 70_000)
    assert is_behind(inbox)
    assert session.transport.log == ["held"]
    begun_at_release: list[int] = []
    session.transport.on_release = lambda: begun_at_release.append(len(gate.begun))
    gate.event.set()
    await eventually(lambda: len(gate.begun) == 5, "all are handled")
    assert session.transport.log == ["held", "released"]
    # Two have begun, the third is about to; 65,000 and 70,000 would be over the half.
    assert begun_at_release == [3]


async def test_one_message_over_the_bound_may_wait_and_the_socket_is_read_again_when_it_is_handled() -> None:
    gate = Gate()
    inbox, _, session = made(on_message=gate)
    megabyte = b"x" * (1024 * 1024)
    inbox.receive(TEXT, megabyte)
    assert session.transport.log == [], "one runs"
    inbox.receive(TEXT, megabyte)
    assert session.transport.log == ["held"], "one waits"
    gate.event.set()
    await eventually(lambda: len(gate.begun) == 2, "both are handled")
    assert session.transport.log == ["held", "released"]
    assert not is_behind(inbox)


async def test_bytes_that_a_failing_handler_takes_along_are_no_longer_counted() -> None:
    async def fail(*_: object) -> None:
        raise LookupError

    inbox, shard, session = made(on_message=fail)
    inbox.receive(TEXT, b"one")
    inbox.receive(TEXT, b"x" * 300_000)
    assert is_behind(inbox)
    await eventually(lambda: session.failed, "the transport has ended")
    assert not is_behind(inbox)
    gate = shard.handlers.on_message = Gate()
    inbox.receive(TEXT, b"of the next transport")
    inbox.receive(TEXT, b"x" * 100_000)
    assert not is_behind(inbox)
    gate.event.set()
    await eventually(lambda: not shard.working, "all are handled")


async def test_bytes_of_discarded_frames_are_no_longer_counted() -> None:
    gate = Gate()
    inbox, shard, _ = made(on_message=gate)
    for discard in (inbox.discard_frames, inbox.discard_all):
        inbox.receive(TEXT, b"one")
        inbox.receive(TEXT, b"x" * 300_000)
        assert is_behind(inbox)
        discard()
        assert not is_behind(inbox)
    gate.event.set()
    await eventually(lambda: not shard.working, "the first is handled")


async def test_frames_that_a_lost_transport_left_share_the_loop_with_others_and_keep_their_order() -> None:
    handled: list[int] = []
    inbox, shard, session = made(
        on_message=lambda _, frame: handled.append(int(frame.payload)), on_disconnect=lambda *_: handled.append(-1)
    )
    for number in range(_LEFT):
        inbox.receive_rest(TEXT, b"%d" % number)
    inbox.post("on_disconnect")
    await _handled_in_shares(handled)
    assert shard.finished == [inbox]
    assert session.is_finished


async def test_async_handlers_that_never_suspend_share_the_loop_with_others_and_keep_their_order() -> None:
    handled: list[int] = []

    async def handle(_connection: Connection, frame: Frame) -> None:
        handled.append(int(frame.payload))

    inbox, shard, _ = made(on_message=handle, on_disconnect=lambda *_: handled.append(-1))
    for number in range(_LEFT):
        inbox.receive_rest(TEXT, b"%d" % number)
    inbox.post("on_disconnect")
    await _handled_in_shares(handled)
    assert shard.finished == [inbox]
    assert shard.working == {}


async def test_message_that_comes_between_two_shares_waits_for_those_before_it() -> None:
    handled: list[int] = []
    inbox, _, _ = made(on_message=lambda _, frame: handled.append(int(frame.payload)))
    for number in range(100):
        inbox.receive_rest(TEXT, b"%d" % number)
    await asyncio.sleep(0)
    assert len(handled) == TURN_ENTRIES
    inbox.receive(TEXT, b"100")
    assert len(handled) == TURN_ENTRIES
    await turn()
    assert handled == list(range(101))


async def test_share_that_is_due_when_the_shard_aborts_does_not_begin() -> None:
    handled: list[int] = []
    inbox, shard, _ = made(on_message=lambda _, frame: handled.append(int(frame.payload)))
    for number in range(100):
        inbox.receive_rest(TEXT, b"%d" % number)
    await asyncio.sleep(0)
    shard.aborting = True
    await turn()
    assert len(handled) == TURN_ENTRIES


async def test_handler_that_ends_its_session_hears_of_nothing_that_waits_but_the_end() -> None:
    log: list[str] = []
    inbox, shard, _ = made(
        on_message=lambda _, frame: note(frame.payload.decode()),
        on_transport_drop=lambda *_: log.append("drop"),
        on_disconnect=lambda *_: log.append("end"),
    )

    def note(what: str) -> None:
        log.append(what)
        if what == "close":
            inbox.discard_all()
            inbox.post("on_disconnect")

    for data in (b"one", b"close", b"two"):
        inbox.receive_rest(TEXT, data)
    inbox.post("on_transport_drop")
    await turn()
    assert log == ["one", "close", "end"]
    assert shard.finished == [inbox]


async def _handled_in_shares(handled: list[int]) -> None:
    """Look between the turns of the loop: at most one share is handled in each."""
    before = 0
    for _ in range(2 * _LEFT // TURN_ENTRIES + 10):
        await asyncio.sleep(0)
        assert len(handled) - before <= TURN_ENTRIES
        before = len(handled)
    assert handled == [*range(_LEFT), -1]
