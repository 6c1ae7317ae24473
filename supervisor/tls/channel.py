"""`Channel`: the supervisor's end of the way to one terminator.

Made for each start of one. A terminator that hears nothing for a while gets it all later; the supervisor never waits. That the
other end closes is of no interest here: a process that ends is noticed otherwise.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

__all__ = ["Channel"]


class Channel:
    """See the module. It owns `sock`; `heard(bytes)` is told what the terminator says."""

    def __init__(self, sock: socket.socket, heard: Callable[[bytes], None]) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._heard = heard
        self._unsent = b""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock.fileno(), self._hear)

    def tell(self, order: bytes) -> None:
        """Returns at once, also when it is closed."""
        self._unsent += order
        self._send()

    def close(self) -> None:
        """Idempotent."""
        if self._sock.fileno() >= 0:
            self._loop.remove_reader(self._sock.fileno())
            self._loop.remove_writer(self._sock.fileno())
            self._sock.close()

    def _send(self) -> None:
        try:
            self._unsent = self._unsent[self._sock.send(self._unsent) :]
        except BlockingIOError:
            pass
        except OSError:
            self.close()  # the process has ended
            return
        if self._unsent:
            self._loop.add_writer(self._sock.fileno(), self._send)
        else:
            self._loop.remove_writer(self._sock.fileno())

    def _hear(self) -> None:
        try:
            said = self._sock.recv(64)
        except BlockingIOError:
            return
        except OSError:
            said = b""
        if said:
            self._heard(said)
        else:
            self._loop.remove_reader(self._sock.fileno())
