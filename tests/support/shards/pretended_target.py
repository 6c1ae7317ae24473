"""A process that sessions are to move to, of which the test says what it answers."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from wspulse.actors.mesh.lifecycle import SeatGone, SeatOpened, ShardDown, ShardUp
from wspulse.actors.mesh.message import Hello
from wspulse.actors.mesh.placing.moves import (
    BatchBuilt,
    BatchComing,
    BatchJoined,
    BatchSent,
    MoveBegins,
    MoveReady,
)
from wspulse.actors.mesh.stream import Stream
from wspulse.actors.runtime.runtime import ShardRuntime

__all__ = ["PretendedTarget"]


class PretendedTarget:
    """At a seat that only one source knows. It answers as a target does, until it is told an envelope for which `answer` has
    something else to do: a call that is given the stream and the envelope."""

    def __init__(self, source: ShardRuntime, folder: Path, codec: str, seat: int = 9) -> None:
        self._source = source
        self.seat = seat
        self.codec = codec
        self.path = str(folder / f"shard-{seat}.sock")
        self.told: list[Any] = []
        self.answer: dict[type[Any], Callable[[Stream, Any], object]] = {}
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(self.path)
        self._listener.listen(8)
        self._listener.setblocking(False)
        self._streams: list[Stream] = []
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._listener.fileno(), self._accept)
        source.handle(SeatOpened(seat, self.path))
        source.handle(ShardUp(seat, 99))

    def _accept(self) -> None:
        sock, _ = self._listener.accept()
        sock.setblocking(False)
        stream = Stream(sock, lambda envelope, fd: self._take(stream, envelope, fd), lambda: None)
        self._streams.append(stream)
        stream.send(Hello(self.seat, 99))

    def _take(self, stream: Stream, envelope: Any, fd: int | None) -> None:
        self.told.append(envelope)
        if fd is not None:
            os.close(fd)
        if (answer := self.answer.get(type(envelope))) is not None:
            answer(stream, envelope)
            return
        match envelope:
            case MoveBegins():
                stream.send(MoveReady(envelope.plan, self.codec))
            case BatchComing():
                stream.send(BatchJoined(envelope.batch))
            case BatchSent():
                stream.send(BatchBuilt(envelope.batch, []))

    def close(self) -> None:
        """Nobody is there any more, which the source is told."""
        if self._listener.fileno() < 0:
            return
        self._loop.remove_reader(self._listener.fileno())
        self._listener.close()
        os.unlink(self.path)  # noqa: PTH108
        for stream in self._streams:
            stream.close()
        self._source.handle(ShardDown(self.seat, 99))
        self._source.handle(SeatGone(self.seat))
