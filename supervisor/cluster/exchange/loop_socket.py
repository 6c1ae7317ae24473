"""`LoopSocket`: a ZeroMQ socket on the loop by its descriptor, which tells only of changes.

The exchange has two, bound to files in the runtime directory. Any operation on a socket may use up a change: what has come is
looked at once more after each.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import zmq

from wspulse.actors.values.log_limit import LogLimit

__all__ = ["LoopSocket"]

_BUDGET = 256
"""Messages taken in one go; then others have their turn."""

_logger = logging.getLogger("wspulse.cluster")


class LoopSocket:
    """See the module. It is bound to the path; `take` is given each message, and what it raises is logged. Raises ZMQError."""

    def __init__(self, socket: zmq.Socket[bytes], path: str, take: Callable[[bytes], None]) -> None:
        self._socket = socket
        self._path = Path(path)
        self._take = take
        self._loop = asyncio.get_running_loop()
        self._is_scheduled = False
        self._is_closed = False
        self._limit = LogLimit()
        was_there = self._path.exists()
        socket.bind(f"ipc://{path}")
        self._file = None if was_there else self._path.stat().st_ino
        """Of the file that was made, if none was there."""
        self._loop.add_reader(socket.fileno(), self._look)
        self._look_soon()

    def send(self, data: bytes) -> None:
        self._socket.send(data, zmq.NOBLOCK)
        self._look_soon()

    def bind_again(self) -> None:
        """If its file is gone; who is connected stays so. Whether it could is seen by the file."""
        if self._path.is_socket():
            return
        try:
            self._socket.bind(f"ipc://{self._path}")
            self._file = self._path.stat().st_ino
        except (zmq.ZMQError, OSError):
            pass  # whoever looks after the files tells it
        self._look_soon()

    def close(self) -> None:
        """And remove the file, if it was made here and is not another's by now."""
        if self._is_closed:
            return
        self._is_closed = True
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()
        try:
            if self._file is not None and self._path.stat().st_ino == self._file:
                self._path.unlink()
        except OSError:
            pass  # it is gone

    def _look_soon(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self._look)

    def _look(self) -> None:
        self._is_scheduled = False
        if self._is_closed:
            return
        recv, take = self._socket.recv, self._take
        for _ in range(_BUDGET):
            try:
                data = recv(zmq.NOBLOCK)
            except zmq.Again:
                return
            try:
                take(data)
            except Exception as error:
                not_logged = self._limit.admit(self._loop.time())
                if not_logged is not None:
                    _logger.error(
                        "a worker's message could not be handled and was skipped",
                        exc_info=error,
                        extra={"not_logged": not_logged},
                    )
            if self._socket.closed:
                return
        self._look_soon()
