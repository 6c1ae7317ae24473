"""The lookout alone, on a pair of sockets: when it looks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import zmq

from tests.support.eventually import eventually
from wspulse.supervisor.protocol.lookout import Lookout

Pair = tuple["zmq.Socket[bytes]", "zmq.Socket[bytes]"]


@contextmanager
def socket_pair() -> Iterator[Pair]:
    with zmq.Context() as context:
        ours, theirs = context.socket(zmq.PAIR), context.socket(zmq.PAIR)
        ours.bind("inproc://pair")
        theirs.connect("inproc://pair")
        try:
            yield ours, theirs
        finally:
            ours.close(0)
            theirs.close(0)


def drain(socket: zmq.Socket[bytes]) -> list[bytes]:
    taken = []
    while socket.poll(0):
        taken.append(socket.recv())
    return taken


async def test_what_came_before_and_after_the_opening_is_seen() -> None:
    with socket_pair() as (ours, theirs):
        taken: list[bytes] = []
        lookout = Lookout(lambda: taken.extend(drain(ours)), ours)
        theirs.send(b"before")
        lookout.open()
        await eventually(lambda: taken == [b"before"], "the message of before is taken")
        theirs.send(b"after")
        await eventually(lambda: taken == [b"before", b"after"], "the one of after too")
        lookout.close()


async def test_message_whose_change_an_operation_used_up_is_seen_by_looking_again() -> None:
    with socket_pair() as (ours, theirs):
        taken: list[bytes] = []
        lookout = Lookout(lambda: taken.extend(drain(ours)), ours)
        lookout.open()
        for number in range(100):
            message = b"%d" % number
            theirs.send(message)
            ours.send(b"an operation, between the message and the loop's next look at the descriptor")
            lookout.again()
            await eventually(lambda: taken[-1:] == [message], "it is taken")  # noqa: B023 - awaited here
        lookout.close()


async def test_looking_again_often_is_one_look_and_none_after_the_close() -> None:
    with socket_pair() as (ours, theirs):
        looks: list[None] = []
        lookout = Lookout(lambda: looks.append(None), ours)
        for _ in range(5):
            lookout.again()
        await asyncio.sleep(0)
        assert len(looks) == 1
        lookout.open()
        theirs.send(b"")
        lookout.close()
        lookout.close()
        lookout.again()
        for _ in range(5):
            await asyncio.sleep(0)
        assert len(looks) == 1
