"""`Received`: taking what a ZeroMQ socket has received, without waiting and without end.

Made by whoever looks at a socket, for each look. It knows nothing of what the messages mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, Self

import zmq

__all__ = ["Received"]


class Receiving(Protocol):
    """A socket, or what stands before one."""

    def recv_multipart(self, flags: int, /) -> list[bytes]: ...


class Received(Iterator[list[bytes]]):
    """Iterates over the messages that are there, each a list of its parts; over `most` of them at most.

    Each is taken when it is asked for, so the socket may be used in between, and what is not asked for stays there. Raises
    the zmq.ZMQErrors that say something else than that there is nothing; one may go on after that.
    """

    __slots__ = ("_left", "_receive", "is_all")

    def __init__(self, source: Receiving, most: int | None = None) -> None:
        self._receive = source.recv_multipart
        self._left = -1 if most is None else most
        self.is_all = False
        """Whether it was seen that nothing is left. Else the socket is to be looked at again: its descriptor tells of
        changes only."""

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> list[bytes]:
        if self._left == 0:
            raise StopIteration
        self._left -= 1
        try:
            return self._receive(zmq.NOBLOCK)
        except zmq.Again:
            self.is_all = True
            raise StopIteration from None
