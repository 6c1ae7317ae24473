"""A shard that is there and reads nothing, for links that have something to say to it."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.actors.mesh.test_link import shard_door
from tests.support.eventually import eventually
from wspulse.actors.mesh.link import ShardLink
from wspulse.actors.mesh.message import (
    Envelope,
    Hello,
    SendFrame,
)
from wspulse.actors.mesh.stream import Stream
from wspulse.actors.values.errors import ShardUnavailableError

KIB = 1024
MIB = 1024 * 1024


__all__ = ["Wall", "fill", "waiting_bytes", "wall"]


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
