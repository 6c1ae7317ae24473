"""Links at the limit of descriptors, and to shards that read nothing: they come back, and keep nothing for nobody."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic

import pytest

from tests.actors.mesh.test_link import Owner, shard_door, upgrade
from tests.support.descriptor_shortage import no_descriptor_free
from tests.support.eventually import eventually
from wspulse.actors.mesh import copies as copies_module
from wspulse.actors.mesh import link as link_module
from wspulse.actors.mesh.link import ShardLink
from wspulse.actors.mesh.message import (
    BusConsumed,
    Envelope,
    Handover,
    Hello,
    Kick,
    SendFrame,
    UpgradeRequest,
    WatchClosed,
)
from wspulse.actors.mesh.receipts import Receipts
from wspulse.actors.mesh.stream import Stream
from wspulse.actors.values.errors import ShardUnavailableError

KIB = 1024
MIB = 1024 * 1024


class Wall:
    """A shard that has said who it is and reads nothing from then on, until it is told to."""

    def __init__(self, listener: socket.socket) -> None:
        listener.setblocking(True)
        self._sock, _ = listener.accept()
        self.read: list[Envelope] = []
        self.stream = Stream(self._sock, self._take, lambda: None)
        self._loop = asyncio.get_running_loop()
        self._loop.remove_reader(self._sock.fileno())
        self.stream.send(Hello(1, 1))

    def read_on(self) -> None:
        self._loop.add_reader(self._sock.fileno(), self.stream._readable)

    def _take(self, envelope: Envelope, fd: int | None) -> None:
        self.read.append(envelope)
        if fd is not None:
            os.close(fd)


@asynccontextmanager
async def wall(tmp_path: Path) -> AsyncIterator[tuple[Wall, ShardLink]]:
    async with shard_door(tmp_path) as (listener, link):
        made = Wall(listener)
        await eventually(lambda: link.incarnation == 1, "the link is up")
        try:
            yield made, link
        finally:
            made.stream.close()


def waiting_bytes(link: ShardLink) -> int:
    assert link._stream is not None
    return link._stream.waiting_bytes


async def fill(link: ShardLink) -> None:
    """Ask what nobody reads until the kernel takes no more, and wait for that."""
    asks = [asyncio.create_task(link.ask(SendFrame("x", b"x" * 64 * KIB), timeout_s=0.05)) for _ in range(40)]
    results = await asyncio.gather(*asks, return_exceptions=True)
    assert all(isinstance(result, ShardUnavailableError) for result in results)


async def test_link_that_finds_no_descriptor_free_is_made_when_one_is(tmp_path: Path) -> None:
    async with shard_door(tmp_path) as (listener, link):
        owner = Owner(listener, 1)
        assert await link.ask(Kick("a")) == ["Kick", 1]
        with no_descriptor_free():
            owner.mailbox.close()
            # What that has closed is free again, and taken by somebody else.
            taken = [os.dup(0) for _ in range(2)]
            await eventually(lambda: not link.incarnation, "the link is down")
            taken += take_all()
            await eventually(lambda: link._failing_since is not None, "it was tried in vain")
            for fd in taken:
                os.close(fd)
        replacement = Owner(listener, 2)
        assert await link.ask(Kick("b"), timeout_s=2) == ["Kick", 1]
        assert link.incarnation == 2
        replacement.mailbox.close()


def take_all() -> list[int]:
    taken = []
    try:
        while True:
            taken.append(os.dup(0))
    except OSError:
        return taken


async def test_link_that_cannot_be_made_for_longer_than_a_second_says_so_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = 100.0
    tries = 0

    def no_socket(*_arguments: object) -> socket.socket:
        nonlocal tries, now
        tries += 1
        now += 0.3
        raise OSError(24, "Too many open files")

    link = ShardLink(1, str(tmp_path / "door"))
    with monkeypatch.context() as patched:
        patched.setattr(link_module, "monotonic", lambda: now)
        patched.setattr(socket, "socket", no_socket)
        link.open()
        await eventually(lambda: tries == 4, "0.9 s have passed")
        assert not caplog.records
        await eventually(lambda: tries == 9, "more than two seconds have passed")
    link.close()
    assert [record.message for record in caplog.records] == [
        "another shard cannot be reached; it is tried again and again"
    ]
    assert (caplog.records[0].shard, caplog.records[0].reason) == (1, "[Errno 24] Too many open files")  # type: ignore[attr-defined]


async def test_link_to_a_shard_that_nobody_serves_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "door"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.bind(str(path))
    monkeypatch.setattr(link_module, "_LONG_S", 0.0)
    link = ShardLink(1, str(path))
    for _ in range(3):
        link.open()
        assert link._reconnect is not None
        link._reconnect.cancel()
    link.close()
    assert not caplog.records


async def test_descriptor_for_whose_receipts_none_is_free_goes_when_one_is_and_asks_go_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with shard_door(tmp_path) as (listener, link):
        owner = Owner(listener, 1)
        await eventually(lambda: link.incarnation == 1, "the link is up")
        tries = 0

        def no_receipts() -> Receipts:
            nonlocal tries
            tries += 1
            raise OSError(24, "Too many open files")

        ours, theirs = socket.socketpair()
        with monkeypatch.context() as patched:
            patched.setattr(copies_module, "Receipts", no_receipts)
            link.hand_over(upgrade(10), os.dup(ours.fileno()), lambda fd: pytest.fail(f"{fd} came back"))
            await eventually(lambda: tries >= 3, "it was tried again")
            assert await link.ask(Kick("a"), timeout_s=2) == ["Kick", 1]
            assert not owner.taken
        await eventually(lambda: owner.taken, "it has arrived")
        os.close(owner.taken[0][1])
        ours.close()
        theirs.close()
        owner.mailbox.close()


async def test_descriptor_that_waits_when_a_shard_appears_without_receipts_keeps_no_ask_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with shard_door(tmp_path) as (listener, link):

        def no_receipts() -> Receipts:
            raise OSError(24, "Too many open files")

        monkeypatch.setattr(copies_module, "Receipts", no_receipts)
        back: list[int] = []
        ours, theirs = socket.socketpair()
        fd = os.dup(ours.fileno())
        link.hand_over(upgrade(0.2), fd, back.append)
        asking = asyncio.create_task(link.ask(Kick("early"), timeout_s=5))
        await eventually(lambda: len(link._asks), "it is asked")
        owner = Owner(listener, 1)
        assert await asking == ["Kick", 1]
        await eventually(lambda: back == [fd], "it comes back at its deadline")
        for each in (fd, ours.detach(), theirs.detach()):
            os.close(each)
        owner.mailbox.close()


async def test_descriptors_that_a_living_shard_could_not_receive_wait_a_moment_and_asks_do_not(tmp_path: Path) -> None:
    async with shard_door(tmp_path) as (listener, link):
        owner = Owner(listener, 1)
        await eventually(lambda: link.incarnation == 1, "the link is up")
        ups: list[float] = []
        link._up = lambda _incarnation: ups.append(monotonic())
        ends = [socket.socketpair() for _ in range(5)]
        for ours, _ in ends:
            link.hand_over(upgrade(10), os.dup(ours.fileno()), lambda fd: pytest.fail(f"{fd} came back"))
        with no_descriptor_free():
            await eventually(lambda: not link.incarnation, "the shard has ended the stream")
        await eventually(lambda: ups, "the link is up again")
        assert await link.ask(Kick("a"), timeout_s=2)
        assert not owner.taken, "they went at once"
        await eventually(lambda: len(owner.taken) == 5, "all have arrived")
        for (ours, theirs), (_, fd) in zip(ends, owner.taken, strict=True):
            os.write(fd, b"right")
            assert theirs.recv(9) == b"right"
            os.close(fd)
            ours.close()
            theirs.close()
        owner.mailbox.close()


async def test_descriptors_wait_longer_each_time_that_a_living_shard_ends_the_stream_and_never_for_a_new_one(
    tmp_path: Path,
) -> None:
    async with shard_door(tmp_path) as (listener, link):
        await eventually(lambda: link._stream is not None, "the link is connected")
        stream = link._stream
        assert stream is not None
        link.hand_over(upgrade(10), os.open(os.devnull, os.O_RDONLY), os.close)
        pauses = []
        for incarnation in (7, 7, 7, 7, 7, 7, 7, 8):
            link._copies.begin(stream, incarnation)
            pauses.append(link._copies._pause_s)
            link._copies.end()
        assert pauses == [0.0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 0.0]
        del listener


async def test_asks_that_failed_are_no_longer_on_their_way_to_a_shard_that_reads_nothing(tmp_path: Path) -> None:
    async with wall(tmp_path) as (shard, link):
        for _ in range(3):
            await fill(link)
            # What has begun to go: one piece.
            assert waiting_bytes(link) < 130 * KIB
        assert len(link._asks) == 0
        asking = asyncio.create_task(link.ask(Kick("after"), timeout_s=5))
        shard.read_on()
        await eventually(lambda: any("after" in str(envelope) for envelope in shard.read), "the stream is still whole")
        asking.cancel()
        # The kernel had some, and one had begun.
        assert 0 < len(shard.read) < 40


async def test_ask_whose_caller_is_cancelled_is_taken_back_and_leaves_nothing(tmp_path: Path) -> None:
    async with wall(tmp_path) as (_, link):
        await fill(link)
        before = waiting_bytes(link)
        asks = [asyncio.create_task(link.ask(SendFrame("x", b"x" * KIB), timeout_s=None)) for _ in range(2000)]
        await eventually(lambda: waiting_bytes(link) > 2000 * KIB, "they wait")
        for ask in asks:
            ask.cancel()
        await asyncio.gather(*asks, return_exceptions=True)
        assert waiting_bytes(link) == before
        assert len(link._asks) == 0


async def test_ask_that_is_sent_keeps_no_payload_while_it_waits_for_its_answer(tmp_path: Path) -> None:
    async with shard_door(tmp_path) as (listener, link):
        owner = Owner(listener, 1)
        asking = asyncio.create_task(link.ask(WatchClosed("a", (1, 1)), timeout_s=None))
        await eventually(lambda: owner.pending, "it has arrived")
        assert [asked.message for asked in link._asks._asked.values()] == [None]
        asking.cancel()
        owner.mailbox.close()


async def test_shard_stops_waiting_for_what_a_cancelled_caller_asked_without_a_deadline(tmp_path: Path) -> None:
    async with shard_door(tmp_path) as (listener, link):
        owner = Owner(listener, 1)
        asks = [asyncio.create_task(link.ask(WatchClosed(name, (1, 1)), timeout_s=None)) for name in "ab"]
        await eventually(lambda: len(owner.pending) == 2, "both have arrived")
        asks[0].cancel()
        await eventually(owner.pending[0].cancelled, "the shard waits no more")
        assert not owner.pending[1].done()
        owner.pending[1].set_result("gone")
        assert await asks[1] == "gone"
        owner.mailbox.close()


async def test_shard_stops_waiting_for_what_was_asked_without_a_deadline_when_the_asker_is_gone(tmp_path: Path) -> None:
    async with shard_door(tmp_path) as (listener, link):
        owner = Owner(listener, 1)
        asking = asyncio.create_task(link.ask(WatchClosed("a", (1, 1)), timeout_s=None))
        await eventually(lambda: owner.pending, "it has arrived")
        link.close()
        await eventually(owner.pending[0].cancelled, "the shard waits no more")
        with pytest.raises(ShardUnavailableError):
            await asking
        owner.mailbox.close()


async def test_ask_that_cannot_be_encoded_fails_alone_and_leaves_nothing(tmp_path: Path) -> None:
    async with shard_door(tmp_path) as (listener, link):
        early = asyncio.create_task(link.ask(Kick(object()), timeout_s=5))  # type: ignore[arg-type]
        other = asyncio.create_task(link.ask(Kick("other"), timeout_s=5))
        await eventually(lambda: len(link._asks) == 2, "both wait for the shard")
        owner = Owner(listener, 1)
        with pytest.raises(TypeError):
            await early
        assert await other == ["Kick", 1]
        with pytest.raises(TypeError):
            await link.ask(Kick(object()), timeout_s=5)  # type: ignore[arg-type]
        assert len(link._asks) == 0
        owner.mailbox.close()


@pytest.mark.parametrize("is_up", [False, True])
async def test_upgrade_that_cannot_be_encoded_comes_back_and_harms_no_other(tmp_path: Path, is_up: bool) -> None:
    async with shard_door(tmp_path) as (listener, link):
        owners = []
        if is_up:
            owners.append(Owner(listener, 1))
            await eventually(lambda: link.incarnation == 1, "the link is up")
        pipe = os.pipe()
        back: list[int] = []
        bad = UpgradeRequest("room", "bad", {"a": object()}, b"GET /", b"", None, monotonic() + 10, None)
        link.hand_over(bad, pipe[0], back.append)
        link.hand_over(upgrade(10), pipe[1], back.append)
        if not is_up:
            owners.append(Owner(listener, 1))
        (owner,) = owners
        await eventually(lambda: owner.taken, "the other has arrived")
        assert back == [pipe[0]]
        await eventually(lambda: not link._copies._copies, "the sender has let go")
        os.close(pipe[0])
        os.close(owner.taken[0][1])
        owner.mailbox.close()


async def test_descriptor_that_is_given_back_is_not_sent_any_more(tmp_path: Path) -> None:
    async with wall(tmp_path) as (shard, link):
        await fill(link)
        back: list[int] = []
        fd = os.open(os.devnull, os.O_RDONLY)
        link.hand_over(upgrade(-0.4), fd, back.append)
        await eventually(lambda: back == [fd], "its deadline has passed")
        os.close(fd)
        asking = asyncio.create_task(link.ask(Kick("after"), timeout_s=5))
        shard.read_on()
        await eventually(lambda: any("after" in str(envelope) for envelope in shard.read), "the stream is still whole")
        asking.cancel()
        assert not any(isinstance(envelope, Handover) for envelope in shard.read)


async def test_what_a_shard_is_told_and_does_not_read_is_bounded_by_the_end_of_its_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(link_module, "MOST_WAITING_BYTES", 64 * KIB)
    async with wall(tmp_path) as (_, link):
        downs: list[int] = []
        link._down = downs.append
        most = 0
        while link._stream is not None:
            for _ in range(1000):
                link.tell(BusConsumed(0, 1, 1))
                most = max(most, waiting_bytes(link))
            if most > 64 * KIB:
                with pytest.raises(ShardUnavailableError, match="does not read"):
                    await link.ask(Kick("a"))
            await asyncio.sleep(0)
        assert most < 65 * KIB
        await eventually(lambda: downs == [1], "the shard counts as gone")
    assert {record.message for record in caplog.records} == {
        "a shard does not read what it is told; its stream ends, and is made again"
    }
    assert len(caplog.records) <= 2


async def test_giver_that_raises_for_what_it_gets_back_keeps_no_later_descriptor_here(tmp_path: Path) -> None:
    async with shard_door(tmp_path) as (_listener, link):
        back: list[int] = []

        def cannot(fd: int) -> None:
            back.append(fd)
            raise RuntimeError("a fault of the giver")

        loop = asyncio.get_running_loop()
        handler = loop.get_exception_handler()
        reported: list[object] = []
        loop.set_exception_handler(lambda _loop, context: reported.append(context.get("exception")))
        fds = os.pipe()
        link.hand_over(upgrade(-0.45), fds[0], cannot)
        link.hand_over(upgrade(-0.35), fds[1], back.append)
        await eventually(lambda: back == [*fds], "both come back")
        loop.set_exception_handler(handler)
        assert [str(error) for error in reported] == ["a fault of the giver"]
        for fd in fds:
            os.close(fd)


async def test_listener_that_raises_when_a_shard_appears_keeps_no_ask_and_no_descriptor_from_it(tmp_path: Path) -> None:
    async with shard_door(tmp_path) as (listener, link):

        def cannot(_incarnation: int) -> None:
            raise RuntimeError("a fault of a listener")

        link._up = cannot
        link.hand_over(upgrade(10), os.open(os.devnull, os.O_RDONLY), lambda fd: pytest.fail(f"{fd} came back"))
        asking = asyncio.create_task(link.ask(Kick("early"), timeout_s=5))
        await eventually(lambda: len(link._asks), "it is asked")
        owner = Owner(listener, 1)
        assert await asking == ["Kick", 1]
        await eventually(lambda: owner.taken, "the descriptor has arrived too")
        os.close(owner.taken[0][1])
        await eventually(lambda: not link._copies._copies, "the sender has let go")
        owner.mailbox.close()
