"""Mailboxes: no shortage, no fault of one answer and no asker who does not read harms anybody else."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.actors.mesh.test_link import shard_door
from tests.support.eventually import eventually
from tests.support.processes.descriptor_shortage import no_descriptor_free
from wspulse.actors.mesh import mailbox as mailbox_module
from wspulse.actors.mesh.link import ShardLink
from wspulse.actors.mesh.mailbox import Mailbox
from wspulse.actors.mesh.message import Ask, Envelope, Kick, ListRooms, Message, Reply
from wspulse.actors.mesh.stream import Stream
from wspulse.actors.values.errors import WspulseError
from wspulse.actors.values.log_limit import LogLimit

MIB = 1024 * 1024


@pytest.fixture(autouse=True)
def full_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test may log from the beginning."""
    monkeypatch.setattr(mailbox_module, "_shortage_log", LogLimit(burst=1))
    monkeypatch.setattr(mailbox_module, "_fault_log", LogLimit())


class Actor:
    """Answers by the message's type: a value, or an error that it raises."""

    def __init__(self, listener: socket.socket) -> None:
        self.answers: dict[type, Any] = {Kick: None}
        self.asked = 0
        self.mailbox = Mailbox(listener.dup(), 1, 1, self._receive, lambda _request, fd: os.close(fd))
        self.mailbox.open()

    def _receive(self, message: Message) -> Any:
        self.asked += 1
        answer = self.answers[type(message)]
        if isinstance(answer, BaseException):
            raise answer
        return answer


@asynccontextmanager
async def actor(tmp_path: Path) -> AsyncIterator[tuple[Actor, ShardLink]]:
    async with shard_door(tmp_path) as (listener, link):
        made = Actor(listener)
        try:
            yield made, link
        finally:
            made.mailbox.close()


async def test_mailbox_without_a_free_descriptor_does_not_spin_and_accepts_when_one_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with shard_door(tmp_path) as (listener, link):
        await eventually(lambda: link._stream is not None, "the link waits to be accepted")
        with no_descriptor_free():
            # Not the helper's: `dup` would find none free.
            mailbox = Mailbox(listener, 1, 1, lambda _message: "done", lambda _request, fd: os.close(fd))
            mailbox.open()
            loop = asyncio.get_running_loop()
            await eventually(lambda: mailbox._shortage is not None, "it could not accept")
            turns, until = 0, loop.time() + 0.35
            while loop.time() < until:
                turns += 1
                await asyncio.sleep(0)
            assert turns > 100
        assert await link.ask(Kick("a"), timeout_s=2) == "done"
        # One for each second that has begun.
        assert 1 <= len(caplog.records) <= 2
        assert caplog.records[0].message == "a stream could not be accepted; trying again"
        mailbox.close()


async def test_mailbox_that_closes_while_it_cannot_accept_leaves_nothing(tmp_path: Path) -> None:
    async with shard_door(tmp_path) as (listener, link):
        await eventually(lambda: link._stream is not None, "the link waits to be accepted")
        with no_descriptor_free():
            mailbox = Mailbox(listener, 1, 1, lambda _message: None, lambda _request, fd: os.close(fd))
            mailbox.open()
            await eventually(lambda: mailbox._shortage is not None, "it could not accept")
            mailbox.close()


async def test_answer_that_cannot_be_encoded_fails_its_ask_at_once_and_no_other(tmp_path: Path) -> None:
    async with actor(tmp_path) as (made, link):
        made.answers[ListRooms] = object()
        async with asyncio.timeout(2):
            answers = await asyncio.gather(link.ask(ListRooms()), link.ask(Kick("a")), return_exceptions=True)
        assert [type(answers[0]), str(answers[0]), answers[1]] == [WspulseError, "wspulse: internal error", None]


async def test_late_answer_that_cannot_be_encoded_fails_its_ask_at_once(tmp_path: Path) -> None:
    async with actor(tmp_path) as (made, link):
        made.answers[ListRooms] = late = asyncio.get_running_loop().create_future()
        asking = asyncio.create_task(link.ask(ListRooms()))
        await eventually(lambda: made.asked, "it was asked")
        late.set_result(object())
        async with asyncio.timeout(2):
            with pytest.raises(WspulseError, match="internal error"):
                await asking


@pytest.mark.parametrize("fault", [asyncio.CancelledError(), GeneratorExit(), RuntimeError("secret")])
async def test_ask_that_makes_the_actor_raise_anything_is_answered_at_once(
    tmp_path: Path, fault: BaseException
) -> None:
    async with actor(tmp_path) as (made, link):
        made.answers[ListRooms] = fault
        async with asyncio.timeout(2):
            with pytest.raises(WspulseError, match="internal error"):
                await link.ask(ListRooms())
        assert await link.ask(Kick("a")) is None


async def test_asker_who_does_not_read_is_answered_within_a_bound_and_gets_everything_when_it_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mailbox_module, "_MOST_UNREAD_BYTES", 4 * MIB)
    async with actor(tmp_path) as (made, link):
        made.answers[ListRooms] = "x" * MIB
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.connect(str(tmp_path / "door"))
        came: list[Envelope] = []
        asker = Stream(sock, lambda envelope, _fd: came.append(envelope), lambda: None)
        loop = asyncio.get_running_loop()
        loop.remove_reader(sock.fileno())
        for number in range(50):
            asker.send(Ask(number, 0, 0, ListRooms()))
        await eventually(lambda: made.asked >= 4, "the first are answered")
        # Another asker has its answer meanwhile.
        assert await link.ask(Kick("a"), timeout_s=2) is None
        assert made.asked <= 1 + 6
        loop.add_reader(sock.fileno(), asker._readable)
        await eventually(lambda: len(came) == 51, "all are answered")
        assert [envelope.number for envelope in came if isinstance(envelope, Reply)] == list(range(50))
        asker.close()


async def test_mailbox_that_is_moved_serves_who_was_there_and_who_comes_to_the_other_place(tmp_path: Path) -> None:
    async with actor(tmp_path) as (made, link):
        await link.ask(Kick("a"), timeout_s=2)
        other = socket.socket(socket.AF_UNIX)
        other.bind(str(tmp_path / "other"))
        other.listen(8)
        made.mailbox.move(other)
        await link.ask(Kick("b"), timeout_s=2)
        later = ShardLink(1, str(tmp_path / "other"))
        later.open()
        await later.ask(Kick("c"), timeout_s=2)
        later.close()
        assert made.asked == 3
        made.mailbox.close()
        assert other.fileno() == -1, "it is the mailbox's to close"


async def test_mailbox_that_is_moved_before_it_opens_or_in_a_shortage_accepts_at_the_other_place(
    tmp_path: Path,
) -> None:
    for has_shortage in (False, True):
        path = tmp_path / f"other-{has_shortage}"
        former, other = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
        other.bind(str(path))
        other.listen(8)
        mailbox = Mailbox(former, 1, 1, lambda _message: "done", lambda _request, fd: os.close(fd))
        if has_shortage:
            former.bind(str(tmp_path / "former"))
            former.listen(8)
            mailbox.open()
            mailbox._loop.remove_reader(former.fileno())
            mailbox._accept_later(OSError(24, "Too many open files"))
        mailbox.move(other)
        assert former.fileno() == -1
        if not has_shortage:
            mailbox.open()
        link = ShardLink(1, str(path))
        link.open()
        assert await link.ask(Kick("a"), timeout_s=2) == "done"
        link.close()
        mailbox.close()
