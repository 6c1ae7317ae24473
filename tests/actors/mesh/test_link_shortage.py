"""Links at the limit of descriptors: they come back, and keep nobody waiting."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path
from time import monotonic

import pytest

from tests.actors.mesh.test_link import Owner, shard_door, upgrade
from tests.support.eventually import eventually
from tests.support.processes.descriptor_shortage import no_descriptor_free
from wspulse.actors.mesh import copies as copies_module
from wspulse.actors.mesh import link as link_module
from wspulse.actors.mesh.link import ShardLink
from wspulse.actors.mesh.message import (
    Kick,
)
from wspulse.actors.mesh.receipts import Receipts


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
    assert [record.message for record in caplog.records] == ["another shard cannot be reached; trying again"]
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
