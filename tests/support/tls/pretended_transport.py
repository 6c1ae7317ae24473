"""`PretendedTransport`: one end of a connection, which takes what it is told to take, and keeps all that was asked of it."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

__all__ = ["PretendedTransport"]


class PretendedTransport(asyncio.Transport):
    """Of `protocol`. It takes all that is written while `takes` is true; what it does not take pauses the writing, at once."""

    def __init__(self, protocol: Any = None, **extra: Any) -> None:
        names = {"peername": ("192.0.2.1", 4000), "sockname": ("192.0.2.2", 443), "socket": _Told(self)}
        super().__init__(names | extra)
        self.protocol = protocol
        self.takes = True
        self.taken = b""
        self.held = b""
        self.reads = True
        self.ends: list[str] = []
        """What became of it: "close", "abort"."""
        self._is_lost = False

    def read(self, data: bytes) -> None:
        """The other end has written."""
        assert self.reads, "nothing is read of it"
        self.protocol.data_received(data)

    def take(self) -> None:
        """Take what is held, and all that follows."""
        self.takes = True
        held, self.held = self.held, b""
        self.taken += held
        if held:
            self.protocol.resume_writing()
        if "close" in self.ends:
            self.lose()

    def lose(self) -> None:
        """The loop tells that it is gone, once."""
        if not self._is_lost:
            self._is_lost = True
            self.protocol.connection_lost(None)

    def write(self, data: Any) -> None:
        if self.is_closing():
            return
        if self.takes:
            self.taken += bytes(data)
            return
        was_empty, self.held = not self.held, self.held + bytes(data)
        if was_empty and data:
            self.protocol.pause_writing()

    def get_write_buffer_size(self) -> int:
        return len(self.held)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.limits = high, low

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True

    def is_closing(self) -> bool:
        return bool(self.ends)

    def close(self) -> None:
        self.ends.append("close")
        if not self.held:
            self.lose()

    def abort(self) -> None:
        self.ends.append("abort")
        self.lose()


class _Told:
    """What the kernel would tell of the connection."""

    def __init__(self, transport: PretendedTransport) -> None:
        self._transport = transport

    def fileno(self) -> int:
        return 0

    def getsockopt(self, *_which: int) -> bytes:
        return bytes(120) + len(self._transport.taken).to_bytes(8, sys.byteorder)
