"""`WriteWatch`: whether a peer that is behind still takes something of what is written to it.

Made by a transport each time its kernel's buffer is full, and called by the shard's ticker. It knows no socket and no clock;
times are in seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

__all__ = ["WriteWatch"]

_LOOKS = 8
"""In one `write_wait`: a peer is cut off at most an eighth of it late."""


class Written(Protocol):
    """A transport, as its watch sees it."""

    @property
    def unsent_bytes(self) -> int:
        """How much the peer has not taken, in our buffer and the kernel's: the latter tells a peer that reads a little at a time,
        for which the kernel makes room only in large steps."""

    def stalled(self) -> None:
        """The peer has taken nothing for `write_wait`."""


class WriteWatch:
    """Looks, from `now` on, until it is stopped. `at(when, call)` is the shard's."""

    __slots__ = ("_at", "_moved_at", "_transport", "_unsent_bytes", "_write_wait_s", "written")

    def __init__(
        self,
        transport: Written,
        at: Callable[[float, Callable[[float], None]], None],
        now: float,
        write_wait_s: float,
        written: bytes,
    ) -> None:
        self._transport: Written | None = transport
        self._at = at
        self._unsent_bytes = transport.unsent_bytes
        self._moved_at = now
        self._write_wait_s = write_wait_s
        self.written = written
        """Of which the kernel has not taken the end."""
        at(now + write_wait_s / _LOOKS, self)

    def stop(self) -> None:
        """The kernel has taken everything, or nothing matters any more."""
        self._transport = None

    def __call__(self, now: float) -> None:
        transport = self._transport
        if transport is None:
            return
        unsent_bytes = transport.unsent_bytes
        if unsent_bytes < self._unsent_bytes:
            self._unsent_bytes = unsent_bytes
            self._moved_at = now
        end = self._moved_at + self._write_wait_s
        if now < end:
            self._at(min(now + self._write_wait_s / _LOOKS, end), self)
        else:
            self._transport = None
            transport.stalled()
