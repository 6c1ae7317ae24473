"""Links and mailboxes: asks that never hang and never run late, descriptors that are answered once."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from tests.support.eventually import eventually
from wspulse.actors.mesh.link import ShardLink
from wspulse.actors.mesh.mailbox import Mailbox
from wspulse.actors.mesh.message import (
    Ask,
    BusConsumed,
    Envelope,
    Failure,
    Handover,
    Hello,
    Kick,
    Message,
    UpgradeRequest,
    WatchClosed,
)
from wspulse.actors.mesh.stream import Stream
from wspulse.actors.values.errors import ConnectionNotFoundError, ShardUnavailableError, WspulseError


class Owner:
    """An actor behind a mailbox: it notes what came, and answers as the message says."""

    def __init__(self, listener: socket.socket, incarnation: int) -> None:
        self.seen: list[Message] = []
        self.taken: list[tuple[UpgradeRequest, int]] = []
        self.pending: list[asyncio.Future[Any]] = []
        self.mailbox = Mailbox(listener.dup(), 1, incarnation, self.receive, self.take_over)
        self.mailbox.open()

    def receive(self, message: Message) -> Any:
        self.seen.append(message)
        if isinstance(message, WatchClosed):
            future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            self.pending.append(future)
            return future
        if isinstance(message, Kick) and message.connection_id == "unknown":
            raise ConnectionNotFoundError("unknown")
        if isinstance(message, Kick) and message.connection_id == "fault":
            raise RuntimeError("secret detail")
        return [type(message).__name__, len(self.seen)]

    def take_over(self, request: UpgradeRequest, fd: int) -> None:
        self.taken.append((request, fd))


@asynccontextmanager
async def shard_door(tmp_path: Path) -> AsyncIterator[tuple[socket.socket, ShardLink]]:
    """A mailbox listener as the supervisor keeps it, and a link to it."""
    path = str(tmp_path / "door")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    listener.listen(16)
    link = ShardLink(1, path)
    link.open()
    try:
        yield listener, link
    finally:
        link.close()
        listener.close()
        await asyncio.sleep(0)


def upgrade(deadline_in_s: float) -> UpgradeRequest:
    return UpgradeRequest(
        "room", "id", {"a": 1}, b"GET / HTTP/1.1", b"x" * 300_000, None, monotonic() + deadline_in_s, None
    )


async def test_ask_returns_what_the_actor_answers(tmp_path: Path) -> None:
    async with shard_door(tmp_path) as (listener, link):
        owner = Owner(listener, 1)
        assert await asyncio.gather(*(link.ask(Kick(str(number))) for number in range(3))) == [
            ["Kick", 1],
            ["Kick", 2],
            ["Kick", 3],
        ]
        owner.mailbox.close()


async def test_error_of_the_actor_reaches_the_asker_but_a_fault_does_not_leak(tmp_path: Path) -> None:
    async with shard_door(tmp_path) as (listener, link):
        owner = Owner(listener, 1)
        with pytest.raises(ConnectionNotFoundError, match="unknown"):
            await link.ask(Kick("unknown"))
        with pytest.raises(WspulseError, match="internal error") as failed:
            await link.ask(Kick("fault"))
        assert "secret" not in str(failed.value)
        owner.mailbox.close()


async def test_what_is_asked_of_a_starting_shard_waits_for_it(tmp_path: Path) -> None:
    async with shard_door(tmp_path) as (listener, link):
        asking = asyncio.create_task(link.ask(Kick("early")))
        await eventually(lambda: len(link._asks), "the link has it")
        assert not asking.done()
        owner = Owner(listener, 1)
        assert await asking == ["Kick", 1]
        owner.mailbox.close()


async def test_ask_of_a_shard_that_stays_away_fails_at_its_deadline_and_never_runs(tmp_path: Path) -> None:
    async with shard_door(tmp_path) as (listener, link):
        with pytest.raises(ShardUnavailableError):
            await link.ask(Kick("late"), timeout_s=0.1)
        owner = Owner(listener, 1)
        assert await link.ask(Kick("next")) == ["Kick", 1]
        assert owner.seen == [Kick("next")]
        owner.mailbox.close()


async def test_ask_that_arrives_after_its_deadline_is_refused_unexecuted(tmp_path: Path) -> None:
    async with shard_door(tmp_path) as (listener, link):
        owner = Owner(listener, 7)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.connect(str(tmp_path / "door"))
        answers: list[object] = []
        stream = Stream(sock, lambda envelope, _fd: answers.append(envelope), lambda: None)
        stream.send(Ask(1, 0, monotonic() - 0.001, Kick("late")))
        stream.send(Ask(2, 6, monotonic() + 5, Kick("for the one before")))
        stream.send(Ask(3, 7, monotonic() + 5, Kick("right")))
        await eventually(lambda: len(answers) == 4, "all are answered")
        assert answers[0] == Hello(1, 7)
        assert [answer.code for answer in answers[1:3] if isinstance(answer, Failure)] == ["shard_unavailable"] * 2
        assert owner.seen == [Kick("right")]
        stream.close()
        owner.mailbox.close()
        del link


async def test_end_of_a_shard_fails_what_it_was_asked_at_once(tmp_path: Path) -> None:
    async with shard_door(tmp_path) as (listener, link):
        owner = Owner(listener, 1)
        asking = asyncio.create_task(link.ask(WatchClosed("a", (1, 1)), timeout_s=None))
        await eventually(lambda: owner.pending, "the ask has arrived")
        owner.mailbox.close()
        with pytest.raises(ShardUnavailableError, match="went down"):
            await asking
        replacement = Owner(listener, 2)
        assert await link.ask(Kick("a")) == ["Kick", 1]
        assert replacement.seen == [Kick("a")], "an ask of the dead shard was executed by its replacement"
        assert link.incarnation == 2
        replacement.mailbox.close()


async def test_tell_to_a_shard_that_is_away_is_lost(tmp_path: Path) -> None:
    async with shard_door(tmp_path) as (listener, link):
        link.tell(BusConsumed(0, 1, 1))
        owner = Owner(listener, 1)
        await link.ask(Kick("a"))
        assert owner.seen == [Kick("a")]
        owner.mailbox.close()


async def test_descriptor_travels_with_its_request_and_the_sender_lets_go(tmp_path: Path) -> None:
    async with shard_door(tmp_path) as (listener, link):
        owner = Owner(listener, 1)
        ends = [socket.socketpair() for _ in range(20)]
        for ours, _ in ends:
            link.hand_over(upgrade(10), os.dup(ours.fileno()), lambda fd: pytest.fail(f"{fd} came back"))
        await eventually(lambda: len(owner.taken) == 20, "all have arrived")
        for number, (request, fd) in enumerate(owner.taken):
            assert request.leftover == b"x" * 300_000
            os.write(fd, b"%d" % number)
            os.close(fd)
        for number, (ours, theirs) in enumerate(ends):
            assert theirs.recv(10) == b"%d" % number
            ours.close()
        # With every copy closed, the sender's too, the other ends see the end.
        await eventually(lambda: all(_at_end(theirs) for _, theirs in ends), "the sender has let go")
        for _, theirs in ends:
            theirs.close()
        owner.mailbox.close()


def _at_end(sock: socket.socket) -> bool:
    sock.setblocking(False)
    try:
        return sock.recv(1) == b""
    except BlockingIOError:
        return False


async def test_descriptor_that_a_dying_shard_did_not_acknowledge_goes_to_its_replacement(tmp_path: Path) -> None:
    async with shard_door(tmp_path) as (listener, link):
        # A shard that is up, and dies between reading and taking over.
        listener.setblocking(True)
        dying, _ = listener.accept()
        unanswered: list[type[Envelope]] = []

        def take(envelope: Envelope, fd: int | None) -> None:
            unanswered.append(type(envelope))
            if fd is not None:
                os.close(fd)

        stream = Stream(dying, take, lambda: None)
        stream.send(Hello(1, 1))
        await eventually(lambda: link.incarnation == 1, "the link is up")
        ours, theirs = socket.socketpair()
        link.hand_over(upgrade(10), os.dup(ours.fileno()), lambda fd: pytest.fail(f"{fd} came back"))
        await eventually(lambda: Handover in unanswered, "it has arrived")
        stream.close()
        listener.setblocking(False)
        owner = Owner(listener, 2)
        await eventually(lambda: owner.taken, "the replacement has it")
        os.close(owner.taken[0][1])
        ours.close()
        await eventually(lambda: _at_end(theirs), "the sender has let go")
        theirs.close()
        owner.mailbox.close()


async def test_descriptor_that_nobody_takes_in_time_comes_back(tmp_path: Path) -> None:
    async with shard_door(tmp_path) as (_listener, link):
        ours, theirs = socket.socketpair()
        back: list[int] = []
        fd = os.dup(ours.fileno())
        link.hand_over(upgrade(-0.3), fd, back.append)
        await eventually(lambda: back == [fd], "it comes back")
        os.close(fd)
        ours.close()
        theirs.close()


async def test_owner_takes_no_descriptor_so_late_that_its_sender_may_answer(tmp_path: Path) -> None:
    async with shard_door(tmp_path) as (listener, link):
        owner = Owner(listener, 1)
        await eventually(lambda: link.incarnation == 1, "the link is up")
        ours, theirs = socket.socketpair()
        back: list[int] = []
        fd = os.dup(ours.fileno())
        link.hand_over(upgrade(0.2), fd, back.append)
        await eventually(lambda: back == [fd], "the sender has it back")
        assert owner.taken == []
        os.close(fd)
        ours.close()
        theirs.close()
        owner.mailbox.close()
