"""Receipts for handovers: in the kernel before the client can be answered, and read when the link has a reason to."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from tests.actors.mesh.test_link import Owner, shard_door, upgrade
from tests.support.eventually import eventually
from wspulse.actors.mesh.mailbox import Mailbox
from wspulse.actors.mesh.message import Handover, Hello, Kick, UpgradeRequest
from wspulse.actors.mesh.receipts import Receipts, write_receipt
from wspulse.actors.mesh.stream import Stream


def test_receipts_are_read_once_in_the_order_in_which_they_were_written() -> None:
    receipts = Receipts()
    assert receipts.read() == []
    assert all(write_receipt(receipts.writer, number) for number in (3, 1, 2**40))
    assert receipts.read() == [3, 1, 2**40]
    assert receipts.read() == []
    receipts.close()


def test_receipts_that_fill_the_pipe_are_refused_whole_and_taken_again_when_it_was_read() -> None:
    receipts = Receipts()
    written = 0
    while write_receipt(receipts.writer, written):
        written += 1
    assert receipts.read() == list(range(written))
    assert write_receipt(receipts.writer, written)
    assert receipts.read() == [written]
    receipts.close()


def test_receipt_for_a_sender_that_is_gone_is_refused() -> None:
    receipts = Receipts()
    writer = os.dup(receipts.writer)
    receipts.close()
    assert not write_receipt(writer, 1)
    os.close(writer)


async def test_descriptor_that_a_shard_took_and_died_with_does_not_go_to_its_replacement(tmp_path: Path) -> None:
    async with shard_door(tmp_path) as (listener, link):
        owner = Owner(listener, 1)
        await eventually(lambda: link.incarnation == 1, "the link is up")
        ends = [socket.socketpair() for _ in range(50)]

        def take_and_die(_request: UpgradeRequest, fd: int) -> None:
            # The fiftieth is the last thing that this shard does: no turn of the loop lies between the receipt and its end.
            owner.taken.append((_request, fd))
            if len(owner.taken) == len(ends):
                owner.mailbox.close()

        owner.mailbox._take_over = take_and_die
        for ours, _ in ends:
            link.hand_over(upgrade(10), os.dup(ours.fileno()), lambda fd: pytest.fail(f"{fd} came back"))
        await eventually(lambda: len(owner.taken) == len(ends), "all are taken")
        replacement = Owner(listener, 2)
        await eventually(lambda: link.incarnation == 2, "the replacement is up")
        assert await link.ask(Kick("anyone")) is not None  # what was sent before it has been handled
        assert replacement.taken == []
        for _, fd in owner.taken:
            os.close(fd)
        for ours, theirs in ends:
            ours.close()
            assert theirs.recv(1) == b"", "the sender still holds its copy"
            theirs.close()
        replacement.mailbox.close()


async def test_descriptor_is_not_taken_from_a_sender_that_can_have_no_receipt(tmp_path: Path) -> None:
    """Its sender ended its stream and will answer the client itself: the descriptor, though it still arrives, is let go."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(tmp_path / "door"))
    listener.listen(1)
    taken: list[int] = []
    mailbox = Mailbox(listener, 1, 1, lambda _message: None, lambda _request, fd: taken.append(fd))
    mailbox.open()
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.connect(str(tmp_path / "door"))
    greeted: list[object] = []
    stream = Stream(sock, lambda envelope, _fd: greeted.append(envelope), lambda: None)
    await eventually(lambda: greeted == [Hello(1, 1)], "the shard has said who it is")
    ours, theirs = socket.socketpair()
    stream.send(Handover(1, upgrade(10)), ours.fileno())
    await eventually(lambda: stream.ended, "the shard has ended the stream")
    assert taken == []
    ours.close()
    assert theirs.recv(1) == b"", "the shard kept the descriptor"
    theirs.close()
    mailbox.close()


async def test_link_that_closes_lets_go_of_what_was_taken_and_gives_back_the_rest(tmp_path: Path) -> None:
    async with shard_door(tmp_path) as (listener, link):
        owner = Owner(listener, 1)
        await eventually(lambda: link.incarnation == 1, "the link is up")
        ours, theirs = socket.socketpair()
        back: list[int] = []
        taken, late = os.dup(ours.fileno()), os.dup(ours.fileno())
        link.hand_over(upgrade(10), taken, back.append)
        await eventually(lambda: owner.taken, "the first is taken")
        link.hand_over(upgrade(10), late, back.append)
        link.close()
        assert back == [late]
        os.close(late)
        os.close(owner.taken[0][1])
        ours.close()
        assert theirs.recv(1) == b"", "a copy is left"
        theirs.close()
        owner.mailbox.close()
