"""Streams: each envelope once, with its own descriptor or not at all, whatever one of them does."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.eventually import eventually
from tests.support.processes.descriptor_shortage import no_descriptor_free
from wspulse.actors.mesh import stream as stream_module
from wspulse.actors.mesh.message import (
    Envelope,
    Handover,
    Kick,
    ListRooms,
    Reply,
    Tell,
    UpgradeRequest,
)
from wspulse.actors.mesh.stream import Stream
from wspulse.actors.values.log_limit import LogLimit

MIB = 1024 * 1024


@pytest.fixture(autouse=True)
def full_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test may log from the beginning."""
    monkeypatch.setattr(stream_module, "_log", LogLimit())


class End:
    """One end of a stream, and what came there."""

    def __init__(self, sock: socket.socket, **options: Any) -> None:
        self.came: list[tuple[Envelope, int | None]] = []
        self.faults: dict[str, BaseException] = {}
        """Raised for the envelope that tells to kick this connection."""
        self.ends = 0
        self.sock = sock
        self.stream = Stream(sock, self._take, self._ended, **options)

    @property
    def kicked(self) -> list[str]:
        return [envelope.message.connection_id for envelope, _ in self.came if is_kick(envelope)]  # type: ignore[union-attr]

    def kick(self, *names: str) -> None:
        for name in names:
            self.stream.send(Tell(Kick(name)))
        self.stream.flush()

    def _take(self, envelope: Envelope, fd: int | None) -> None:
        self.came.append((envelope, fd))
        if is_kick(envelope) and (fault := self.faults.get(self.kicked[-1])) is not None:
            raise fault

    def _ended(self) -> None:
        self.ends += 1


def is_kick(envelope: Envelope) -> bool:
    return isinstance(envelope, Tell) and isinstance(envelope.message, Kick)


@pytest.fixture
def sockets() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    for sock in (ours, theirs):
        sock.setblocking(False)
    try:
        yield ours, theirs
    finally:
        ours.close()
        theirs.close()


Pair = tuple[socket.socket, socket.socket]


def upgrade(name: str, leftover_bytes: int) -> UpgradeRequest:
    return UpgradeRequest("room", name, None, b"GET /", b"L" * leftover_bytes, None, 1e12, None)


@pytest.mark.parametrize("fault", [KeyError("in a handler"), asyncio.CancelledError(), GeneratorExit()])
async def test_envelope_that_raises_is_handed_on_once_and_harms_no_other(
    sockets: Pair, caplog: pytest.LogCaptureFixture, fault: BaseException
) -> None:
    sender, receiver = (End(sock) for sock in sockets)
    receiver.faults["2"] = fault
    sender.kick("1", "2", "3")
    await eventually(lambda: receiver.kicked == ["1", "2", "3"], "all of one read have come")
    sender.kick("4")
    await eventually(lambda: len(receiver.kicked) >= 4, "the next has come")
    assert receiver.kicked == ["1", "2", "3", "4"]
    assert [record.message for record in caplog.records] == ["an envelope could not be handled"]
    sender.stream.close()
    receiver.stream.close()


async def test_bytes_that_are_no_envelope_end_the_stream_and_nothing_behind_them_is_handed_on(sockets: Pair) -> None:
    ours, theirs = sockets
    receiver = End(theirs)
    sender = End(ours)
    sender.kick("1")
    ours.send(b"\0\0\0\1\xc1")
    sender.kick("2")
    await eventually(lambda: receiver.ends, "the stream has ended")
    assert receiver.kicked == ["1"]
    await eventually(lambda: sender.ends, "its other end too")
    assert (receiver.ends, sender.ends) == (1, 1)


async def test_length_that_no_envelope_has_ends_the_stream(sockets: Pair) -> None:
    ours, theirs = sockets
    receiver = End(theirs)
    ours.send(b"\xff\xff\xff\xff")
    await eventually(lambda: receiver.ends, "the stream has ended")


async def test_envelope_that_is_too_large_is_refused_to_its_sender_and_the_stream_goes_on(
    sockets: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender, receiver = (End(sock) for sock in sockets)
    monkeypatch.setattr(stream_module, "_MAX_ENVELOPE_BYTES", 1000)
    with pytest.raises(ValueError, match="too large"):
        sender.stream.send(Reply(1, "x" * 1000))
    sender.kick("1")
    await eventually(lambda: receiver.kicked == ["1"], "the next has come")
    sender.stream.close()
    receiver.stream.close()


async def test_descriptor_that_the_kernel_dropped_ends_the_stream_before_another_takes_its_place(sockets: Pair) -> None:
    sender, receiver = (End(sock) for sock in sockets)
    pipes = [os.pipe() for _ in range(2)]
    # Longer than a read: what follows her descriptor comes later than that should have.
    sender.stream.send(Handover(1, upgrade("ada", 100_000)), pipes[0][0])
    sender.stream.flush()
    with no_descriptor_free():
        receiver.stream._readable()
    sender.stream.send(Handover(2, upgrade("bob", 10)), pipes[1][0])
    sender.stream.flush()
    await eventually(lambda: receiver.ends and sender.ends, "the stream has ended")
    assert receiver.came == []
    for pipe in pipes:
        for fd in pipe:
            os.close(fd)


async def test_envelope_without_its_descriptor_ends_the_stream(sockets: Pair) -> None:
    sender, receiver = (End(sock) for sock in sockets)
    sender.stream.send(Handover(1, upgrade("ada", 10)))
    await eventually(lambda: receiver.ends, "the stream has ended")
    assert receiver.came == []
    await eventually(lambda: sender.ends, "its other end too")


async def test_descriptors_that_came_with_unread_envelopes_are_closed_when_the_stream_ends(sockets: Pair) -> None:
    ours, theirs = sockets
    receiver = End(theirs)
    reader, writer = os.pipe()
    socket.send_fds(ours, [b"\0\0\0\7begun"], [writer])
    await eventually(lambda: receiver.stream._descriptors, "the descriptor has come, and not all of its envelope")
    os.close(writer)
    receiver.stream.close()
    assert os.read(reader, 1) == b"", "somebody still holds the other end"
    os.close(reader)


@pytest.mark.parametrize("shortage", [errno.ETOOMANYREFS, errno.ENOBUFS, errno.ENOMEM])
async def test_what_cannot_be_sent_for_a_shortage_is_sent_when_that_has_passed(
    sockets: Pair, shortage: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = sockets
    short = ShortSocket(ours, shortage)
    sender, receiver = End(short), End(theirs)  # type: ignore[arg-type]
    reader, writer = os.pipe()
    sender.stream.send(Handover(1, upgrade("ada", 10)), writer)
    await eventually(lambda: short.refused == 3, "it was tried again")
    short.is_short = False
    await eventually(lambda: receiver.came, "it has come")
    fd = receiver.came[0][1]
    assert fd is not None
    for each in (fd, reader, writer):
        os.close(each)
    sender.kick("after")
    await eventually(lambda: receiver.kicked == ["after"], "the stream goes on")
    sender.stream.close()
    receiver.stream.close()


async def test_shortage_while_sending_keeps_no_loop_busy(sockets: Pair) -> None:
    ours, _ = sockets
    short = ShortSocket(ours, errno.ENOBUFS)
    sender = End(short)  # type: ignore[arg-type]
    sender.kick("1")
    # A second of the loop's clock: at most 50 tries, and never one for each of its turns.
    until = asyncio.get_running_loop().time() + 0.3
    turns = 0
    while asyncio.get_running_loop().time() < until:
        turns += 1
        await asyncio.sleep(0)
    assert turns > 100
    assert 1 < short.refused <= 20
    sender.stream.close()


class ShortSocket:
    """A socket that cannot send for want of something, as long as it `is_short`."""

    def __init__(self, sock: socket.socket, shortage: int) -> None:
        self.is_short = True
        self.refused = 0
        self._sock = sock
        self._shortage = shortage

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def send(self, data: bytes) -> int:
        self._check()
        return self._sock.send(data)

    def sendmsg(self, *arguments: Any) -> int:
        self._check()
        return self._sock.sendmsg(*arguments)

    def _check(self) -> None:
        if self.is_short:
            self.refused += 1
            raise OSError(self._shortage, os.strerror(self._shortage))


async def test_stream_takes_no_envelope_while_its_answers_are_not_read_and_goes_on_when_they_are(sockets: Pair) -> None:
    ours, theirs = sockets
    asker = End(ours)
    asked = Answering(theirs)
    asker.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MIB)
    loop = asyncio.get_running_loop()
    loop.remove_reader(ours)  # it reads nothing
    asker.kick(*map(str, range(100)))
    await eventually(lambda: asked.stream._held, "it takes no envelope")
    for _ in range(20):
        await asyncio.sleep(0)
    # A megabyte each: four may wait, and the fifth is the one too many. The kernel takes less than one.
    assert 4 <= asked.answered <= 5
    assert 3 * MIB < asked.stream.waiting_bytes < 6 * MIB
    loop.add_reader(ours, asker.stream._readable)
    await eventually(lambda: len(asker.came) == 100, "all are answered")
    assert [envelope.number for envelope, _ in asker.came if isinstance(envelope, Reply)] == list(range(100))
    asker.stream.close()
    asked.stream.close()


async def test_stream_that_takes_no_envelope_ends_when_its_other_side_is_gone(sockets: Pair) -> None:
    ours, theirs = sockets
    asker = End(ours)
    asked = Answering(theirs)
    asyncio.get_running_loop().remove_reader(ours)
    asker.kick(*map(str, range(20)))
    await eventually(lambda: asked.stream._held, "it takes no envelope")
    asker.stream.close()
    await eventually(lambda: asked.ended, "the stream has ended")


class Answering:
    """An end that answers each envelope with a megabyte, of which four may wait."""

    def __init__(self, sock: socket.socket) -> None:
        self.answered = 0
        self.ended = False
        self.stream = Stream(sock, self._answer, self._end, most_unread_bytes=4 * MIB)

    def _answer(self, _envelope: Envelope, _fd: int | None) -> None:
        self.stream.send(Reply(self.answered, b"x" * MIB))
        self.answered += 1

    def _end(self) -> None:
        self.ended = True


async def test_envelope_that_is_taken_back_does_not_come(sockets: Pair) -> None:
    sender, receiver = (End(sock) for sock in sockets)
    sender.stream.send(Tell(Kick("1")))
    second = sender.stream.send(Tell(Kick("2")))
    sender.stream.send(Tell(ListRooms()))
    assert sender.stream.take_back(second)
    await eventually(lambda: len(receiver.came) == 2, "the others have come")
    assert receiver.kicked == ["1"]
    sender.stream.close()
    receiver.stream.close()
